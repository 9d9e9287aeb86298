#!/usr/bin/env python3
"""Does a cluster lose, double or reorder anything while its processes are killed?

Three brokers, workers, a gateway and a query node (scripts/cluster.py) take messages at a steady rate over HTTP. Meanwhile a
worker is killed with SIGKILL every 20 s and comes back 3 s later; a broker every 60 s, one at a time and only when the cluster
is whole, and comes back 15 s later; and workers are added and removed. Each client sends a thread's messages in order and
repeats what was not acknowledged, which their ids make safe. Then it is checked that

- every message is in its thread once, in the order in which it was sent, and nothing else is;
- each message has one vector;
- each projection holds what a clean rebuild from the log holds;
- and what the same messages, sent to an embedded log in the order of their receipts, make there.

Texts repeat (there are 200), so that the embedder's cache, which each worker that comes back fills anew, keeps up with the rate
on a small machine. Prints a line every 10 s and, last, a JSON object.

    cargo build --release && scripts/fault-run.py --minutes 10 --rate 1500 --workers 4
"""

import argparse
import collections
import http.client
import json
import random
import sys
import threading
import time
import urllib.parse
import urllib.request

import cluster as processes
from cluster import Cluster, ClusterError, Role

SPACE = "faults"
THREADS = 200
TEXTS = 200
# Messages that are sent last, each in a thread of its own, so that there are some on every partition.
LAST = 40
# The most messages of one request.
MOST_LINES = 200
# How long a killed process is away, in seconds.
WORKER_AWAY, BROKER_AWAY = 3, 15
# How long a worker may take to end in order, in seconds.
LONGEST_LEAVE = 60
# How long a client waits before it repeats a request.
PAUSE = 0.5
# 2026-01-01, in seconds. Messages say when they were written, so that another log makes the same of them.
EPOCH = 1767225600


class Client(threading.Thread):
    """Sends the messages of some threads in order at a steady rate, until it is told to end and all are acknowledged."""

    def __init__(self, address: str, threads: list[int], rate: float, seed: int) -> None:
        super().__init__(name=f"client-{threads[0]}", daemon=True)
        self.address, self.threads, self.rate = address, threads, rate
        self.random = random.Random(seed)
        # How many messages of each thread are acknowledged. They have numbers from 1.
        self.acknowledged = dict.fromkeys(threads, 0)
        # Of each acknowledged message its position and what was sent.
        self.receipts: list[tuple[int, int, bytes]] = []
        self.repeated, self.duplicates, self.longest_pause = 0, 0, 0.0
        self.is_to_end, self.deadline, self.failure = False, float("inf"), ""

    def run(self) -> None:
        try:
            self.send_all()
        except Exception as error:
            self.failure = f"{self.name}: {error!r}"

    def send_all(self) -> None:
        started, sent = time.monotonic(), 0
        while not self.is_to_end:
            due = int((time.monotonic() - started) * self.rate) - sent
            if due < 1:
                time.sleep(max(0.01, min(10, MOST_LINES) / self.rate / 4))
                continue
            lines = self.next_lines(min(due, MOST_LINES), sent)
            self.send(lines)
            sent += len(lines)

    def next_lines(self, count: int, sent: int) -> list[tuple[int, bytes]]:
        """The next messages, each with its thread: the threads take turns."""
        numbers, lines = dict(self.acknowledged), []
        for index in range(sent, sent + count):
            thread = self.threads[index % len(self.threads)]
            numbers[thread] += 1
            lines.append((thread, message(thread, numbers[thread], self.random)))
        return lines

    def send(self, lines: list[tuple[int, bytes]]) -> None:
        """Sends messages until all of them are acknowledged."""
        body, begun = b"".join(line for _, line in lines), time.monotonic()
        while not (receipts := self.post(body, len(lines))):
            self.repeated += 1
            if time.monotonic() > self.deadline:
                raise TimeoutError(f"{len(lines)} messages were not acknowledged in time")
            time.sleep(PAUSE)
        self.longest_pause = max(self.longest_pause, time.monotonic() - begun)
        for (thread, line), receipt in zip(lines, receipts):
            position = receipt["position"]
            self.receipts.append((position["offset"], position["partition"], line))
            self.acknowledged[thread] += 1
            self.duplicates += receipt["duplicate"]

    def post(self, body: bytes, count: int) -> list[dict]:
        """The receipts, or none where not everything was acknowledged."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request("POST", "/v1/messages", body, {"content-type": "application/x-ndjson"})
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException):
            return []
        finally:
            connection.close()
        if answer.status == 202:
            receipts = json.loads(said)["receipts"]
            return receipts if len(receipts) == count else []
        # What no repetition mends.
        if answer.status < 500 and answer.status != 429:
            raise RuntimeError(f"a message was refused: {answer.status} {said.decode()}")
        return []


def message(thread: int, number: int, chance: random.Random) -> bytes:
    told = time.gmtime(EPOCH + number)
    text = f"This is what somebody said about thing {chance.randrange(TEXTS)}."
    return json.dumps({"id": f"{thread}/{number}", "space": SPACE, "thread": f"t{thread}", "author": f"a{thread % 7}",
                       "sent_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", told), "text": text}).encode() + b"\n"  # fmt: skip


class Faults:
    """Kills, adds and removes, one thing at a time, as the clock says."""

    def __init__(self, cluster: Cluster, workers: list[Role], worker_every: float, broker_every: float) -> None:
        self.cluster, self.workers = cluster, workers
        self.worker_every, self.broker_every = worker_every, broker_every
        self.workers_killed, self.brokers_killed, self.added, self.removed = 0, 0, 0, 0
        now = time.monotonic()
        self.next_worker, self.next_broker = now + worker_every / 2, now + broker_every / 2
        self.next_change = now + worker_every
        # What is away, and when it comes back.
        self.away: dict[str, tuple[float, processes.Process]] = {}
        self.extra: Role | None = None
        # The worker that was asked to end, and when; how long one took at the most.
        self.leaving: tuple[float, Role] | None = None
        self.longest_leave = 0.0

    def step(self) -> None:
        now = time.monotonic()
        for name, (back, process) in list(self.away.items()):
            if now >= back:
                process.start()
                del self.away[name]
        if now >= self.next_worker:
            worker = self.workers[self.workers_killed % len(self.workers)]
            self.kill(worker, WORKER_AWAY)
            self.workers_killed += 1
            self.next_worker = now + self.worker_every
        if now >= self.next_broker and not self.is_a_broker_away() and self.cluster.is_whole():
            broker = self.cluster.brokers[self.brokers_killed % len(self.cluster.brokers)]
            self.kill(broker, BROKER_AWAY)
            self.brokers_killed += 1
            self.next_broker = now + self.broker_every
        if now >= self.next_change:
            self.change()
            self.next_change = now + self.worker_every * 1.5
        self.look_for_the_dead()

    def kill(self, process: processes.Process, seconds: float) -> None:
        process.kill()
        self.away[process.name] = (time.monotonic() + seconds, process)

    def is_a_broker_away(self) -> bool:
        return any(name.startswith("broker") for name in self.away)

    def change(self) -> None:
        """Adds a worker, or asks the one that was added to end."""
        if self.extra is None:
            self.added += 1
            self.extra = self.cluster.worker(f"extra-{self.added}")
            self.extra.start()
        elif self.leaving is None:
            self.leaving = time.monotonic(), self.extra
            self.extra.child.terminate()

    def look_for_the_dead(self) -> None:
        if self.leaving is not None:
            asked, extra = self.leaving
            took = time.monotonic() - asked
            self.longest_leave = max(self.longest_leave, took)
            if extra.is_running and took < LONGEST_LEAVE:
                pass
            elif extra.child.returncode != 0:
                how = "did not end" if extra.is_running else f"ended with {extra.child.returncode}"
                raise ClusterError(f"{extra.name} {how} {took:.0f} s after it was asked to; it said last:\n{extra.last_words()}")
            else:
                self.cluster.forget(extra.name)
                self.removed += 1
                self.extra = self.leaving = None
        for process in [*self.cluster.roles.values(), *self.cluster.brokers]:
            is_expected = process.name in self.away or (self.leaving and process is self.leaving[1])
            if not is_expected and not process.is_running:
                code = process.child.returncode
                raise ClusterError(f"{process.name} ended by itself with {code}; it said last:\n{process.last_words()}")

    def end(self) -> None:
        """Brings back what is away."""
        for _, process in self.away.values():
            process.start()
        back = [process for _, process in self.away.values()]
        self.away.clear()
        if self.leaving is not None:
            self.cluster.forget(self.leaving[1].name)
        for process in [*back, *self.cluster.roles.values()]:
            process.wait()


def get(url: str, patience: float = 60) -> dict:
    with urllib.request.urlopen(url, timeout=patience) as answer:
        return json.load(answer)


def post(url: str, body: bytes, kind: str = "application/json", patience: float = 3600) -> dict:
    request = urllib.request.Request(url, body, {"content-type": kind})
    with urllib.request.urlopen(request, timeout=patience) as answer:
        return json.load(answer)


def ends(url: str) -> dict[str, int]:
    """How many records stand on each topic."""
    return {topic["name"]: sum(part["end"] for part in topic["partitions"]) for topic in get(f"{url}/v1/topics")["topics"]}


def projections(url: str, digests: bool = False) -> dict[str, dict]:
    found = get(f"{url}/v1/projections{'?digest=true' if digests else ''}", 3600)
    return {projection["name"]: projection for projection in found["projections"]}


def wait_until_caught_up(writing: str, reading: str, seconds: float) -> float:
    """Sends the last messages and waits until they are indexed, and until no projection lags."""
    begun = time.monotonic()
    lines = b"".join(message(thread, 1, random.Random(0)) for thread in range(THREADS, THREADS + LAST))
    while True:
        left = seconds - (time.monotonic() - begun)
        if left < 0:
            behind = {name: view["lag_events"] for name, view in projections(reading).items()}
            raise ClusterError(f"after {seconds:.0f} s not everything is indexed; projections are behind by {behind}")
        try:
            url = f"{writing}/v1/messages?wait=indexed&timeout_ms={min(60_000, int(left * 1000) + 1)}"
            reached = post(url, lines, "application/x-ndjson", 90).get("reached")
            if reached == "indexed" and not any(view["lag_events"] for view in projections(reading).values()):
                return time.monotonic() - begun
        except OSError:
            pass
        time.sleep(1)


def check_threads(url: str, acknowledged: dict[int, int]) -> list[str]:
    """What is wrong with the threads: missing, doubled, foreign or reordered messages."""
    wrong = []
    for thread, count in sorted(acknowledged.items()):
        found = messages_of(url, thread) if count else []
        expected = [f"{thread}/{number}" for number in range(1, count + 1)]
        ids = [source_id for source_id, _, _ in found]
        if ids != expected:
            times = collections.Counter(ids)
            missing = [id for id in expected if id not in times]
            doubled = [id for id, number in times.items() if number > 1]
            foreign = sorted(set(ids) - set(expected))
            what = f"{len(missing)} missing {missing[:5]}, {len(doubled)} doubled {doubled[:5]}, " \
                   f"{len(foreign)} never acknowledged {foreign[:5]}"  # fmt: skip
            wrong.append(f"thread {thread}: {what}" if missing or doubled or foreign else f"thread {thread}: reordered")
        if len({partition for _, partition, _ in found}) > 1:
            wrong.append(f"thread {thread} stands on several partitions")
        offsets = [offset for _, _, offset in found]
        if offsets != sorted(set(offsets)):
            wrong.append(f"thread {thread}: not in the order of the log")
    return wrong


def messages_of(url: str, thread: int) -> list[tuple[str, int, int]]:
    """Of each message of a thread its id, partition and offset, the oldest first."""
    found, cursor = [], None
    while True:
        query = {"space": SPACE, "limit": 500} | ({"cursor": cursor} if cursor else {})
        page = get(f"{url}/v1/threads/t{thread}/messages?{urllib.parse.urlencode(query)}")
        for item in page["items"]:
            found.append((item["source_id"], item["position"]["partition"], item["position"]["offset"]))
        cursor = page["next"]
        if cursor is None:
            return found


def embedded_digests(cluster: Cluster, lines: list[bytes], seconds: float) -> dict[str, str]:
    """What an embedded log that is sent these lines holds in each projection."""
    port = cluster.port()
    command = [cluster.meshlog, "up", "--data", cluster.folder / "embedded.data", "--listen", f"127.0.0.1:{port}",
               "--model", cluster.model]  # fmt: skip
    server = Role("embedded", command, port, cluster.folder)
    try:
        server.start().wait()
        for at in range(0, len(lines), 5000):
            answer = post(f"{server.url}/v1/messages", b"".join(lines[at : at + 5000]), "application/x-ndjson")
            if answer["rejected"] or answer["duplicates"]:
                raise ClusterError(f"the embedded log took messages otherwise: {answer['errors'][:3]}")
        wait_until_caught_up(server.url, server.url, seconds)
        return {name: view["digest"] for name, view in projections(server.url, digests=True).items()}
    finally:
        server.kill()


def run(options: argparse.Namespace, cluster: Cluster) -> dict[str, float]:
    cluster.start_brokers(3)
    query = cluster.query()
    gateway = cluster.gateway(query=[query])
    workers = [cluster.worker(f"worker-{number}") for number in range(1, options.workers + 1)]
    for role in (query, gateway, *workers):
        role.start()
    for role in (query, gateway, *workers):
        role.wait()
    print(f"ready: {gateway.url}, seed {options.seed}", flush=True)

    address = gateway.url.removeprefix("http://")
    clients = [
        Client(address, list(range(number, THREADS, options.clients)), options.rate / options.clients, options.seed + number)
        for number in range(options.clients)
    ]
    begun = time.monotonic()
    for client in clients:
        client.start()
    faults = Faults(cluster, workers, options.worker_every, options.broker_every)
    counts = [0]
    while (at := time.monotonic() - begun) < options.minutes * 60:
        faults.step()
        if failures := [client.failure for client in clients if client.failure]:
            raise ClusterError("; ".join(failures))
        if at >= 10 * len(counts):
            counts.append(sum(len(client.receipts) for client in clients))
            tell(at, counts, faults, query)
        time.sleep(0.2)
    for client in clients:
        client.is_to_end, client.deadline = True, time.monotonic() + 120
    for client in clients:
        client.join()
    seconds = time.monotonic() - begun
    if failures := [client.failure for client in clients if client.failure]:
        raise ClusterError("; ".join(failures))
    faults.end()
    receipts = sorted(receipt for client in clients for receipt in client.receipts)
    print(f"{len(receipts):,} messages are acknowledged after {seconds:.0f} s; waiting until they are indexed", flush=True)
    caught_up = wait_until_caught_up(gateway.url, query.url, options.patience)
    print(f"indexed {caught_up:.0f} s later; checking", flush=True)

    wrong = check_threads(gateway.url, {thread: n for client in clients for thread, n in client.acknowledged.items()})
    print(f"{len(receipts):,} messages looked for in their threads: {len(wrong)} findings", flush=True)
    on_topics = ends(query.url)
    live = {name: view["digest"] for name, view in projections(query.url, digests=True).items()}
    # A digest begins with how much it covers.
    vectors = int(live["vectors"].split("-")[0])
    if vectors != len(receipts) + LAST:
        wrong.append(f"{len(receipts) + LAST} messages have {vectors} vectors")
    for result in post(f"{query.url}/v1/verifications", b"{}")["results"]:
        print(f"{result['projection']}: live {result['live']}, rebuilt {result['rebuilt']}", flush=True)
        if not result["equal"]:
            wrong.append(f"{result['projection']} is not what the log says")
    if not options.no_embedded:
        # The cluster's share of the machine is wanted.
        for process in (*cluster.roles.values(), *cluster.brokers):
            process.kill()
        other = embedded_digests(cluster, [line for _, _, line in receipts], options.patience)
        print(f"the same input on the embedded log: {other}", flush=True)
        wrong += [f"{name} differs from the embedded log's" for name in live if live[name] != other.get(name)]
    if wrong:
        raise ClusterError(f"{len(wrong)} findings:\n" + "\n".join(wrong[:40]))
    print("every message is there once and in order; all digests are equal", flush=True)
    steps = [after - before for before, after in zip(counts, counts[1:])]
    return {
        "messages_acknowledged": len(receipts), "acknowledged_per_s": len(receipts) / seconds,
        "fewest_in_10_s": min(steps, default=0), "longest_to_acknowledge_s": max(one.longest_pause for one in clients),
        "requests_repeated": sum(client.repeated for client in clients),
        "receipts_of_repetitions": sum(client.duplicates for client in clients),
        "second_copies_of_messages": on_topics["messages"] - len(receipts) - LAST,
        "second_copies_of_embeddings": on_topics["embeddings"] - len(receipts) - LAST,
        "workers_killed": faults.workers_killed, "brokers_killed": faults.brokers_killed,
        "workers_added": faults.added, "workers_removed": faults.removed, "longest_to_leave_s": faults.longest_leave,
        "caught_up_after_s": caught_up,
    }  # fmt: skip


def tell(at: float, counts: list[int], faults: Faults, query: Role) -> None:
    try:
        behind = ", ".join(f"{name} {view['lag_events']}" for name, view in projections(query.url).items())
    except OSError as error:
        behind = f"unknown ({error})"
    print(f"{at:.0f} s: {(counts[-1] - counts[-2]) / 10:,.0f} acknowledged/s, {counts[-1]:,} in all; killed "
          f"{faults.workers_killed} workers, {faults.brokers_killed} brokers; away {list(faults.away) or 'nobody'}; "
          f"behind: {behind}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=1500, help="messages a second")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--worker-every", type=float, default=20, help="seconds between kills of workers")
    parser.add_argument("--broker-every", type=float, default=60, help="seconds between kills of brokers, at the least")
    parser.add_argument("--patience", type=float, default=1800, help="seconds until everything must be indexed")
    parser.add_argument("--no-embedded", action="store_true", help="do not compare with the embedded log")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--meshlog", default="target/release/meshlog")
    parser.add_argument("--model", default="")
    options = parser.parse_args()
    processes.end_in_order()
    try:
        with Cluster("faults", options.meshlog, options.model) as cluster:
            figures = run(options, cluster)
    except ClusterError as error:
        sys.exit(f"fault-run: {error}")
    print(json.dumps({"figures": {name: round(value, 3) for name, value in figures.items()}}))


if __name__ == "__main__":
    main()
