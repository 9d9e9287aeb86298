#!/usr/bin/env python3
"""Does anything slow the log down, or grow without end?

A server of its own takes an import at full speed (wrk, JSON lines, 2 connections). In most of every minute there are also 10
subscribers that read 16 KB a second each, and an event that no stage can read is tried again every second; in the rest of it
the import is alone, so that what changes as the log grows falls on both. All the while one message of 1 KB is sent every
20 ms, and what it took to become durable is the measure. Prints one line a minute, whether the goals were met and, last, a
JSON object.

    cargo build --release && cargo bench -p meshlog-pipeline --bench log --no-run && scripts/soak.py --minutes 10
"""

import argparse
import http.client
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

POISON = 60
SUBSCRIBERS = 10
GAP = 0.02
# A cycle in seconds: at first the import alone, then disturbed.
ALONE, DISTURBED = 10, 50
# After a change this many seconds count for neither: it is made within one, and subscribers and poison see it within another.
SETTLING = 3
# The goals: how much the disturbances may move the p99, and how much memory may be resident.
MOST_P99 = 1.2
MOST_MB = 2048
# What a minute of import at full speed was seen to leave on the disk.
GB_A_MINUTE = 4.6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--meshlog", default="target/release/meshlog")
    parser.add_argument("--model", default=os.environ.get("MESHLOG_MODEL", "models/all-MiniLM-L6-v2"))
    arguments = parser.parse_args()
    pathlib.Path(".cache").mkdir(exist_ok=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="soak.", dir=".cache"))
    try:
        soak(arguments, directory)
    finally:
        shutil.rmtree(directory)


def soak(arguments, directory):
    needed = GB_A_MINUTE * arguments.minutes
    free = shutil.disk_usage(directory).free / 1e9
    if free < needed:
        raise SystemExit(f"soak: so many minutes leave about {needed:.0f} GB on the disk and {free:.0f} are free; take fewer")
    data = directory / "data"
    bench = ["cargo", "bench", "--quiet", "--locked", "-p", "meshlog-pipeline", "--bench", "log", "--"]
    subprocess.run([*bench, "poison", "--directory", str(data.resolve()), "--records", str(POISON)], check=True)
    server = subprocess.Popen(
        [arguments.meshlog, "up", "--data", str(data), "--listen", "127.0.0.1:0", "--model", arguments.model],
        stdout=subprocess.PIPE, stderr=(directory / "log").open("w"), text=True)
    try:
        address = re.search(r"http://([\d.:]+)", server.stdout.readline())[1]
        url = f"http://{address}"
        wait_for(lambda: len(dead_letters(url)) >= POISON)
        soak = Soak(server.pid, address, arguments.minutes)
        ready = urllib.request.urlopen(f"{url}/readyz").status
        figures = soak.figures() | {"readyz": ready}
        for name, most in (("append_p99_disturbed_over_alone", MOST_P99), ("resident_mb_most", MOST_MB)):
            print(f"{name} {figures[name]:.2f}, goal <= {most}: {'met' if figures[name] <= most else 'missed'}")
        print(json.dumps({"figures": {name: round(value, 3) for name, value in figures.items()}}))
    finally:
        server.terminate()
        server.wait()


class Soak:
    """All cycles under one import: what the probes took, alone and disturbed, and `resident` in MB by the second."""

    def __init__(self, pid, address, minutes):
        self.address, self.resident, self.read, self.tried = address, [], 0, 0
        self.is_disturbed, self.is_over = threading.Event(), threading.Event()
        seconds = minutes * (ALONE + DISTURBED)
        before, started = messages(address), time.monotonic()
        load = subprocess.Popen(
            ["wrk", "--threads", "1", "--connections", "2", "--duration", f"{seconds}s", "--timeout", "60s",
             "--script", "scripts/bench-http.lua", f"http://{address}", "--", "1000"], stdout=subprocess.DEVNULL)
        disturbing = [threading.Thread(target=self.subscribe) for _ in range(SUBSCRIBERS)]
        disturbing.append(threading.Thread(target=self.poison))
        for thread in disturbing:
            thread.start()
        try:
            with multiprocessing.Pool(1) as pool:
                probing = pool.apply_async(probe, (address, seconds))
                while load.poll() is None:
                    at = time.monotonic() - started
                    (self.is_disturbed.set if is_disturbed(at) else self.is_disturbed.clear)()
                    self.resident.append(resident_mb(pid))
                    if len(self.resident) % 60 == 0:
                        last = self.resident[-60:]
                        print(f"{at:.0f} s, {messages(address):,} messages on the log, resident {min(last):.0f} to "
                              f"{max(last):.0f} MB, now {last[-1]:.0f}, of these not of files "
                              f"{resident_mb(pid, 'RssAnon'):.0f}", flush=True)  # fmt: skip
                    if probing.ready():
                        # Where it failed, there is nothing left to measure.
                        probing.get()
                    time.sleep(max(0, started + len(self.resident) - time.monotonic()))
                self.probes = probing.get()
            self.imported = (messages(address) - before) / (time.monotonic() - started)
        finally:
            load.terminate()
            self.is_over.set()
            self.is_disturbed.set()
            for thread in disturbing:
                thread.join()

    def figures(self):
        figures = {"imported_per_s": self.imported}
        for name, wanted in (("alone", False), ("disturbed", True)):
            # Nothing is counted on the edge.
            took = [(at, took) for at, took in self.probes
                    if is_disturbed(at) == wanted == is_disturbed(max(0, at - SETTLING))]  # fmt: skip
            latencies = sorted(took for _, took in took)
            cycles = range(int(self.probes[-1][0]) // (ALONE + DISTURBED) + 1)
            by_cycle = [sorted(t for at, t in took if at // (ALONE + DISTURBED) == cycle) for cycle in cycles]
            p99s = ", ".join(f"{quantile(cycle, 0.99):.1f}" for cycle in by_cycle if cycle)
            p50, p99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
            print(f"{name}: append p50 {p50:.2f} ms, p99 {p99:.2f} ms (by the minute {p99s}), max {quantile(latencies, 1):.1f} ms "
                  f"of {len(latencies)}", flush=True)  # fmt: skip
            figures |= {f"append_p50_ms_{name}": p50, f"append_p99_ms_{name}": p99}
        figures["append_p99_disturbed_over_alone"] = figures["append_p99_ms_disturbed"] / figures["append_p99_ms_alone"]
        return figures | {"resident_mb_end": self.resident[-1], "resident_mb_most": max(self.resident),
                          "subscribers_read_events": self.read, "poison_tried": self.tried}  # fmt: skip

    def subscribe(self):
        """While the import is to be disturbed: follows all messages and takes 16 KB a second of them."""
        host, port = self.address.split(":")
        while not self.is_over.is_set():
            self.is_disturbed.wait()
            with socket.socket() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
                connection.connect((host, int(port)))
                connection.sendall(f"GET /v1/events?topic=messages HTTP/1.1\r\nhost: {self.address}\r\n"
                                   "accept: text/event-stream\r\n\r\n".encode())  # fmt: skip
                while self.is_disturbed.is_set() and not self.is_over.wait(1):
                    self.read += connection.recv(16 * 1024).count(b"\ndata: ")

    def poison(self):
        """While the import is to be disturbed: has an event that no stage can read tried again, every second."""
        url = f"http://{self.address}"
        letters = [letter["id"] for letter in dead_letters(url)]
        while not self.is_over.wait(1):
            self.is_disturbed.wait()
            id = letters[self.tried % len(letters)]
            urllib.request.urlopen(urllib.request.Request(f"{url}/v1/dead-letters/{id}/redrive", method="POST")).read()
            self.tried += 1


def is_disturbed(seconds):
    return seconds % (ALONE + DISTURBED) >= ALONE


def quantile(sorted_seconds, share):
    """A quantile in milliseconds."""
    return sorted_seconds[min(int(len(sorted_seconds) * share), len(sorted_seconds) - 1)] * 1000


def probe(address, seconds):
    """When a message of 1 KB was sent and what it took to become durable, in seconds, every `GAP` seconds."""
    connection = http.client.HTTPConnection(address)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    latencies, started = [], time.monotonic()
    due = started
    while due < started + seconds:
        time.sleep(max(0, due - time.monotonic()))
        text = f"{len(latencies):08}" * 128
        body = json.dumps({"thread": f"probe-{len(latencies) % 16}", "author": "probe", "text": text})
        begun = time.monotonic()
        connection.request("POST", "/v1/messages", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 202:
            raise RuntimeError(f"a message was not taken: {answer.status} {said.decode()}")
        latencies.append((begun - started, time.monotonic() - begun))
        due = max(due + GAP, time.monotonic())
    return latencies


def get(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def messages(address):
    topics = get(f"http://{address}/v1/topics")["topics"]
    return sum(part["end"] for topic in topics if topic["name"] == "messages" for part in topic["partitions"])


def dead_letters(url):
    return get(f"{url}/v1/dead-letters?limit=500")["items"]


def resident_mb(pid, field="VmRSS"):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", status)[1]) / 1024


def wait_for(holds):
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    raise SystemExit("soak: the server did not come so far within 30 seconds")


if __name__ == "__main__":
    main()
