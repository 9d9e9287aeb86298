#!/usr/bin/env python3
"""How long does a context take, and how much of it is the beginning of the next?

A server on an empty directory gets one thread of 2,000 turns and 8,000 turns in 200 other threads of the same space. Then the
thread is asked about, with a question of its own each time, and grows by a question and an answer in between.

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
WORDS = (
    "harbour ferry tide lighthouse keeper rope anchor mast sail storm cargo pier boathouse lifebuoy captain map island cliff"
    " garden roof kitchen letter train ticket market bread coffee winter summer river bridge school doctor concert museum"
    " we they she bought sold found lost repaired painted carried answered promised decided about with near before after the a"
).split()


def text(random_source: random.Random) -> str:
    return " ".join(random_source.choice(WORDS) for _ in range(random_source.randint(8, 40))).capitalize() + "."


def post(url: str, body: bytes, content_type: str = "application/json") -> dict:
    request = urllib.request.Request(url, data=body, headers={"content-type": content_type})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def turn(number: int, thread: str, random_source: random.Random) -> dict:
    role = "user" if number % 2 == 0 else "assistant"
    sent_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_750_000_000 + 60 * number))
    return {"thread": thread, "author": "Mina" if role == "user" else "model", "role": role, "sent_at": sent_at, "text": text(random_source)}


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2_000)
    parser.add_argument("--others", type=int, default=8_000)
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
            post(f"{url}/v1/messages?wait=indexed&timeout=600s", body, "application/x-ndjson")
            while any(view["lag_events"] for view in json.load(urllib.request.urlopen(f"{url}/v1/projections"))["projections"]):
                time.sleep(1)
            print(f"{'budget':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'recall p50':>10} {'p99':>6} {'tokens':>7} {'same beginning':>15}")
            for budget in (1_000, 4_096, 16_000):
                took, recall, tokens, same, before = [], [], 0, [], None
                for number in range(options.asked):
                    query = text(source)
                    begun = time.perf_counter()
                    post(f"{url}/v1/recall", json.dumps({"query": query, "spaces": ["main"], "limit": 40}).encode())
                    recall.append((time.perf_counter() - begun) * 1000)
                    query = text(source)
                    request = {"thread": "long", "query": query, "budget_tokens": budget}
                    begun = time.perf_counter()
                    context = post(f"{url}/v1/context", json.dumps(request).encode())
                    took.append((time.perf_counter() - begun) * 1000)
                    assert context["tokens"] <= budget, context
                    tokens = max(tokens, context["tokens"])
                    prompt = "".join(message["content"] for message in context["messages"])
                    prompt = prompt[: prompt.index("<memory now=")]
                    if before is not None:
                        same.append(len(os.path.commonprefix([before, prompt])) / max(1, len(before)))
                    before = prompt
                    for role in (0, 1):
                        new = {**turn(role, "long", source), "sent_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_780_000_000 + 2 * number + role + budget * 1000))}
                        post(f"{url}/v1/messages?wait=stored", json.dumps(new).encode())
                kept = sum(share > 0.999 for share in same) / len(same)
                print(
                    f"{budget:>8} {percentile(took, .5):>8.1f} {percentile(took, .99):>8.1f} {max(took):>8.1f} {percentile(recall, .5):>10.1f}"
                    f" {percentile(recall, .99):>6.1f} {tokens:>7} {kept:>14.0%}"
                )
                figures |= {
                    f"{budget}.p50_ms": percentile(took, 0.5), f"{budget}.p99_ms": percentile(took, 0.99), f"{budget}.max_ms": max(took),
                    f"{budget}.recall_p50_ms": percentile(recall, 0.5), f"{budget}.recall_p99_ms": percentile(recall, 0.99),
                    f"{budget}.tokens": tokens, f"{budget}.beginning_kept": kept,
                    f"{budget}.beginning_shared": sum(same) / len(same),
                }
        finally:
            server.kill()
            server.wait()
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
