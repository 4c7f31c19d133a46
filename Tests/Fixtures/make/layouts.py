#!/usr/bin/env python3
"""Write Tests/Fixtures/layouts: one small model in every layout that is read.

The names, nestings and divisions are those of the trainers; the weights are random float32
masters and their float16 roundings, saved with real PyTorch. Run it with PyTorch 2.13 when a
layout is added; the files are committed, so tests need no PyTorch.
"""

import argparse
import shutil
import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy
import torch

FOLDER = Path(__file__).resolve().parent.parent / "layouts"
LAYERS, HIDDEN, HEADS, INNER, VOCABULARY, POSITIONS = 4, 8, 4, 16, 16, 6
HN = HIDDEN // HEADS


class fragment_address:
    def __init__(self, numel, start):
        self.numel, self.start = numel, start


def fake_module(name, **members):
    module = types.ModuleType(name)
    for key, value in members.items():
        setattr(module, key, value)
        value.__module__ = name
    sys.modules[name] = module


for name in ("deepspeed", "deepspeed.utils"):
    fake_module(name)
fake_module("deepspeed.utils.tensor_fragment", fragment_address=fragment_address)


def make_model():
    """The masters over all ranks; query, key and value rows as [heads, 3, hn]."""
    torch.manual_seed(1)
    model = OrderedDict()
    model["embedding.word_embeddings.weight"] = torch.randn(VOCABULARY, HIDDEN)
    model["embedding.position_embeddings.weight"] = torch.randn(POSITIONS, HIDDEN)
    shapes = OrderedDict(
        [
            ("input_layernorm.weight", [HIDDEN]),
            ("input_layernorm.bias", [HIDDEN]),
            ("self_attention.query_key_value.weight", [3 * HIDDEN, HIDDEN]),
            ("self_attention.query_key_value.bias", [3 * HIDDEN]),
            ("self_attention.dense.weight", [HIDDEN, HIDDEN]),
            ("self_attention.dense.bias", [HIDDEN]),
            ("post_attention_layernorm.weight", [HIDDEN]),
            ("post_attention_layernorm.bias", [HIDDEN]),
            ("mlp.dense_h_to_4h.weight", [INNER, HIDDEN]),
            ("mlp.dense_h_to_4h.bias", [INNER]),
            ("mlp.dense_4h_to_h.weight", [HIDDEN, INNER]),
            ("mlp.dense_4h_to_h.bias", [HIDDEN]),
        ]
    )
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            model[f"layers.{layer}.{name}"] = torch.randn(*shape)
    model["final_layernorm.weight"] = torch.randn(HIDDEN)
    model["final_layernorm.bias"] = torch.randn(HIDDEN)
    return model


MODEL = make_model()


def cat_dim(name):
    if any(part in name for part in ("word_embeddings.", "query_key_value.", "dense_h_to_4h.")):
        return 0
    if name.endswith("dense.weight") or name.endswith("dense_4h_to_h.weight"):
        return 1
    return None


def shard(name, rank, tp, order="heads-3-hn"):
    tensor = MODEL[name]
    if cat_dim(name) is not None:
        tensor = tensor.chunk(tp, dim=cat_dim(name))[rank]
    if "query_key_value" in name and order != "heads-3-hn":
        view = tensor.reshape(HEADS // tp, 3, HN, *tensor.shape[1:])
        axes = (1, 0, 2) if order == "thirds" else (0, 2, 1)
        tensor = view.permute(*axes, *range(3, view.dim())).reshape(tensor.shape)
    return tensor.contiguous().clone()


def arguments(tp=2, pp=1, **more):
    values = dict(
        num_layers=LAYERS,
        hidden_size=HIDDEN,
        ffn_hidden_size=INNER,
        num_attention_heads=HEADS,
        kv_channels=HN,
        max_position_embeddings=POSITIONS,
        padded_vocab_size=VOCABULARY,
        layernorm_epsilon=1e-5,
        bias_gelu_fusion=True,
        openai_gelu=False,
        onnx_safe=None,
        attention_dropout=0.1,
        hidden_dropout=0.1,
        init_method_std=0.02,
        params_dtype=torch.float16,
        tensor_model_parallel_size=tp,
        pipeline_model_parallel_size=pp,
    )
    values.update(more)
    return argparse.Namespace(**{key: value for key, value in values.items() if value != "absent"})


def save(path, value, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path, **options)


def is_decayed(name):
    return not (name.endswith(".bias") or "layernorm" in name)


# --- DeepSpeed
# --------------------------------------------------------------------------------------


def pipeline_layers(pp):
    """The layers of each stage: file number and prefix of the names."""
    layers = (
        [(1, "embedding.")]
        + [(3 + n, f"layers.{n}.") for n in range(LAYERS)]
        + [(LAYERS + 4, "final_layernorm.")]
    )
    cut = 1 + LAYERS // 2
    return [layers] if pp == 1 else [layers[:cut], layers[cut:]]


def pipeline_names(stage, pp):
    """Parameters of a stage in DeepSpeed's names and ours, in the order of its modules."""
    names = []
    if pp > 1 and stage == pp - 1:
        names += [
            ("tied_modules." + name.replace("embedding.", "embed."), name)
            for name in MODEL
            if name.startswith("embedding.")
        ]
    for number, prefix in pipeline_layers(pp)[stage]:
        for name in MODEL:
            if name.startswith(prefix):
                rest = name[len(prefix) :]
                names.append(
                    (f"tied_modules.embed.{rest}" if number == 1 else f"{number}.{rest}", name)
                )
    return names


def state(mp, **more):
    return dict(
        module=None,
        checkpoint_version=3.0,
        iteration=7,
        global_steps=7,
        ds_version="0.7.7",
        sparse_tensor_module_names=set(),
        **more,
    )


def pipeline(folder, tp, pp, states):
    step = folder / "global_step7"
    for stage in range(pp):
        for number, prefix in pipeline_layers(pp)[stage]:
            for rank in range(tp):
                save(
                    step / f"layer_{number:02d}-model_{rank:02d}-model_states.pt",
                    OrderedDict(
                        (name[len(prefix) :], shard(name, rank, tp).half())
                        for name in MODEL
                        if name.startswith(prefix)
                    ),
                )
    for mp in range(tp * pp):
        save(step / f"mp_rank_{mp:02d}_model_states.pt", states(mp))
    (folder / "latest").write_text("global_step7")
    return step


def masters(names, rank, tp, stage, pp):
    """Groups of (name, tensor): with weight decay, without."""
    groups = [[], []]
    for theirs, ours in names:
        tensor = shard(ours, rank, tp)
        if pp > 1 and stage == pp - 1 and "position_embeddings" in ours:
            tensor = tensor + 100  # a copy that was never trained
        groups[0 if is_decayed(ours) else 1].append((theirs, tensor))
    return groups


def partitions(group, dp):
    flat = torch.cat([tensor.flatten() for _, tensor in group])
    padding = -len(flat) % (2 * dp)
    return list(torch.cat([flat, torch.zeros(padding)]).chunk(dp)), padding


def zero_pipeline(folder, tp, pp, dp, mapped, single=False, swapped=False, **more):
    def groups_of(mp):
        stage, rank = divmod(mp, tp)
        return masters(pipeline_names(stage, pp), rank, tp, stage, pp)

    def shapes_of(mp):
        return [
            OrderedDict((name, tensor.shape) for name, tensor in group) for group in groups_of(mp)
        ]

    def rank_state(mp):
        return state(
            mp,
            args=arguments(tp, pp, **more),
            **({} if single else dict(param_shapes=shapes_of(mp))),
        )

    step = pipeline(folder, tp, pp, rank_state)
    for mp in range(tp * pp):
        groups = groups_of(mp)
        if swapped:  # as between May and July 2021: the data in another order than the shapes say
            groups = [group[::-1] for group in groups]
        parts = [partitions(group, dp) for group in groups]
        for rank in range(dp):
            slices, mappings = [], []
            for group, (chunks, padding) in zip(groups, parts):
                chunk = chunks[rank]
                # The last rank's padding is taken off by ZeRO 1 and 2.
                slices.append(
                    chunk[: len(chunk) - padding].clone() if rank == dp - 1 else chunk.clone()
                )
                start, position, mapping = rank * len(chunk), 0, OrderedDict()
                for name, tensor in group:
                    low, high = max(position, start), min(
                        position + tensor.numel(), start + len(chunk)
                    )
                    if low < high:
                        mapping[name] = fragment_address(numel=high - low, start=low - start)
                    position += tensor.numel()
                mappings.append(mapping)
            content = dict(
                zero_stage=1,
                partition_count=[dp] * len(groups),
                single_partition_of_fp32_groups=slices,
            )
            if mapped:
                content["param_slice_mappings"] = mappings
            top = dict(optimizer_state_dict=content)
            if single:
                top["param_shapes"] = OrderedDict(
                    item for shapes in shapes_of(mp) for item in shapes.items()
                )
            save(step / f"zero_pp_rank_{rank}_mp_rank_{mp:02d}_optim_states.pt", top)


def undivided_pipeline(folder, tp, pp):
    def rank_state(mp):
        stage, rank = divmod(mp, tp)
        groups = masters(pipeline_names(stage, pp), rank, tp, stage, pp)
        flat = [torch.cat([tensor.flatten() for _, tensor in group]) for group in groups]
        return state(mp, args=arguments(tp, pp), optimizer=dict(fp32_groups_flat=flat))

    pipeline(folder, tp, pp, rank_state)


def module_name(name):
    if name.startswith("embedding."):
        return f"language_model.{name}"
    return f"language_model.encoder.{name}"


def without_pipeline(folder, tp, nested):
    step = folder / "global_step7"
    for rank in range(tp):
        flat = torch.cat([shard(name, rank, tp).half().flatten() for name in MODEL])
        tensors, position = OrderedDict(), 0
        for name in MODEL:
            shape = shard(name, rank, tp).shape
            tensors[name] = flat[position : position + shape.numel()].view(shape)
            position += shape.numel()
        if nested:
            encoder = OrderedDict(
                (name, tensor)
                for name, tensor in tensors.items()
                if not name.startswith("embedding.")
            )
            module = {
                "language_model": {
                    "embedding": {
                        key: OrderedDict(weight=tensors[f"embedding.{key}.weight"])
                        for key in ("word_embeddings", "position_embeddings")
                    },
                    "encoder": encoder,
                }
            }
        else:
            module = OrderedDict(
                (f"module.{module_name(name)}", tensor) for name, tensor in tensors.items()
            )
        save(
            step / f"mp_rank_{rank:02d}_model_states.pt",
            {**state(rank), "module": module, "args": arguments(tp)},
        )
    (folder / "latest").write_text("global_step7")


def zero3(folder, tp, dp):
    step = folder / "global_step7"
    for rank in range(tp):
        names = [(module_name(name), shard(name, rank, tp)) for name in MODEL]
        for data in range(dp):
            parts = []
            for _, tensor in names:
                size = -(-tensor.numel() // dp)
                padded = torch.cat([tensor.flatten(), torch.zeros(size * dp - tensor.numel())])
                parts.append(padded[data * size : (data + 1) * size])
            vector = torch.cat(parts)
            cut = len(vector) // 3  # sub-groups end anywhere
            save(
                step / f"zero_pp_rank_{data}_mp_rank_{rank:02d}_optim_states.pt",
                dict(
                    optimizer_state_dict=dict(
                        zero_stage=3,
                        partition_count=dp,
                        fp32_flat_groups=[vector[:cut].clone(), vector[cut:].clone()],
                    )
                ),
            )
            save(
                step / f"zero_pp_rank_{data}_mp_rank_{rank:02d}_model_states.pt",
                {
                    **state(rank),
                    "args": arguments(tp),
                    "module": OrderedDict(
                        (name, torch.empty(0, dtype=torch.float16)) for name, _ in names
                    ),
                    "param_shapes": [OrderedDict((name, tensor.shape) for name, tensor in names)],
                },
            )
    (folder / "latest").write_text("global_step7")


def universal(folder, tp, order):
    step = folder / "global_step7_universal"
    save(
        step / "mp_rank_00_model_states.pt",
        state(
            0,
            args=arguments(
                tp, 1, **(dict(ds_sequence_parallel_fpdt=False) if order == "thirds" else {})
            ),
        ),
    )
    for number, prefix in pipeline_layers(1)[0]:
        for name in MODEL:
            if not name.startswith(prefix):
                continue
            rest = name[len(prefix) :]
            parts = [shard(name, rank, tp, order) for rank in range(tp)]
            dim = cat_dim(name)
            content = dict(param=parts[0] if dim is None else torch.cat(parts, dim=dim))
            if dim is not None:
                content["cat_dim"] = dim
            theirs = f"tied_modules.embed.{rest}" if number == 1 else f"{number}.{rest}"
            save(step / "zero" / theirs / "fp32.pt", content)
    (folder / "latest_universal").write_text("global_step7_universal")
    (folder / "latest").write_text("global_step7_universal")


def universal_zero3(folder):
    """Made from ZeRO-3: the parameters are flat, and only param_shapes has their shapes."""
    step = folder / "global_step7_universal"
    names = {module_name(name): tensor for name, tensor in MODEL.items()}
    save(
        step / "zero_pp_rank_0_mp_rank_00_model_states.pt",
        {
            **state(0),
            "args": arguments(1),
            "param_shapes": [OrderedDict((name, tensor.shape) for name, tensor in names.items())],
        },
    )
    for name, tensor in names.items():
        save(step / "zero" / name / "fp32.pt", tensor.flatten().clone())
    (folder / "latest_universal").write_text("global_step7_universal")


# --- Megatron-LM
# ------------------------------------------------------------------------------------


def classic_model(
    rank, tp, layers, first, last, pp, order, transformer="encoder", attention="self_attention"
):
    encoder = OrderedDict()
    for local, layer in enumerate(layers):
        for name in MODEL:
            if name.startswith(f"layers.{layer}."):
                rest = name.split(".", 2)[2].replace("self_attention", attention)
                encoder[f"layers.{local}.{rest}"] = shard(name, rank, tp, order).half()
    language = {}
    if first:
        language["embedding"] = {
            key: OrderedDict(weight=shard(f"embedding.{key}.weight", rank, tp).half())
            for key in ("word_embeddings", "position_embeddings")
        }
    if last:
        for key in ("weight", "bias"):
            encoder[f"final_layernorm.{key}"] = shard(f"final_layernorm.{key}", rank, tp).half()
    language[transformer] = encoder
    model = {"language_model": language}
    if last and pp > 1:
        model["word_embeddings_for_head"] = OrderedDict(
            weight=shard("embedding.word_embeddings.weight", rank, tp).half()
        )
    return model


def classic_masters(model, rank, tp, order):
    """In the order of the state dictionary: weights, then biases and layernorms."""

    def walk(value, path=()):
        if isinstance(value, torch.Tensor):
            yield ".".join(path), value
        else:
            for key, item in value.items():
                yield from walk(item, path + (key,))

    groups = [[], []]
    for name, half in walk(model):
        # The master of a rounded weight is found by the weight itself.
        full = next(
            shard(ours, rank, tp, order)
            for ours in MODEL
            if shard(ours, rank, tp, order).shape == half.shape
            and torch.equal(shard(ours, rank, tp, order).half(), half)
        )
        groups[0 if is_decayed(name) else 1].append(full)
    return groups


def classic(
    folder,
    tp,
    pp,
    order="heads-3-hn",
    version=3.0,
    args="given",
    virtual=1,
    release=False,
    legacy=False,
    flat=False,
    **names,
):
    step = folder / ("release" if release else "iter_0000007")
    per = LAYERS // (pp * virtual)
    for stage in range(pp):
        for rank in range(tp):
            chunks = []
            for chunk in range(virtual):
                begin = chunk * (LAYERS // virtual) + stage * per
                chunks.append(
                    classic_model(
                        rank,
                        tp,
                        range(begin, begin + per),
                        chunk == 0 and stage == 0,
                        chunk == virtual - 1 and stage == pp - 1,
                        pp,
                        order,
                        **names,
                    )
                )
            content = {"iteration": 7}
            if args == "given":
                content["args"] = arguments(tp, pp)
            elif args != "none":
                content["args"] = arguments(tp, pp, **args)
            if version is not None:
                content["checkpoint_version"] = version
            if virtual > 1:
                content.update({f"model{n}": chunk for n, chunk in enumerate(chunks)})
                groups = [classic_masters(chunk, rank, tp, order) for chunk in chunks]
                content["optimizer"] = dict(
                    fp32_from_fp16_params=[
                        [tensor for group in groups for tensor in group[kind]] for kind in range(2)
                    ]
                )
            elif flat:
                language = chunks[0]["language_model"]
                module = OrderedDict(
                    (f"{key}.weight", value["weight"])
                    for key, value in language["embedding"].items()
                )
                module.update(
                    (f"transformer.{key}", value)
                    for key, value in language[names.get("transformer", "encoder")].items()
                )
                content["model"] = module
            else:
                content["model"] = chunks[0]
                content["optimizer"] = dict(
                    fp32_from_fp16_params=classic_masters(chunks[0], rank, tp, order)
                )
            name = f"mp_rank_{rank:02d}" + (f"_{stage:03d}" if pp > 1 else "")
            save(
                step / name / "model_optim_rng.pt",
                content,
                _use_new_zipfile_serialization=not legacy,
            )
    (folder / "latest_checkpointed_iteration.txt").write_text("release" if release else "7")


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    old = dict(
        ffn_hidden_size="absent",
        kv_channels="absent",
        tensor_model_parallel_size="absent",
        pipeline_model_parallel_size="absent",
    )
    undivided_pipeline(FOLDER / "pipeline_undivided_tp2pp2", 2, 2)
    zero_pipeline(FOLDER / "pipeline_zero1_tp2pp2dp2", 2, 2, 2, mapped=True)
    zero_pipeline(FOLDER / "pipeline_zero1_walked_tp1pp2dp3", 1, 2, 3, mapped=False)
    zero_pipeline(
        FOLDER / "pipeline_zero1_dict_tp2pp1dp2",
        2,
        1,
        2,
        mapped=False,
        single=True,
        num_attention_heads=numpy.int64(HEADS),
        layernorm_epsilon=numpy.float64(1e-5),
    )
    zero_pipeline(FOLDER / "pipeline_zero1_swapped_tp1pp1dp2", 1, 1, 2, mapped=False, swapped=True)
    universal_zero3(FOLDER / "universal_zero3_tp1")
    without_pipeline(FOLDER / "deepspeed_nested_tp2", 2, nested=True)
    without_pipeline(FOLDER / "deepspeed_flat_tp4", 4, nested=False)
    zero3(FOLDER / "zero3_tp2dp3", 2, 3)
    universal(FOLDER / "universal_tp2", 2, "heads-3-hn")
    universal(FOLDER / "universal_thirds_tp4", 4, "thirds")
    classic(FOLDER / "classic_tp2pp2", 2, 2)
    classic(FOLDER / "classic_virtual_tp1pp2", 1, 2, virtual=2)
    classic(
        FOLDER / "classic_version1_tp2",
        2,
        1,
        order="heads-hn-3",
        version=1.0,
        args=dict(model_parallel_size=2, **old),
    )
    classic(
        FOLDER / "classic_window_tp2", 2, 1, version=None, args=dict(model_parallel_size=2, **old)
    )
    classic(
        FOLDER / "classic_2020_tp2",
        2,
        1,
        order="thirds",
        version=None,
        legacy=True,
        transformer="transformer",
        attention="attention",
        args=dict(model_parallel_size=2, bias_gelu_fusion="absent", **old),
    )
    classic(
        FOLDER / "classic_2019_flat_tp1",
        1,
        1,
        order="thirds",
        version=None,
        legacy=True,
        flat=True,
        transformer="transformer",
        attention="attention",
        args="none",
    )
    classic(
        FOLDER / "classic_release_345m",
        1,
        1,
        order="thirds",
        version=None,
        args="none",
        release=True,
        legacy=True,
        transformer="transformer",
        attention="attention",
    )


if __name__ == "__main__":
    main()
