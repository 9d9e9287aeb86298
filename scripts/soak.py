#!/usr/bin/env python3
"""Does anything slow the log down, or grow without end?

A server of its own takes an import at full speed (wrk, JSON lines, 2 connections) for two periods. In the first there is
nothing else; in the second there are also 10 subscribers that read 16 KB a second each, and an event that no stage can read
is tried again every second. All the while one message of 1 KB is sent every 20 ms, and what it took to become durable is the
measure. Prints one line a minute, whether the goals were met and, last, a JSON object.

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
# The goals: how much the disturbances may move the p99, and how much memory may be resident.
MOST_P99 = 1.2
MOST_MB = 2048


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="of the second period")
    parser.add_argument("--baseline-minutes", type=float, default=3, help="of the first")
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
        first = Period("import", server.pid, address, arguments.baseline_minutes, disturbed=False)
        second = Period("import, slow subscribers, poison", server.pid, address, arguments.minutes, disturbed=True)
        ready = urllib.request.urlopen(f"{url}/readyz").status
        figures = {
            "append_p99_ms_import": first.p99, "append_p99_ms_soak": second.p99,
            "append_p99_soak_over_import": second.p99 / first.p99,
            "append_p50_ms_import": first.p50, "append_p50_ms_soak": second.p50,
            "imported_per_s_import": first.imported, "imported_per_s_soak": second.imported,
            "resident_mb_import_end": first.resident[-1], "resident_mb_soak_end": second.resident[-1],
            "resident_mb_most": max(first.resident + second.resident),
            "subscribers_read_events": second.read, "poison_tried": second.tried, "readyz": ready,
        }
        for name, most in (("append_p99_soak_over_import", MOST_P99), ("resident_mb_most", MOST_MB)):
            print(f"{name} {figures[name]:.2f}, goal <= {most}: {'met' if figures[name] <= most else 'missed'}")
        print(json.dumps({"figures": {name: round(value, 3) for name, value in figures.items()}}))
    finally:
        server.terminate()
        server.wait()


class Period:
    """A period under load: `p50`, `p99` in milliseconds, `imported` messages a second, `resident` in MB by the minute."""

    def __init__(self, name, pid, address, minutes, disturbed):
        self.resident, self.read, self.tried = [], 0, 0
        self.over = threading.Event()
        seconds = minutes * 60
        before, started = messages(address), time.monotonic()
        load = subprocess.Popen(
            ["wrk", "--threads", "1", "--connections", "2", "--duration", f"{int(seconds)}s", "--timeout", "60s",
             "--script", "scripts/bench-http.lua", f"http://{address}", "--", "1000"], stdout=subprocess.DEVNULL)
        disturbing = []
        if disturbed:
            disturbing = [threading.Thread(target=self.subscribe, args=(address,)) for _ in range(SUBSCRIBERS)]
            disturbing.append(threading.Thread(target=self.poison, args=(f"http://{address}",)))
        for thread in disturbing:
            thread.start()
        with multiprocessing.Pool(1) as pool:
            probing = pool.apply_async(probe, (address, seconds))
            while load.poll() is None:
                time.sleep(min(60, max(1, started + seconds - time.monotonic())))
                self.resident.append(resident_mb(pid))
                print(f"{name}: {time.monotonic() - started:.0f} s, {messages(address):,} messages on the log, "
                      f"resident {self.resident[-1]:.0f} MB, of these not of files {resident_mb(pid, 'RssAnon'):.0f} MB", flush=True)
            latencies = sorted(probing.get())
        self.imported = (messages(address) - before) / (time.monotonic() - started)
        self.over.set()
        for thread in disturbing:
            thread.join()
        self.p50, self.p99 = (latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
        print(f"{name}: append p50 {self.p50:.2f} ms, p99 {self.p99:.2f} ms, max {latencies[-1] * 1000:.1f} ms of "
              f"{len(latencies)}; {self.imported:,.0f} messages/s; "
              f"subscribers read {self.read}, poison tried {self.tried}", flush=True)

    def subscribe(self, address):
        """Follows all messages and takes 16 KB a second of them."""
        host, port = address.split(":")
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        connection.connect((host, int(port)))
        connection.sendall(f"GET /v1/events?topic=messages HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n".encode())
        while not self.over.wait(1):
            self.read += connection.recv(16 * 1024).count(b"\ndata: ")
        connection.close()

    def poison(self, url):
        """Has an event that no stage can read tried again, every second."""
        letters = [letter["id"] for letter in dead_letters(url)]
        while not self.over.wait(1):
            id = letters[self.tried % len(letters)]
            urllib.request.urlopen(urllib.request.Request(f"{url}/v1/dead-letters/{id}/redrive", method="POST")).read()
            self.tried += 1


def probe(address, seconds):
    """What it took a message of 1 KB to become durable, in seconds, every `GAP` seconds."""
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
        answer.read()
        assert answer.status == 202, answer.status
        latencies.append(time.monotonic() - begun)
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
