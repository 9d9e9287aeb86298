#!/usr/bin/env python3
"""What do the roles on Kafka cost, and what does another process of one bring?

One broker and the roles as plain processes (scripts/cluster.py), on the same machine as the load:

- latency: from a POST at the gateway to the moment at which a query node answers with the message (`wait=indexed`), one message
  at a time, idle and beside half of the load that the same roles keep up with;
- a stage on two workers against one: MESSAGES that wait, of which each is routed to SUBSCRIBERS (no model is asked), until one
  worker has routed all of them, or two;
- one more query node: the processor seconds that it takes to apply what the first one applied, and what the broker takes.

Prints a table and, as its last line, one JSON object.

    cargo build --release && scripts/bench-roles.py --messages 100000
"""

import argparse
import http.client
import json
import os
import statistics
import threading
import time
import urllib.request

from cluster import Cluster, Process

SUBSCRIBERS = 4
TICKS = os.sysconf("SC_CLK_TCK")


def post(url: str, body: bytes, kind: str) -> dict:
    request = urllib.request.Request(url, body, {"content-type": kind})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def get(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def messages(first: int, count: int) -> bytes:
    """Messages of 200 texts in 200 threads: the embedder answers from its cache."""
    lines = (
        {"id": f"m{number}", "thread": f"t{number % 200}", "author": f"a{number % 7}", "text": f"What was said about thing {number % 200}."}
        for number in range(first, first + count)
    )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def send(url: str, first: int, count: int) -> None:
    for at in range(first, first + count, 2000):
        part = min(2000, first + count - at)
        answer = post(f"{url}/v1/messages", messages(at, part), "application/x-ndjson")
        assert answer["accepted"] == part, answer["errors"][:3]


def processor_seconds(process: Process) -> float:
    fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def lag(url: str, prefix: str) -> int:
    found = [one for one in get(f"{url}/v1/processors")["processors"] if one["name"].startswith(prefix)]
    return sum(one["lag_events"] for one in found) if found else -1


def wait_until_read(urls: list[str], prefix: str, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while any(lag(url, prefix) != 0 for url in urls):
        assert time.monotonic() < deadline, f"{prefix} does not catch up"
        time.sleep(0.05)


def latencies(gateway: str, seconds: float, name: str) -> list[float]:
    """Milliseconds from the POST to the answer that the message is indexed."""
    address, taken = gateway.removeprefix("http://"), []
    connection = http.client.HTTPConnection(address, timeout=60)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        body = json.dumps({"thread": name, "author": "a", "text": f"What was said about thing {len(taken) % 200}."})
        begun = time.monotonic()
        connection.request("POST", "/v1/messages?wait=indexed", body, {"content-type": "application/json"})
        answer = json.load(connection.getresponse())
        taken.append((time.monotonic() - begun) * 1e3)
        assert answer["reached"] == "indexed", answer
        time.sleep(0.02)
    return taken


def shown(name: str, taken: list[float], figures: dict[str, float]) -> None:
    quantiles, key = statistics.quantiles(taken, n=100), name.replace(",", "").replace(" ", "_")
    print(f"{name:<44} p50 {quantiles[49]:8.1f} ms   p99 {quantiles[98]:8.1f} ms   ({len(taken)} messages)", flush=True)
    figures[f"{key}_p50_ms"] = round(quantiles[49], 1)
    figures[f"{key}_p99_ms"] = round(quantiles[98], 1)


def measure_latency(options: argparse.Namespace, figures: dict[str, float]) -> None:
    with Cluster("roles") as cluster:
        cluster.start_brokers(1)
        query = cluster.query()
        gateway, workers = cluster.gateway(query=[query]), [cluster.worker(f"worker-{number}") for number in (1, 2)]
        for role in (query, gateway, *workers):
            role.start()
        for role in (query, gateway, *workers):
            role.wait()
        # Warm: the broker is compiled as it runs, and the texts are in the embedders' caches.
        count = options.messages // 4
        send(gateway.url, 0, count)
        wait_until_read([query.url], "")
        shown("idle, to queryable", latencies(gateway.url, options.seconds, "idle"), figures)
        begun = time.monotonic()
        send(gateway.url, count, count)
        wait_until_read([query.url], "")
        most = count / (time.monotonic() - begun)
        print(f"{'everything read and queryable':<44} {most:12.0f} messages/s", flush=True)
        figures["messages_per_s_to_queryable"] = round(most)
        # Half of it, in steps of a tenth of a second, from a thread of its own.
        is_over, step = threading.Event(), max(1, int(most / 2 / 10))

        def load() -> None:
            at, next_at = 2 * count, time.monotonic()
            while not is_over.is_set():
                send(gateway.url, at, step)
                at, next_at = at + step, next_at + 0.1
                time.sleep(max(0.0, next_at - time.monotonic()))

        loading = threading.Thread(target=load)
        loading.start()
        time.sleep(2)
        shown("at half load, to queryable", latencies(gateway.url, options.seconds, "busy"), figures)
        is_over.set()
        loading.join()


def measure_workers(options: argparse.Namespace, figures: dict[str, float]) -> None:
    with Cluster("roles") as cluster:
        cluster.start_brokers(1)
        gateway = cluster.gateway()
        gateway.start().wait()
        for subscriber in range(SUBSCRIBERS):
            wish = {"subscriber": f"agent-{subscriber}", "space": "main"}
            post(f"{gateway.url}/v1/subscriptions", json.dumps(wish).encode(), "application/json")
        rates: dict[int, list[float]] = {1: [], 2: []}
        sent = 0
        for _ in range(options.rounds):
            for count in rates:
                send(gateway.url, sent, options.messages)
                sent += options.messages
                workers = [cluster.worker(f"worker-{sent}-{number}", "route") for number in range(count)]
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.wait()
                # Timed from the first to the last that is routed: joining a group is no work.
                behind = options.messages
                while behind == options.messages:
                    behind = lag(gateway.url, "route") if lag(gateway.url, "route") >= 0 else behind
                    time.sleep(0.01)
                begun = time.monotonic()
                left = behind
                while left > options.messages // 20:
                    time.sleep(0.02)
                    left = lag(gateway.url, "route")
                rates[count].append((behind - left) / (time.monotonic() - begun))
                wait_until_read([gateway.url], "route")
                for worker in workers:
                    worker.stop()
                    cluster.forget(worker.name)
        one, two = (statistics.median(rates[count]) for count in (1, 2))
        print(f"{'route, one worker / two':<44} {one:12.0f} / {two:.0f} messages/s   ratio {two / one:.2f}", flush=True)
        figures |= {"route_one_worker_per_s": round(one), "route_two_over_one": round(two / one, 2)}


def measure_query_nodes(options: argparse.Namespace, figures: dict[str, float]) -> None:
    with Cluster("roles") as cluster:
        cluster.start_brokers(1)
        first = cluster.query("query-1")
        gateway, worker = cluster.gateway(query=[first]), cluster.worker("worker-1")
        for role in (first, gateway, worker):
            role.start()
        for role in (first, gateway, worker):
            role.wait()
        broker = cluster.brokers[0]

        def taken(nodes: list[Process], at: int) -> tuple[float, float]:
            """Processor seconds per 1,000 messages: of the last node, and of the broker."""
            before = processor_seconds(nodes[-1]), processor_seconds(broker)
            send(gateway.url, at, options.messages)
            wait_until_read([node.url for node in nodes], "")
            after = processor_seconds(nodes[-1]), processor_seconds(broker)
            return tuple((now - then) / options.messages * 1e3 for now, then in zip(after, before))

        taken([first], 0)
        _, broker_alone = taken([first], options.messages)
        second = cluster.query("query-2")
        second.start().wait()
        wait_until_read([second.url], "")
        node, broker_with = taken([first, second], 2 * options.messages)
        print(f"{'one more query node, per 1,000 messages':<44} {node * 1e3:8.0f} ms of processor; "
              f"the broker {broker_alone * 1e3:.0f} ms alone, {broker_with * 1e3:.0f} ms with it", flush=True)  # fmt: skip
        figures |= {"query_node_processor_ms_per_1000": round(node * 1e3),
                    "broker_with_second_query_node": round(broker_with / broker_alone, 2)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement of latency")
    parser.add_argument("--rounds", type=int, default=3, help="of one worker and two")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, one broker, {options.messages} messages of about 30 bytes of text", flush=True)
    figures: dict[str, float] = {}
    measure_latency(options, figures)
    measure_workers(options, figures)
    measure_query_nodes(options, figures)
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
