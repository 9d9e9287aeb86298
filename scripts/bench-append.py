#!/usr/bin/env python3
"""Durable appends of the embedded log beside those of Apache Kafka and NATS JetStream, in one run on one disk.

Closed loop: a producer sends its next record when the one before is acknowledged. The rounds go in turn: a plain file, the
log, then each peer's server, started for the round on an empty directory. The log and Kafka are written to in the same ways
(partitions; producers that are tasks or threads) and compared way by way; NATS, which has other ways, counts with its fastest
and is compared with the log's first. Ratios are medians of the rounds' ratios. The last line is one JSON object.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache/peers"
PRODUCERS = (1, 8, 64)
# The log's rate over a competitor's, at so many producers.
GOALS = {("fdatasync", 1): 0.6, ("kafka_fsync", 64): 4, ("kafka", 64): 0.9, ("nats_always", 64): 10}
BUILD = ["cargo", "bench", "--locked", "-p", "meshlog-pipeline", "--bench", "log", "--no-run", "--message-format=json"]

# How producers write: partitions, and whether they are tasks (in Kafka callbacks of one client) or threads that wait (in Kafka
# of one client, too). The first is the log's default.
WAYS = ((4, "tasks"), (1, "tasks"), (4, "threads"), (1, "threads"))
# A round of one competitor: for each number of producers and each way "rate" in records/s and "p99" in ms.
Round = dict[int, dict[tuple, dict]]


class Kafka:
    """One broker, which is its own controller, with Kafka's defaults but for what one node needs."""

    JARS = f"{CACHE}/kafka/*"
    # Those of Kafka's own start script.
    JVM = ["-Xms1g", "-Xmx1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
           "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"]  # fmt: skip
    CLUSTER = "bWVzaGxvZy1iZW5jaC1hcA"

    def __init__(self, flush_messages: str) -> None:
        self.flush_messages = flush_messages
        [jar] = (CACHE / "kafka").glob("kafka-server-[0-9]*.jar")
        java = subprocess.run(["java", "-version"], check=True, stderr=subprocess.PIPE, text=True).stderr.splitlines()[0]
        fsync = "flush.messages=1 (fsync before ack)" if flush_messages == "1" else "flush.messages by default (no fsync)"
        self.settings = (f"{jar.stem}, one KRaft broker, {fsync}, {java}, {' '.join(self.JVM)}; "
                         "idempotent clients, acks=all, linger.ms=0, batch.size=131072")  # fmt: skip

    @contextlib.contextmanager
    def serve(self, directory: pathlib.Path) -> Iterator[str]:
        broker, controller = free_ports(2)
        settings = directory / "server.properties"
        text = (ROOT / "scripts/peers/kafka/server.properties").read_text()
        for name, value in {"BROKER_PORT": broker, "CONTROLLER_PORT": controller, "FOLDER": directory}.items():
            text = text.replace(name, str(value))
        settings.write_text(text)
        java = ["java", "-cp", self.JARS]
        output([*java, "kafka.tools.StorageTool", "format", "-t", self.CLUSTER, "-c", settings], directory, 60)
        with process(["java", *self.JVM, "-cp", self.JARS, "kafka.Kafka", settings], directory / "server"):
            yield f"127.0.0.1:{broker}"

    def client(self, address: str, seconds: int, length: int) -> list:
        program = ROOT / "scripts/peers/kafka/KafkaAppend.java"
        return ["java", "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", self.JARS, program,
                address, self.flush_messages, seconds, length, *PRODUCERS]  # fmt: skip


class Nats:
    """One server with one stream in files."""

    SERVER = CACHE / "nats/nats-server"

    def __init__(self, sync_interval: str) -> None:
        self.sync_interval = sync_interval
        version = subprocess.run([self.SERVER, "--version"], check=True, capture_output=True, text=True).stdout.strip()
        fsync = "always (fsync before ack)" if sync_interval == "always" else "by default (fsync every 2 min)"
        self.settings = f"{version}, one JetStream server, one stream, file storage, sync_interval {fsync}"

    @contextlib.contextmanager
    def serve(self, directory: pathlib.Path) -> Iterator[str]:
        [port] = free_ports(1)
        settings = directory / "server.conf"
        sync = f", sync_interval: {self.sync_interval}" if self.sync_interval else ""
        settings.write_text(f'listen: "127.0.0.1:{port}"\njetstream: {{store_dir: "{directory}/data"{sync}}}\n')
        with process([self.SERVER, "-c", settings], directory / "server"):
            yield f"nats://127.0.0.1:{port}"

    def client(self, address: str, seconds: int, length: int) -> list:
        return [CACHE / "nats/nats-append", address, seconds, length, *PRODUCERS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="kafka,nats", help="kafka, nats, both with a comma between them, or none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="for each number of producers and each way to write")
    parser.add_argument("--bytes", type=int, default=1024, help="length of a record")
    options = parser.parse_args()
    names = [] if options.peers == "none" else options.peers.split(",")
    if not set(names) <= {"kafka", "nats"} or min(options.rounds, options.seconds, options.bytes) < 1:
        parser.error("peers are kafka, nats or none; the numbers are 1 or more")
    for number in STOPS:
        signal.signal(number, stop)

    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run([ROOT / "scripts/peers/fetch.sh", CACHE, *names], check=True)
    built = subprocess.run(BUILD, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    # Run without cargo, so that a stop reaches it.
    [bench] = filter(None, (json.loads(line).get("executable") for line in built.splitlines()))
    peers = {}
    if "kafka" in names:
        peers |= {"kafka_fsync": Kafka("1"), "kafka": Kafka("default")}
    if "nats" in names:
        peers |= {"nats_always": Nats("always"), "nats": Nats("")}

    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    print(f"{machine()}; {disk()}")
    print(f"records of {options.bytes} bytes, closed loop, {options.rounds} rounds of {options.seconds} s a figure")
    print("  fdatasync    a plain file: one thread, whatever the number of producers, writes a record, then fdatasync")
    print(f"  log          Meshlog {commit.strip()}, in process, acknowledged after fdatasync (its default)")
    for name, peer in peers.items():
        print(f"  {name:<12} {peer.settings}")
    if os.getloadavg()[0] > 1:
        print("  WARNING: something else runs on this machine; the figures, those of one thread above all, are not the disk's")
    rounds = []
    for number in range(1, options.rounds + 1):
        print(f"\nround {number}, load {os.getloadavg()[0]:.1f}", flush=True)
        with scratch() as directory:
            rounds.append(measure_log(bench, directory, options.seconds, options.bytes))
        for name, peer in peers.items():
            with scratch() as directory:
                rounds[-1][name] = measure_peer(name, peer, directory, options.seconds, options.bytes)
    report(rounds)


def measure_log(bench: str, directory: pathlib.Path, seconds: int, length: int) -> dict[str, Round]:
    """The plain file and the log, in one process for each way."""
    log: Round = {count: {} for count in PRODUCERS}
    plain = []
    for way in WAYS:
        partitions, form = way
        command = [bench, "append", "--seconds", seconds, "--rounds", 1, "--bytes", length, "--directory", directory,
                   "--partitions", partitions, "--threads", int(form == "threads")]  # fmt: skip
        figures = json.loads(output(command, directory, patience=60 + 8 * seconds)[-1])["figures"]
        plain.append(figures["plain_fdatasync_per_s"])
        tell("fdatasync", 1, plain[-1])
        for count in PRODUCERS:
            log[count][way] = {"rate": figures[f"append_per_s_{count}"], "p99": figures[f"append_p99_ms_{count}"]}
            tell("log", count, log[count][way]["rate"], way)
    # The one thread of the plain file is measured beside each way, and compared with each.
    return {"fdatasync": {count: {way: {"rate": rate} for way, rate in zip(WAYS, plain)} for count in PRODUCERS}, "log": log}


def measure_peer(name: str, peer: Kafka | Nats, directory: pathlib.Path, seconds: int, length: int) -> Round:
    with peer.serve(directory) as address:
        lines = output(peer.client(address, seconds, length), directory, patience=120 + 24 * seconds)
    found: Round = {count: {} for count in PRODUCERS}
    for run in map(json.loads, lines):
        way = (run["partitions"], run["form"]) if "form" in run else WAYS[0]
        tell(name, run["producers"], run["rate"], way if "form" in run else (run["way"],))
        ways = found[run["producers"]]
        if run["rate"] > ways.get(way, {"rate": 0})["rate"]:
            ways[way] = run
    return found


def tell(name: str, count: int, rate: float, way: tuple = ()) -> None:
    print(f"  {name:<12} {count:>2}: {rate:>9.0f}/s  {' '.join(map(str, way))}".rstrip(), flush=True)


def report(rounds: list[dict[str, Round]]) -> None:
    print(f"\nmedians of the rounds; load {os.getloadavg()[0]:.1f}")
    print(f"{'producers':<10} {'partitions':<11} {'form':<8} {'':<12} {'records/s':>10} {'p99 ms':>8} {'log / it':>9}")
    figures = {}
    for count in PRODUCERS:
        for way in WAYS:
            for name in rounds[0]:
                runs = [runs[name][count].get(way) for runs in rounds]
                if None not in runs:
                    logs = [runs["log"][count][way]["rate"] for runs in rounds]
                    row(figures, count, way, name, runs, logs)
    print(json.dumps({"figures": {name: round(value, 3) for name, value in figures.items()}}))


def row(figures: dict[str, float], count: int, way: tuple, name: str, runs: list[dict], logs: list[float]) -> None:
    partitions, form = way
    figure = f"{name}_{count}_{partitions}_{form}"
    rate = figures[f"per_s_{figure}"] = statistics.median(run["rate"] for run in runs)
    line = f"{count:<10} {partitions:<11} {form:<8} {name:<12} {rate:>10.0f}"
    if name != "fdatasync":
        p99 = figures[f"p99_ms_{figure}"] = statistics.median(run["p99"] for run in runs)
        line += f" {p99:>8.2f}"
    if name != "log":
        ratio = figures[f"log_over_{figure}"] = statistics.median(log / run["rate"] for log, run in zip(logs, runs))
        line = f"{line:<63} {ratio:>9.2f}"
        if goal := GOALS.get((name, count)):
            line += f"  goal >= {goal}: {'met' if ratio >= goal else 'missed'}"
    print(line)


def output(command: list, directory: pathlib.Path, patience: float) -> list[str]:
    """The lines that a program prints; where it fails, the end of what it and its server said before."""
    with process(command, directory / "client", stdout=subprocess.PIPE, text=True) as client:
        try:
            said, _ = client.communicate(timeout=patience)
            why = f"it ended with {client.returncode}"
        except subprocess.TimeoutExpired:
            why = f"it had not ended after {patience} s"
    if client.returncode == 0:
        return said.splitlines()
    for log in (directory / "server", directory / "client"):
        if log.exists():
            sys.stderr.write(log.read_text(errors="replace")[-4000:])
    sys.exit(f"bench-append: {why}: {' '.join(map(str, command))}")


@contextlib.contextmanager
def process(command: list, log: pathlib.Path, **settings) -> Iterator[subprocess.Popen]:
    """Ends with the block, by its process id. What it says goes to the log."""
    with log.open("w") as file:
        child = subprocess.Popen(list(map(str, command)), **{"stdout": file, "stderr": file, **settings})
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(timeout=15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def scratch() -> Iterator[pathlib.Path]:
    """An empty directory on the disk of all others; nothing of it is left to be written when the next run starts."""
    with tempfile.TemporaryDirectory(prefix="data-", dir=CACHE) as directory:
        yield pathlib.Path(directory)
    os.sync()


STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop(number: int, _frame: object) -> None:
    """Runs every clean-up on the way out, and does so once."""
    for other in STOPS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in sockets]


def machine() -> str:
    fields = dict(line.split(":", 1) for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = fields.get("model name", platform.machine())
    return f"CPU: {model}, {os.cpu_count()} cores; {memory:.0f} GiB; Linux {platform.release()}"


def disk() -> str:
    """The file system that holds the data."""
    mounts = [line.split()[:3] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    device, _, kind = max((mount for mount in mounts if CACHE.is_relative_to(mount[1])), key=lambda mount: len(mount[1]))
    return f"disk: {kind} on {device}"


if __name__ == "__main__":
    main()
