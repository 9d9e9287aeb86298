#!/usr/bin/env python3
"""How long does a context take, and how much of it is the beginning of the next?

A server on an empty directory gets one thread of 2,000 turns and 4,000 turns in 200 other threads of the same space; one in five says where
somebody lives, works or goes. Then the thread is asked about, with a question of its own each time, one in three of which names somebody; then it is
asked about while it grows by a question and an answer in between.

Prints a table and, as its last line, one JSON object. MESHLOG_BIN and MESHLOG_MODEL name the program and the embedding model.
"""

import argparse
import json
import os
import random
import re
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = os.environ.get("MESHLOG_BIN", str(ROOT / "target/release/meshlog"))
MODEL = os.environ.get("MESHLOG_MODEL", str(ROOT / "models/all-MiniLM-L6-v2"))
SYLLABLES = "ba be bo da de do fa fe ga ge ha he ka ke la le lo ma me mo na ne no pa pe ra re ro sa se so ta te to va ve za ze".split()
# Frequent words are few and rare ones many, as in a language.
WORDS = ["".join(random.Random(number).choices(SYLLABLES, k=2 + number % 3)) for number in range(8_000)]
WEIGHTS = [1 / (rank + 3) for rank in range(len(WORDS))]


def text(source: random.Random) -> str:
    return " ".join(source.choices(WORDS, WEIGHTS, k=source.randint(8, 40))).capitalize() + "."


NAMES = [first + last for first in ("Ada", "Bo", "Cleo", "Dov", "Ema") for last in (" Berg", " Costa", " Dunn", " Ek", "")]
PLACES = ["Oslo", "Lisbon", "Paris", "Berlin", "Madrid", "Boston", "Vienna", "Dublin"]


def fact(source: random.Random) -> str:
    """What a sentence says of somebody."""
    somebody, place = source.choice(NAMES), source.choice(PLACES)
    return source.choice(
        [f"I live in {place}.", f"{somebody} moved to {place}.", f"{somebody} works at Siemens.", f"{somebody} is my sister.", f"I met {somebody} in {place}."]
    )


def question(source: random.Random, turns: list[dict]) -> str:
    """Some words of something that was said, and now and then a name."""
    if source.random() < 1 / 3:
        return f"where does {source.choice(NAMES)} live, and what did I say of {source.choice(PLACES)}?"
    words = source.choice(turns)["text"].lower().rstrip(".").split()
    return "what did we say of " + " ".join(source.sample(words, min(len(words), 5))) + "?"


def post(url: str, body: bytes, content_type: str = "application/json") -> dict:
    request = urllib.request.Request(url, data=body, headers={"content-type": content_type})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def turn(number: int, thread: str, source: random.Random) -> dict:
    role = "user" if number % 2 == 0 else "assistant"
    sent_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_750_000_000 + 60 * number))
    said = f"{text(source)} {fact(source)}" if source.random() < 1 / 5 else text(source)
    return {"thread": thread, "author": "Mina" if role == "user" else "model", "role": role, "sent_at": sent_at, "text": said}


def lags(url: str, name: str) -> bool:
    """Whether any stage or view still has to read what is there."""
    with urllib.request.urlopen(f"{url}/v1/{name}") as answer:
        return any(view["lag_events"] for view in json.load(answer)[name])


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2_000)
    parser.add_argument("--others", type=int, default=4_000)
    parser.add_argument("--asked", type=int, default=200)
    options = parser.parse_args()
    source = random.Random(7)
    figures = {}
    with tempfile.TemporaryDirectory(prefix="bench-context-") as directory:
        server = subprocess.Popen(
            [BINARY, "up", "--listen", "127.0.0.1:0", "--data", f"{directory}/data", "--model", MODEL],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        try:
            url = next(found.group(0) for line in server.stdout if (found := re.search(r"http://\S+", line))).rstrip("/.,")
            lines = [turn(number, "long", source) for number in range(options.turns)]
            lines += [turn(number // 200, f"other-{number % 200}", source) for number in range(options.others)]
            body = "\n".join(json.dumps(line) for line in lines).encode()
            post(f"{url}/v1/messages?wait=stored", body, "application/x-ndjson")
            print(f"{'budget':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'recall p50':>10} {'p99':>6} {'tokens':>7} {'same beginning':>15}")
            for budget in (1_000, 4_096, 16_000):
                took, recall, counted, same, before = [], [], [], [], None
                def prompt_of(query: str) -> str:
                    request = {"thread": "long", "query": query, "budget_tokens": budget}
                    begun = time.perf_counter()
                    context = post(f"{url}/v1/context", json.dumps(request).encode())
                    took.append((time.perf_counter() - begun) * 1000)
                    assert context["tokens"] <= budget, context
                    counted.append(context["tokens"])
                    prompt = "".join(message["content"] for message in context["messages"])
                    return prompt[: prompt.index("<memory now=")]

                while any(lags(url, name) for name in ("processors", "projections")):
                    time.sleep(1)
                for _ in range(options.asked):
                    query = json.dumps({"query": question(source, lines), "spaces": ["main"], "limit": 40})
                    begun = time.perf_counter()
                    post(f"{url}/v1/recall", query.encode())
                    recall.append((time.perf_counter() - begun) * 1000)
                    prompt_of(question(source, lines))
                timed = len(took)
                for number in range(options.asked):
                    prompt = prompt_of(question(source, lines))
                    if before is not None:
                        same.append(len(os.path.commonprefix([before, prompt])) / max(1, len(before)))
                    before = prompt
                    for role in (0, 1):
                        at = time.gmtime(1_780_000_000 + 2 * number + role + budget * 1000)
                        new = {**turn(role, "long", source), "sent_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", at)}
                        post(f"{url}/v1/messages?wait=stored", json.dumps(new).encode())
                # While the thread grows its new turns are embedded, so only what was asked before that is timed.
                del took[timed:]
                kept = sum(share > 0.999 for share in same) / len(same)
                print(
                    f"{budget:>8} {percentile(took, .5):>8.1f} {percentile(took, .99):>8.1f} {max(took):>8.1f} {percentile(recall, .5):>10.1f}"
                    f" {percentile(recall, .99):>6.1f} {max(counted):>7} {kept:>14.0%}"
                )
                figures |= {
                    f"{budget}.p50_ms": percentile(took, 0.5), f"{budget}.p99_ms": percentile(took, 0.99), f"{budget}.max_ms": max(took),
                    f"{budget}.recall_p50_ms": percentile(recall, 0.5), f"{budget}.recall_p99_ms": percentile(recall, 0.99),
                    f"{budget}.tokens": max(counted), f"{budget}.beginning_kept": kept,
                    f"{budget}.beginning_shared": sum(same) / len(same),
                }
        finally:
            server.kill()
            server.wait()
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
