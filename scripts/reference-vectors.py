#!/usr/bin/env python3
"""Writes processors/tests-data/minilm-reference.json: vectors of all-MiniLM-L6-v2 as sentence-transformers computes them.

The fixture is kept in the repository; run this only to make it anew:

    scripts/fetch-model.sh
    python3 -m venv .cache/reference && .cache/reference/bin/pip install torch==2.15.0 sentence-transformers==5.*
    HF_HUB_OFFLINE=1 .cache/reference/bin/python scripts/reference-vectors.py

PyTorch from PyPI needs its CUDA libraries beside it even on a machine without a graphics card.
Every text is embedded alone, in 32-bit floats, on the CPU.
"""

import json
import pathlib

from sentence_transformers import SentenceTransformer

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "all-MiniLM-L6-v2"
FIXTURE = ROOT / "processors" / "tests-data" / "minilm-reference.json"

# Both run past the limit of 256 word pieces; the second in a script that is split into single characters.
LONG = " ".join(
    f"On day {day} the harbour crane lifted {day * 7 % 43} containers before the {wind} wind stopped it."
    for day, wind in zip(range(1, 41), ["western", "northern", "gusty", "steady", "evening"] * 8)
)
LONG_CHINESE = "港口的起重机每天早上都会把集装箱搬到船上，直到风变得太大为止。" * 20

TEXTS = [
    "Which lamp did Nora choose for the reading corner?",
    "ok",
    "",
    "   \n\t  ",
    "The rebuild finished at 04:12; three shards lag by 1,840 events, none lost.",
    "Die Bäckerei in der Königstraße öffnet erst um halb acht, außer sonntags.",
    "夕方の市場で、彼女は青いガラスの花瓶を選んだ。",
    "party at 8 🎉🎂 bring 🍕 and the small 👩‍👩‍👧 tent 🏕️",
    'fn drain(queue: &mut Vec<u64>) -> u64 {\n    queue.drain(..).filter(|id| id % 2 == 0).sum()\n}',
    "control\x00characters\x07inside\u200b a line\u2028and \ufffd marks",
    "She asked twice whether the ferry still runs in winter, and the man at the kiosk, who had clearly been asked the "
    "same question by every visitor since September, pointed at the faded timetable without looking up from his book.",
    LONG,
    LONG_CHINESE,
    "supercalifragilistic" * 12,
]


def main() -> None:
    model = SentenceTransformer(str(MODEL), device="cpu")
    assert model.max_seq_length == 256, model.max_seq_length
    vectors = [model.encode(text, convert_to_numpy=True).astype("float32") for text in TEXTS]
    entries = [
        {"text": text, "vector": [round(float(value), 6) for value in vector]} for text, vector in zip(TEXTS, vectors)
    ]
    lines = ",\n".join(json.dumps(entry, ensure_ascii=True, separators=(",", ":")) for entry in entries)
    FIXTURE.parent.mkdir(parents=True, exist_ok=True)
    FIXTURE.write_text(f"[\n{lines}\n]\n")
    print(f"{len(entries)} vectors written to {FIXTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
