#!/usr/bin/env python3
"""Write Tests/Fixtures/torch: small files of torch.save, and what must be read from them.

Run it with PyTorch 2.13 when a fixture is added; the files are committed, so tests need no PyTorch.
"""

import hashlib
import json
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy
import torch

FOLDER = Path(__file__).resolve().parent.parent / "torch"


def tensors(value, path=()):
    if isinstance(value, torch.Tensor):
        yield ".".join(path), value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from tensors(item, path + (str(key),))
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from tensors(item, path + (str(position),))


def digest(tensor):
    plain = tensor.resolve_conj().resolve_neg().contiguous()
    if plain.dim() == 0:
        plain = plain.reshape(1)
    raw = plain.view(torch.uint8) if plain.dtype != torch.bool else plain.to(torch.uint8)
    return hashlib.sha256(numpy.ascontiguousarray(raw.numpy()).tobytes()).hexdigest()


def describe(value):
    return [
        {
            "name": name,
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "sha256": digest(tensor),
        }
        for name, tensor in tensors(value)
    ]


def mixed():
    torch.manual_seed(0)
    matrix = torch.randn(4, 6)
    value = OrderedDict(
        matrix=matrix,
        transposed=matrix.t(),
        row=matrix[1],
        column=matrix[:, 2],
        corner=matrix[1:3, 2:5],
        scalar=torch.tensor(7),
        empty=torch.empty(0, 3),
        expanded=torch.tensor([1.5]).expand(5),
        nested={"list": [torch.arange(3), {"deep": torch.ones(2, 2)}]},
        shared=matrix,
    )
    for dtype in (
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.uint16,
        torch.uint32,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
    ):
        value[str(dtype).removeprefix("torch.")] = torch.arange(6).reshape(2, 3).to(dtype)
    value["bool"] = torch.tensor([True, False, True])
    pair = torch.randn(3, dtype=torch.complex64)
    value["complex64"] = pair
    value["conjugate"] = pair.conj()
    value["negative"] = torch._neg_view(torch.arange(4.0))
    value["parameter"] = torch.nn.Parameter(torch.ones(2))
    return value


def deflate(source, target):
    with zipfile.ZipFile(FOLDER / source) as archive:
        with zipfile.ZipFile(FOLDER / target, "w", zipfile.ZIP_DEFLATED) as packed:
            for name in archive.namelist():
                entry = zipfile.ZipInfo(name)
                entry.compress_type = zipfile.ZIP_DEFLATED
                packed.writestr(entry, archive.read(name))


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    expected = {}

    def save(name, value, **options):
        torch.save(value, FOLDER / name, **options)
        expected[name] = describe(value)

    value = mixed()
    for protocol in (2, 3, 4, 5):
        save(f"mixed_protocol{protocol}.pt", value, pickle_protocol=protocol)
    save("root.pt", torch.arange(4.0))
    small = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.arange(3)}
    save("small.pt", small)
    deflate("small.pt", "deflated.pt")
    expected["deflated.pt"] = expected["small.pt"]
    # Long matches let zlib take all input before the last output is out.
    zeros = torch.zeros(1048581, dtype=torch.uint8)
    torch.save(zeros, FOLDER / "plain.pt")
    deflate("plain.pt", "held_back.pt")
    expected["held_back.pt"] = describe(zeros)
    (FOLDER / "plain.pt").unlink()
    save("legacy.pt", small, _use_new_zipfile_serialization=False)
    torch.serialization.set_crc32_options(False)
    save("without_crc.pt", small)
    torch.serialization.set_crc32_options(True)
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
