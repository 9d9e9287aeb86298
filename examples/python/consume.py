#!/usr/bin/env python3
"""Reads the events of a topic of Meshlog from Apache Kafka, up to its end.

    examples/python/consume.py --brokers 127.0.0.1:9092 --topic meshlog.messages

Prints one line of JSON for each: partition, offset, key, headers and the event. Bodies in Avro's single-object encoding are
read with the schemas of this repository; those in Confluent's wire format with the registry's (--registry).

Needs Python 3.10, confluent-kafka (with --registry: confluent-kafka[schemaregistry]) and fastavro.
"""

import argparse
import io
import json
import pathlib
import sys

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

SCHEMAS = pathlib.Path(__file__).parents[2] / "schemas/avro"


def schemas():
    """Every schema that events were ever written with, by the fingerprint in the body.

    Those of fingerprints.txt count: for schemas with a logical type they are not what Avro's specification says.
    """
    by_name = {}
    for file in sorted(SCHEMAS.glob("*/*.avsc")):
        schema = json.loads(file.read_text())
        version = file.suffixes[-2].lstrip(".")
        by_name[f"{schema['namespace']}.{schema['name']} {version}"] = fastavro.parse_schema(schema)
    lines = (SCHEMAS / "fingerprints.txt").read_text().splitlines()
    return {bytes.fromhex(line[:16])[::-1]: by_name[line[17:]] for line in lines}


def decoder(registry):
    """Opens a body, whichever of the two forms it has."""
    known = schemas()
    confluent = None
    if registry:
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.schema_registry.avro import AvroDeserializer

        confluent = AvroDeserializer(SchemaRegistryClient({"url": registry}))

    def decode(body):
        if body[:2] == b"\xc3\x01":
            return fastavro.schemaless_reader(io.BytesIO(body[10:]), known[body[2:10]])
        if confluent is None:
            raise ValueError("the body is in Confluent's wire format; name a registry with --registry")
        return confluent(body, None)

    return decode


def main():
    parser = argparse.ArgumentParser(description="Reads the events of a topic of Meshlog from Kafka.")
    parser.add_argument("--brokers", required=True, help="host:port, with commas between them")
    parser.add_argument("--topic", default="meshlog.messages")
    parser.add_argument("--registry", help="the URL of a schema registry with Confluent's API")
    options = parser.parse_args()

    # Reads by itself: no group is joined, and nothing committed.
    settings = {"bootstrap.servers": options.brokers, "group.id": "unused", "enable.auto.commit": False}
    consumer = Consumer(settings | {"enable.partition.eof": True})
    partitions = consumer.list_topics(options.topic, timeout=10).topics[options.topic].partitions
    consumer.assign([TopicPartition(options.topic, partition, OFFSET_BEGINNING) for partition in partitions])
    decode = decoder(options.registry)
    unread = len(partitions)
    while unread > 0:
        message = consumer.poll(30)
        if message is None:
            sys.exit("the brokers send nothing")
        if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
            unread -= 1
            continue
        if message.error():
            sys.exit(str(message.error()))
        record = {
            "partition": message.partition(),
            "offset": message.offset(),
            "key": message.key().decode(),
            "headers": {name: value.decode(errors="replace") for name, value in message.headers() or []},
            "event": decode(message.value()),
        }
        print(json.dumps(record, default=str, ensure_ascii=False))


if __name__ == "__main__":
    main()
