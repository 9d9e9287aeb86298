#!/usr/bin/env python3
"""How fast are texts embedded, and how exactly, beside other engines on the same texts in the same run?

Meshlog's embedder (both precisions) and the engines of scripts/peers/embedding/peer.py embed the same lists of texts in turn, round
after round, each in a process that stays open: texts of 8, 41, 128 and 256 word pieces, and real turns (CONVERSATIONS), 1, 8, 32
and 128 at a time. Of every figure the median over the rounds is taken. How exact they are is told by cosines to PyTorch in 32 bits
over 1,000 varied texts. Prints tables and, as its last line, one JSON object.

MESHLOG_EMBEDDING names the program to run (built by `cargo bench --no-run --bench embedding`).
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEER = ROOT / "scripts/peers/embedding/peer.py"
PEERS = ["torch-f32", "torch-bf16", "onnx-f32", "onnx-int8", "openvino-bf16"]
LENGTHS = [8, 41, 128, 256]
FEATURES = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_bf16", "amx_int8"]
SCRIPTS = [
    "你好，世界。今天天气很好，我们去港口看船吧。", "Привет, как дела? Паром опоздал на три часа.", "مرحبا بالعالم، السفينة تأخرت اليوم",
    "नमस्ते दुनिया, नाव देर से आई", "こんにちは世界。船は遅れています。", "안녕하세요 세계, 배가 늦었어요", "Γειά σου Κόσμε, το πλοίο άργησε",
    "שלום עולם, הספינה מאחרת", "สวัสดีชาวโลก", "🎉", "🏕️🏔️🎉 😀 👩‍👩‍👧", "", " ", "\n\t \n", "ok", "?", "[CLS] [PAD] [MASK]", "x" * 600,
    "def area(r):\n    return 3.14159 * r ** 2  # circle", "https://example.org/a/b?c=d&e=f#g", "1234567890 3.14159 -7e-12 0xFFEE", "ÄÖÜ ß é è ñ ø å",
]


class Engine:
    def __init__(self, command: list[str], environment: dict[str, str]):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=os.environ | environment
        )
        self.name = self.answer()["ready"]

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args} ended with {self.process.wait()}; run it by hand to see why")
        return json.loads(line)

    def embed(self, texts: Path, batch: int, vectors: Path | None = None) -> float:
        request = {"texts": str(texts), "batch": batch, "vectors": vectors and str(vectors)}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self.answer()["seconds"]


def words(model: Path) -> list[str]:
    """Words that are one word piece each."""
    vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    return sorted(word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2)


def varied(words: list[str], turns: list[str], chance: random.Random) -> list[str]:
    """1,000 texts of 1 to 512 word pieces in many scripts."""
    texts = list(SCRIPTS)
    texts += [chance.choice(SCRIPTS) + " " + chance.choice(SCRIPTS) for _ in range(78)]
    texts += [" ".join(chance.sample(words, chance.choice([1, 2, 5, 20, 60, 150, 400]))) for _ in range(300)]
    texts += [" ".join(chance.choices(turns, k=chance.randrange(1, 12))) for _ in range(300)]
    while len(texts) < 1000:
        texts.append(chance.choice(turns))
    return texts


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    field = lambda name: next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
    has = [feature for feature in FEATURES if feature in field("flags").split()]
    return f"{field('model name') or platform.machine()}, {os.cpu_count()} cores, {' '.join(has)}"


def cosines(first: list[list[float]], second: list[list[float]]) -> list[float]:
    dot = lambda a, b: sum(x * y for x, y in zip(a, b))
    return [dot(a, b) / (dot(a, a) * dot(b, b)) ** 0.5 for a, b in zip(first, second)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/all-MiniLM-L6-v2")
    parser.add_argument("--python", default=sys.executable, help="a Python with the peers' packages")
    parser.add_argument("--peers", default=",".join(PEERS), help="which of them, separated by commas; may be empty")
    parser.add_argument("--ours", default="f32,int8", help="which precisions of Meshlog, each alone or as PRECISION:KERNEL")
    parser.add_argument("--conversations", type=Path, default=ROOT / "examples/conversations.jsonl")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batches", default="1,8,32,128")
    parser.add_argument("--lists", default="", help="which lists of texts; all by default")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache/peers/embedding")
    options = parser.parse_args()
    program = os.environ.get("MESHLOG_EMBEDDING") or sys.exit("set MESHLOG_EMBEDDING to the program, or use `make bench-embedding`")
    options.cache.mkdir(parents=True, exist_ok=True)
    model, threads = str(options.model), str(options.threads)
    split = lambda text: [part for part in text.split(",") if part]

    chance = random.Random(41)
    vocabulary = words(options.model)
    lines = [json.loads(line) for line in options.conversations.read_text().splitlines()]
    turns = [f"{line['author']}: {line['text']}" for line in lines]
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)

        def put(name: str, texts: list[str]) -> Path:
            path = folder / f"{name}.json"
            path.write_text(json.dumps(texts))
            return path

        def of_length(length: int) -> list[str]:
            count = max(16, min(256, 256 * 41 // length))
            return [" ".join(chance.choices(vocabulary, k=length - 2)) for _ in range(count)]

        lists = {f"{length} pieces": put(str(length), of_length(length)) for length in LENGTHS}
        lists["turns"] = put("turns", chance.sample(turns, min(256, len(turns))))
        if options.lists:
            lists = {name: path for name, path in lists.items() if name in split(options.lists)}
        exact = put("varied", varied(vocabulary, turns, chance))

        engines = []
        for ours in split(options.ours):
            precision, _, kernel = ours.partition(":")
            command = [program, "--model", model, "--precision", precision, *(["--kernel", kernel] if kernel else [])]
            engines.append(Engine(command, {"RAYON_NUM_THREADS": threads}))
        for peer in split(options.peers):
            engines.append(Engine([options.python, str(PEER), peer, model, threads, str(options.cache)], {}))

        print(cpu(), f"· {threads} threads · median of {options.rounds} rounds, in turn\n")
        figures: dict = {}
        batches = [int(batch) for batch in split(options.batches)]
        for name, path in lists.items():
            count = len(json.loads(path.read_text()))
            for engine in engines:
                engine.embed(path, max(batches))
            for batch in batches:
                taken = {engine.name: [] for engine in engines}
                for _ in range(options.rounds):
                    for engine in engines:
                        taken[engine.name].append(engine.embed(path, batch))
                rates = {engine: count / statistics.median(seconds) for engine, seconds in taken.items()}
                figures.setdefault(name, {})[batch] = rates
        width = max(len(engine.name) for engine in engines)
        for name, by_batch in figures.items():
            print(f"{name}, texts/s".ljust(width), *(f"{f'{batch} at a time':>14}" for batch in batches))
            for engine in engines:
                print(engine.name.ljust(width), *(f"{by_batch[batch][engine.name]:14.0f}" for batch in batches))
            print()

        accuracy: dict = {}
        reference = next((engine for engine in engines if engine.process.args[-4:-3] == ["torch-f32"]), None)
        if reference:
            vectors: dict = {}
            for engine in engines:
                out = folder / "vectors"
                engine.embed(exact, 32, out)
                vectors[engine.name] = json.loads(out.read_text())
            print("cosine to PyTorch f32, 1,000 varied texts".ljust(width), f"{'mean':>10} {'worst':>10}")
            for engine in engines:
                found = cosines(vectors[engine.name], vectors[reference.name])
                accuracy[engine.name] = {"mean": statistics.mean(found), "worst": min(found)}
                print(engine.name.ljust(41), f"{statistics.mean(found):10.6f} {min(found):10.6f}")
        for engine in engines:
            engine.process.stdin.close()
        print(json.dumps({"cpu": cpu(), "threads": options.threads, "rates": figures, "accuracy": accuracy}))


main()
