#!/usr/bin/env python3
"""Sends messages to a mesh whose log is on Apache Kafka, without Meshlog's own gateway.

    echo '{"space": "main", "thread": "harbour", "author": "Ines", "text": "The ferry leaves at nine."}' |
        examples/python/produce.py --brokers 127.0.0.1:9092

Reads one message a line as JSON: space, thread, author, text, and if given role, sent_at (microseconds since 1970) and
source_id. Prints one line of JSON for each: its id, partition and offset. With --registry the bodies are in Confluent's
wire format, else in Avro's single-object encoding.

Needs Python 3.10, confluent-kafka (with --registry: confluent-kafka[schemaregistry]), fastavro and blake3.
"""

import argparse
import datetime
import io
import json
import pathlib
import sys
import time
import uuid

import fastavro
from blake3 import blake3
from confluent_kafka import Producer
from fastavro.schema import fingerprint, to_parsing_canonical_form

SCHEMA = pathlib.Path(__file__).parents[2] / "schemas/avro/messages/message-accepted.v1.avsc"


def partition_of(key, partitions):
    """The partition that Meshlog keeps a key's events on. No client's own partitioner agrees with it.

    The first eight bytes of the key's BLAKE3 hash as a little-endian number, modulo the number of partitions.
    """
    return int.from_bytes(blake3(key).digest()[:8], "little") % partitions


def single_object(schema):
    """An encoder: C3 01, the schema's fingerprint, the datum."""
    parsed = fastavro.parse_schema(json.loads(schema))
    # fastavro gives the bytes of the fingerprint in the order in which they are written.
    prefix = b"\xc3\x01" + bytes.fromhex(fingerprint(to_parsing_canonical_form(json.loads(schema)), "CRC-64-AVRO"))

    def encode(value):
        body = io.BytesIO()
        fastavro.schemaless_writer(body, parsed, value)
        return prefix + body.getvalue()

    return encode


def confluent(schema, registry):
    """An encoder: a zero byte, the schema's id in the registry, the datum.

    Meshlog has registered its schemas itself, each under its full name; the newest is taken from there.
    """
    from confluent_kafka.schema_registry import SchemaRegistryClient, record_subject_name_strategy
    from confluent_kafka.schema_registry.avro import AvroSerializer

    settings = {
        "auto.register.schemas": False,
        "use.latest.version": True,
        "subject.name.strategy": record_subject_name_strategy,
    }
    serializer = AvroSerializer(SchemaRegistryClient({"url": registry}), schema, conf=settings)
    return lambda value: serializer(value, None)


def headers(event_id, space):
    """CloudEvents 1.0 in binary mode. Without ce_trust an event counts as external."""
    return {
        "ce_specversion": "1.0",
        "ce_id": str(event_id),
        "ce_source": "/examples/python",
        "ce_type": "meshlog.message.accepted",
        "ce_time": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "ce_trust": "client",
        "ce_space": space,
    }


def event(message):
    """The body of a MessageAccepted event."""
    return {
        "source_id": message.get("source_id"),
        "space": message["space"],
        "thread": message["thread"],
        "author": message["author"],
        "role": message.get("role", "user"),
        "sent_at": message.get("sent_at", time.time_ns() // 1000),
        "text": message["text"],
    }


def main():
    parser = argparse.ArgumentParser(description="Sends messages to a mesh through Kafka.")
    parser.add_argument("--brokers", required=True, help="host:port, with commas between them")
    parser.add_argument("--topic", default="meshlog.messages")
    parser.add_argument("--registry", help="the URL of a schema registry with Confluent's API")
    options = parser.parse_args()

    # Idempotent: what is sent again because an answer was lost stands on the topic once, and in order.
    producer = Producer({"bootstrap.servers": options.brokers, "enable.idempotence": True})
    partitions = len(producer.list_topics(options.topic, timeout=10).topics[options.topic].partitions)
    schema = SCHEMA.read_text()
    encode = confluent(schema, options.registry) if options.registry else single_object(schema)

    def delivered(event_id):
        def report(error, message):
            if error:
                sys.exit(f"{event_id} was not taken: {error}")
            print(json.dumps({"id": str(event_id), "partition": message.partition(), "offset": message.offset()}))

        return report

    for line in sys.stdin:
        message = json.loads(line)
        # Events of one key are read in order, so the key is the thread.
        key = f"{message['space']}/{message['thread']}".encode()
        event_id = uuid.uuid4()
        producer.produce(
            options.topic,
            key=key,
            value=encode(event(message)),
            headers=headers(event_id, message["space"]),
            partition=partition_of(key, partitions),
            on_delivery=delivered(event_id),
        )
    producer.flush()


if __name__ == "__main__":
    main()
