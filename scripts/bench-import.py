#!/usr/bin/env python3
"""How fast does history become recallable, and who notices meanwhile?

The embedder alone embeds part of the turns; then a server on an empty directory takes all of them, and the time counts until each is
stored, embedded and in every view: of the first half with nobody else there, of the second while another client adds a message, asks
a question and asks /readyz, with a pause behind each (about a dozen a second), as it did between the two with nothing to do for the server. At last the embedder
alone embeds the same part again: of the two rates the mean counts.

Turns have the lengths of real ones (CONVERSATIONS) and words of these in another order, so that none is there twice. Prints a table
and, as its last line, one JSON object. MESHLOG_BIN, MESHLOG_EMBEDDING (built by `cargo bench --no-run --bench embedding`) and
MESHLOG_MODEL name the programs and the embedding model.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = os.environ.get("MESHLOG_BIN", str(ROOT / "target/release/meshlog"))
MODEL = os.environ.get("MESHLOG_MODEL", str(ROOT / "models/all-MiniLM-L6-v2"))


def ask(url: str, body: bytes | None = None, content_type: str = "application/json") -> dict:
    request = urllib.request.Request(url, data=body, headers={"content-type": content_type} if body else {})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def bare_rate(program: str, texts: list[str], folder: Path) -> float:
    """Texts a second by the embedder alone, as many at once as a stage takes."""
    path = folder / "texts.json"
    path.write_text(json.dumps(texts))
    request = json.dumps({"texts": str(path), "batch": 64})
    out = subprocess.run([program, "--model", MODEL], input=request + "\n", capture_output=True, text=True, check=True).stdout
    return len(texts) / json.loads(out.splitlines()[-1])["seconds"]


class Client:
    """Somebody who adds, asks and looks in, one after the other, until told to stop."""

    def __init__(self, url: str, questions: list[str], source: random.Random, pause: float):
        self.took: dict[str, list[float]] = {"append": [], "recall": [], "readyz": []}
        self.url, self.questions, self.source, self.pause, self.stopped = url, questions, source, pause, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        count = 0
        while not self.stopped:
            count += 1
            question = self.source.choice(self.questions)
            new = {"thread": "by-and-by", "author": "Mina", "text": f"{count} {question}"}
            self.timed("append", "/v1/messages?wait=stored", new)
            self.timed("recall", "/v1/recall", {"query": f"{question} {count}", "spaces": ["main"], "limit": 20})
            self.timed("readyz", "/readyz", None)
            time.sleep(self.pause)

    def timed(self, kind: str, path: str, body: dict | None) -> None:
        begun = time.perf_counter()
        ask(self.url + path, None if body is None else json.dumps(body).encode())
        self.took[kind].append((time.perf_counter() - begun) * 1000)

    def stop(self) -> dict[str, list[float]]:
        self.stopped = True
        self.thread.join()
        return self.took


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def lags(url: str) -> bool:
    """Whether any stage or view still has to read what is there."""
    return any(view["lag_events"] for name in ("processors", "projections") for view in ask(f"{url}/v1/{name}")[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=Path, default=ROOT / "examples/conversations.jsonl")
    parser.add_argument("--turns", type=int, default=20_000)
    parser.add_argument("--bare", type=int, default=4_000, help="turns that the embedder alone embeds, before and after")
    parser.add_argument("--idle", type=float, default=30, help="seconds without an import")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two rounds of the client")
    options = parser.parse_args()
    program = os.environ.get("MESHLOG_EMBEDDING") or sys.exit("set MESHLOG_EMBEDDING to the program, or use `make bench-import`")
    source = random.Random(20)
    real = [json.loads(line) for line in options.conversations.read_text().splitlines()]
    words = [word for turn in real for word in turn["text"].split()]

    def turn(number: int) -> dict:
        like = source.choice(real)
        text = " ".join(source.choices(words, k=max(1, len(like["text"].split()))))
        sent_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_700_000_000 + 60 * number))
        return {"thread": f"t{number // 100}", "author": like["author"], "role": "user", "sent_at": sent_at, "text": text}

    turns = [turn(number) for number in range(options.turns)]
    part = [f"{turn['author']}: {turn['text']}" for turn in source.sample(turns, min(options.bare, len(turns)))]
    questions = [" ".join(turn["text"].split()[:8]) for turn in source.sample(turns, min(1_000, len(turns)))]
    with tempfile.TemporaryDirectory(prefix="bench-import-") as directory:
        folder = Path(directory)
        bare = [bare_rate(program, part, folder)]
        server = subprocess.Popen(
            [BINARY, "up", "--listen", "127.0.0.1:0", "--data", f"{directory}/data", "--model", MODEL],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        try:
            url = next(found.group(0) for line in server.stdout if (found := re.search(r"http://\S+", line))).rstrip("/.,")

            def take(turns: list[dict]) -> None:
                for first in range(0, len(turns), 5_000):
                    lines = "\n".join(json.dumps(turn) for turn in turns[first : first + 5_000]).encode()
                    ask(f"{url}/v1/messages?wait=stored", lines, "application/x-ndjson")

            def caught_up() -> None:
                while lags(url):
                    time.sleep(0.25)

            def history(turns: list[dict]) -> float:
                """Seconds until they are recallable, but for the few that another client adds all the time."""
                begun = time.perf_counter()
                take(turns)
                while any(view["lag_events"] > 20 for name in ("processors", "projections") for view in ask(f"{url}/v1/{name}")[name]):
                    time.sleep(0.1)
                return time.perf_counter() - begun

            half = len(turns) // 2
            alone_seconds = history(turns[:half])
            caught_up()
            client = Client(url, questions, source, options.pause)
            time.sleep(options.idle)
            idle = client.stop()
            caught_up()
            client = Client(url, questions, source, options.pause)
            shared_seconds = history(turns[half:])
            busy = client.stop()
        finally:
            server.kill()
            server.wait()
        bare.append(bare_rate(program, part, folder))
    bare_rate_mean = sum(bare) / 2
    undisturbed, shared = half / alone_seconds, (len(turns) - half + len(busy["append"])) / shared_seconds
    asked = len(busy["recall"]) / shared_seconds
    print(f"embedder alone {bare[0]:.0f} and {bare[1]:.0f} texts/s")
    print(f"recallable {undisturbed:.0f} messages/s: {undisturbed / bare_rate_mean:.0%}; beside {asked:.0f} additions and questions a second {shared:.0f}: {shared / bare_rate_mean:.0%}\n")
    figures = {"embedder": bare_rate_mean, "undisturbed": undisturbed, "shared": shared, "share": undisturbed / bare_rate_mean, "asked_per_second": asked}
    print(f"{'ms':<8}{'idle p50':>10}{'p99':>8}{'max':>8}{'import p50':>12}{'p99':>8}{'max':>8}{'p99 ratio':>11}")
    for kind in idle:
        row = [percentile(took[kind], share) for took in (idle, busy) for share in (0.5, 0.99, 1)]
        print(f"{kind:<8}{row[0]:>10.1f}{row[1]:>8.1f}{row[2]:>8.1f}{row[3]:>12.1f}{row[4]:>8.1f}{row[5]:>8.1f}{row[4] / row[1]:>11.1f}")
        figures |= {f"{kind}.idle_p99_ms": row[1], f"{kind}.p99_ms": row[4], f"{kind}.p99_ratio": row[4] / row[1]}
    print(json.dumps({"figures": figures}))


main()
