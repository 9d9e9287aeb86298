"""Writes records that are no events, as a foreign program with mistakes would, to the topic and brokers that are named:
malformed.py BROKERS TOPIC. Around them stand events, made as examples/python/produce.py makes them."""

import pathlib
import sys
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples/python"))
import produce  # noqa: E402

brokers, topic = sys.argv[1:]
producer = produce.Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
partitions = len(producer.list_topics(topic, timeout=10).topics[topic].partitions)
encode = produce.single_object(produce.SCHEMA.read_text())


def send(thread, body, headers):
    key = f"main/{thread}".encode()
    partition = produce.partition_of(key, partitions)
    producer.produce(topic, key=key, value=body, headers=headers, partition=partition)


def whole(thread):
    return encode(produce.event({"space": "main", "thread": thread, "author": "Ines", "text": f"in {thread}"}))


def right_headers():
    return produce.headers(uuid.uuid4(), "main")


send("garbage", b"\xff\x00 no event", right_headers())
send("headless", whole("headless"), {})
send("cut", whole("cut")[:-3], right_headers())
send("long", whole("long") + b"?", right_headers())
send("unregistered", b"\x00\x7f\xff\xff\xff" + whole("unregistered")[10:], right_headers())
send("empty", None, None)
for thread in ["garbage", "fine", "good", "whole"]:
    send(thread, whole(thread), right_headers())
producer.flush()
