#!/usr/bin/env python3
"""The usual way: load the layer files with PyTorch, merge the ranks, transpose, and save as
safetensors.

    python_way.py CHECKPOINT OUTPUT

For comparison of time and memory alone: query, key and value rows stay in the order of [heads,
3, hn] but for one permutation, and nothing is checked.
"""

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

ROWS = ("query_key_value", "dense_h_to_4h", "word_embeddings")
COLUMNS = ("self_attention.dense.weight", "dense_4h_to_h.weight")
NAMES = {
    "input_layernorm": "ln_1",
    "self_attention.query_key_value": "attn.c_attn",
    "self_attention.dense": "attn.c_proj",
    "post_attention_layernorm": "ln_2",
    "mlp.dense_h_to_4h": "mlp.c_fc",
    "mlp.dense_4h_to_h": "mlp.c_proj",
}


def merged(files):
    ranks = [torch.load(file, map_location="cpu", weights_only=True) for file in files]
    for name in ranks[0]:
        parts = [rank[name] for rank in ranks]
        if any(word in name for word in ROWS):
            yield name, torch.cat(parts, dim=0)
        elif any(word in name for word in COLUMNS):
            yield name, torch.cat(parts, dim=1)
        else:
            yield name, parts[0]


def main():
    source, output = Path(sys.argv[1]), Path(sys.argv[2])
    step = source / (source / "latest").read_text().strip()
    args = torch.load(next(step.glob("mp_rank_00*")), map_location="cpu", weights_only=False)[
        "args"
    ]
    heads = args.num_attention_heads
    layers = sorted({file.name.split("-")[0] for file in step.glob("layer_*")})
    state = {}
    for layer in layers:
        number = int(layer.split("_")[1])
        for name, tensor in merged(sorted(step.glob(f"{layer}-model_*"))):
            module, kind = name.rsplit(".", 1) if "." in name else ("", name)
            if "word_embeddings" in name:
                state["transformer.wte.weight"] = tensor
            elif "position_embeddings" in name:
                state["transformer.wpe.weight"] = tensor
            elif module in NAMES:
                if "query_key_value" in name:
                    shape = tensor.shape
                    tensor = tensor.view(heads, 3, -1, *shape[1:]).transpose(0, 1).reshape(shape)
                if tensor.dim() == 2:
                    tensor = tensor.t().contiguous()
                state[f"transformer.h.{number - 3}.{NAMES[module]}.{kind}"] = tensor
            else:
                state[f"transformer.ln_f.{kind}"] = tensor
    output.mkdir(parents=True)
    save_file(state, output / "model.safetensors", metadata={"format": "pt"})
    with open(output / "model.safetensors", "rb") as file:
        os.fsync(file.fileno())


main()
