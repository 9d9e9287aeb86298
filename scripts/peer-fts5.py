#!/usr/bin/env python3
"""The peer of bench-recall: SQLite FTS5 with BM25 over the same messages and questions, each within its space."""

import json
import re
import sqlite3
import sys


def main(conversations: str, questions: str) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("create virtual table turns using fts5(body, id unindexed, space unindexed, tokenize='porter unicode61')")
    with open(conversations, encoding="utf-8") as lines:
        for line in filter(str.strip, lines):
            turn = json.loads(line)
            database.execute(
                "insert into turns values (?, ?, ?)", (f"{turn['author']}: {turn['text']}", turn["id"], turn["space"])
            )
    asked, hit_1, recall_10, recall_20 = 0, 0, 0.0, 0.0
    with open(questions, encoding="utf-8") as file:
        for question in json.load(file):
            evidence = set(question["evidence"])
            words = re.findall(r"\w+", question["question"])
            if not evidence or not words:
                continue
            match = " OR ".join(f'"{word}"' for word in words)
            rows = database.execute(
                "select id from turns where turns match ? and space = ? order by bm25(turns) limit 20",
                (match, question["space"]),
            ).fetchall()
            ids = [row[0] for row in rows]
            asked += 1
            hit_1 += bool(ids) and ids[0] in evidence
            recall_10 += len(evidence & set(ids[:10])) / len(evidence)
            recall_20 += len(evidence & set(ids)) / len(evidence)
    asked = max(asked, 1)
    print(json.dumps({"turn_hit1": hit_1 / asked, "turn_r10": recall_10 / asked, "turn_r20": recall_20 / asked}))


main(sys.argv[1], sys.argv[2])
