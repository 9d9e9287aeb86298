"""An embedder to measure against: peer.py ENGINE MODEL-DIRECTORY THREADS CACHE-DIRECTORY

Answers requests as processors/benches/embedding.rs does. Engines: `torch-f32` and `torch-bf16` (sentence-transformers on PyTorch),
`onnx-f32` and `onnx-int8` (ONNX Runtime; int8 is its dynamic quantisation per channel), `openvino-bf16` (which takes bf16 where
the processor has it). The last three read a graph that is exported from PyTorch on first use. All tokenize with the model's own
tokenizer, cut at 256 word pieces, pad a batch to its longest text, sort texts by length before they are cut into batches as
sentence-transformers does, pool the mean and scale it to unit length.
"""

import json
import os
import sys
import time
from pathlib import Path

engine, model_directory, threads, cache = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = str(threads)
os.environ["TOKENIZERS_PARALLELISM"] = "true"
# What is printed belongs to the answers; libraries print too.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import numpy as np  # noqa: E402  (reads the settings above)

MOST_PIECES = 256


def with_torch(precision: str):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(model_directory, device="cpu")
    model.max_seq_length = MOST_PIECES
    if precision == "bf16":
        model = model.to(torch.bfloat16)

    def embed(texts: list[str]) -> np.ndarray:
        with torch.inference_mode():
            vectors = model.encode(texts, batch_size=len(texts), normalize_embeddings=True, convert_to_tensor=True)
            return vectors.float().numpy()

    return embed, f"PyTorch {torch.__version__.split('+')[0]} {precision}"


def exported() -> Path:
    """The model as an ONNX graph from ids and mask to token vectors."""
    path = cache / "model.onnx"
    if not path.exists():
        import torch
        from transformers import AutoModel

        class Tokens(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = AutoModel.from_pretrained(model_directory, attn_implementation="eager").eval()

            def forward(self, input_ids, attention_mask, token_type_ids):
                inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
                return self.model(**inputs).last_hidden_state

        ids = torch.ones((2, 16), dtype=torch.int64)
        inputs, axes = ["input_ids", "attention_mask", "token_type_ids"], {0: "texts", 1: "pieces"}
        partial = path.with_suffix(".partial")
        torch.onnx.export(
            Tokens(), (ids, ids, ids * 0), str(partial), input_names=inputs, output_names=["tokens"],
            dynamic_axes={name: axes for name in [*inputs, "tokens"]}, opset_version=17, dynamo=False,
        )
        partial.rename(path)
    return path


def pooled(run):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(model_directory) / "tokenizer.json"))
    tokenizer.enable_truncation(MOST_PIECES)
    tokenizer.enable_padding()

    def embed(texts: list[str]) -> np.ndarray:
        encoded = tokenizer.encode_batch(texts)
        ids = np.array([text.ids for text in encoded], dtype=np.int64)
        mask = np.array([text.attention_mask for text in encoded], dtype=np.int64)
        tokens = run(ids, mask).astype(np.float32)
        vectors = (tokens * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return embed


def with_onnx(precision: str):
    import onnxruntime

    path = exported()
    if precision == "int8":
        quantized = cache / "model-int8.onnx"
        if not quantized.exists():
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(str(path), str(quantized), per_channel=True, weight_type=QuantType.QInt8)
        path = quantized
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return session.run(None, {name: inputs[name] for name in (entry.name for entry in session.get_inputs())})[0]

    return pooled(run), f"ONNX Runtime {onnxruntime.__version__} {precision}"


def with_openvino(precision: str):
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(core.read_model(str(exported())), "CPU", settings)
    names = [port.get_any_name() for port in compiled.inputs]

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return compiled({name: inputs[name] for name in names})[0]

    version = openvino.__version__.split("-")[0]
    return pooled(run), f"OpenVINO {version} {compiled.get_property('INFERENCE_PRECISION_HINT').get_type_name()}"


def answer(value: dict) -> None:
    print(json.dumps(value), file=answers, flush=True)


def main() -> None:
    library, precision = engine.split("-")
    embed, name = {"torch": with_torch, "onnx": with_onnx, "openvino": with_openvino}[library](precision)
    answer({"ready": name})
    lists: dict[str, list[str]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        path, batch = request["texts"], request["batch"]
        texts = lists.setdefault(path, json.loads(Path(path).read_text()) if path not in lists else None)
        begin = time.perf_counter()
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        vectors: list = [None] * len(texts)
        for first in range(0, len(order), batch):
            places = order[first : first + batch]
            for place, vector in zip(places, embed([texts[place] for place in places])):
                vectors[place] = vector
        seconds = time.perf_counter() - begin
        if request.get("vectors"):
            Path(request["vectors"]).write_text(json.dumps([vector.tolist() for vector in vectors]))
        answer({"seconds": seconds})


main()
