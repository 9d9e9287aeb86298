#!/usr/bin/env python3
"""Does Meshlog read models of each supported family as sentence-transformers does?

Makes models with the shapes and the settings of each family, their weights drawn by chance, and compares the vectors of the same texts, short
enough for one window. Random weights know nothing, but every tensor, setting and word of a prompt changes their vectors. By f32: what
int8 loses of trained weights says nothing of these.

    families.py PROGRAM MODEL    the embedding benchmark's program, and a folder with a tokenizer to borrow
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel

# Layers, features, heads, wide features, pooling, pieces at once, prompts.
FAMILIES = {
    "minilm-l12": (12, 384, 12, 1536, "mean", 128, {}),
    "bge-small": (12, 384, 12, 1536, "cls", 512, {}),
    "bge-base": (12, 768, 12, 3072, "cls", 512, {}),
    "e5-small": (12, 384, 12, 1536, "mean", 512, {"query": "query: ", "document": "passage: "}),
    "gte-small": (12, 384, 12, 1536, "mean", 512, {}),
}
TEXTS = ["The ferry was late again.", "", "ok", "你好，世界 🎉", "lamps and harbours " * 30, "def area(r):\n    return 3.14 * r ** 2", "x" * 300, "[CLS] storm"]


def make(folder: Path, tokenizer: Path, family: str) -> None:
    layers, features, heads, wide, pooling, length, prompts = FAMILIES[family]
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(tokenizer / name, folder / name)
    torch.manual_seed(len(family))
    config = BertConfig(
        hidden_size=features, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=wide, initializer_range=0.06, architectures=["BertModel"]
    )
    model = BertModel(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "LayerNorm" in name or name.endswith("bias"):
                weights.add_(torch.randn_like(weights) * 0.1)
    model.save_pretrained(folder)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (path, kind) in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "2_Normalize").mkdir()
    (folder / "1_Pooling").mkdir()
    settings = {"word_embedding_dimension": features, "pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
    (folder / "1_Pooling/config.json").write_text(json.dumps(settings))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length, "do_lower_case": False}))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts, "default_prompt_name": None}))


def main() -> None:
    program, tokenizer = sys.argv[1], Path(sys.argv[2])
    worst = 1.0
    for family, (*_, prompts) in FAMILIES.items():
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory)
            make(folder, tokenizer, family)
            (folder / "texts.list").write_text(json.dumps(TEXTS))
            peer = SentenceTransformer(str(folder), device="cpu")
            for role in ("document", "query"):
                request = {"texts": str(folder / "texts.list"), "batch": 3, "role": role, "vectors": str(folder / "vectors.list")}
                subprocess.run([program, "--model", directory, "--precision", "f32"], input=json.dumps(request) + "\n", text=True, check=True, stdout=subprocess.PIPE)
                ours = torch.tensor(json.loads((folder / "vectors.list").read_text()))
                theirs = torch.tensor(peer.encode(TEXTS, prompt=prompts.get(role), normalize_embeddings=True))
                cosines = torch.nn.functional.cosine_similarity(ours, theirs)
                apart = torch.nn.functional.cosine_similarity(theirs[:1], theirs[1:]).max()
                print(f"{family:<12}{role:<10} worst cosine {cosines.min():.7f}; different texts at most {apart:.4f}")
                worst = min(worst, float(cosines.min()))
    sys.exit(worst < 0.99999)


main()
