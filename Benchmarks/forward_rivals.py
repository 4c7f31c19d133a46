#!/usr/bin/env python3
"""One measurement of a program that runs a model, for bench-forward: prints a line of JSON with the
seconds of a prompt, the median of those of a token, and the peak of memory in bytes.

The prompt has 64 tokens, or as many as are said; every program computes in 2 threads, with the
model in the page cache, and gets the same ids.
"""

import json
import re
import resource
import subprocess
import sys
import time


def bandwidth(path):
    """Bytes a second that two threads read of memory that no cache holds."""
    import concurrent.futures

    import numpy

    parts = [numpy.ones(1 << 27, dtype=numpy.int64) for _ in range(2)]
    best = 0.0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in range(4):
            start = time.monotonic()
            list(pool.map(numpy.max, parts))
            best = max(best, sum(part.nbytes for part in parts) / (time.monotonic() - start))
    return {"bandwidth": best}


def meg2hf(binary, model, prompt, count, memory):
    ids = ",".join(map(str, prompt))
    words = [binary, "generate", model, "--ids", ids, "--max-new-tokens", str(count), "--json"]
    start = time.monotonic()
    child = subprocess.Popen(
        [*words, "--quiet", "--jobs", "2", "--memory", memory],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    document = json.loads(child.stdout.read())
    _, _, usage = __import__("os").wait4(child.pid, 0)
    return {
        "prompt": document["seconds"]["prompt"],
        "token": document["seconds"]["tokens"] / count,
        "memory": document["peak_memory"],
        "wall": time.monotonic() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
    }


def measured(step, prompt, count):
    """Times `step`, which takes ids and gives the next one."""
    start = time.monotonic()
    token = step(prompt)
    first = time.monotonic() - start
    seconds = []
    for _ in range(count):
        start = time.monotonic()
        token = step([token])
        seconds.append(time.monotonic() - start)
    return {
        "prompt": first,
        "token": sorted(seconds)[len(seconds) // 2],
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def torch(model, prompt, count, dtype):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(2)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
    past = None

    def step(ids):
        nonlocal past
        with torch.inference_mode():
            result = network(torch.tensor([ids]), past_key_values=past, use_cache=True)
        past = result.past_key_values
        return int(result.logits[0, -1].argmax())

    return measured(step, prompt, count)


def llama(model, prompt, count):
    import ctypes

    import llama_cpp
    import numpy

    llama = llama_cpp.Llama(
        model,
        n_ctx=1024,
        n_batch=1024,
        n_ubatch=1024,
        n_threads=2,
        n_threads_batch=2,
        type_k=0,
        type_v=0,
        verbose=False,
    )
    rows = llama.n_vocab()

    def step(ids):
        llama.eval(ids)
        logits = llama_cpp.llama_get_logits_ith(llama.ctx, -1)
        return int(numpy.ctypeslib.as_array(logits, shape=(rows,)).argmax())

    return measured(step, prompt, count)


def write_gguf(model, target):
    """The weights of a GPT-2 in safetensors as a GGUF file in float16."""
    from pathlib import Path

    import gguf
    import numpy
    import torch
    from safetensors.torch import load_file

    config = json.loads((Path(model) / "config.json").read_text())
    writer = gguf.GGUFWriter(target, "gpt2")
    writer.add_block_count(config["n_layer"])
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(config["n_inner"] or 4 * config["n_embd"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(config["vocab_size"])
    names = {
        "wte": "token_embd",
        "wpe": "position_embd",
        "ln_f": "output_norm",
        "ln_1": "attn_norm",
        "ln_2": "ffn_norm",
        "attn.c_attn": "attn_qkv",
        "attn.c_proj": "attn_output",
        "mlp.c_fc": "ffn_up",
        "mlp.c_proj": "ffn_down",
    }
    for file in sorted(Path(model).glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            *path, kind = name.removeprefix("transformer.").split(".")
            block = ""
            if path[0] == "h":
                block, path = f"blk.{path[1]}.", path[2:]
            module = ".".join(path)
            if re.search(r"c_(attn|proj|fc)$", module) and kind == "weight":
                tensor = tensor.T
            dtype = torch.float16 if tensor.dim() == 2 and module != "wpe" else torch.float32
            array = numpy.ascontiguousarray(tensor.to(dtype).numpy())
            writer.add_tensor(f"{block}{names[module]}.{kind}", array)
            if module == "wte":
                writer.add_tensor("output.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    kind, model, size, count, *rest = sys.argv[1:]
    prompt = [100 + index for index in range(int(size))]
    if kind == "gguf":
        return write_gguf(model, rest[0])
    result = {
        "bandwidth": lambda: bandwidth(model),
        "meg2hf": lambda: meg2hf(rest[0], model, prompt, int(count), rest[1]),
        "llama.cpp": lambda: llama(model, prompt, int(count)),
        "torch": lambda: torch(model, prompt, int(count), rest[0]),
    }[kind]()
    print(json.dumps(result))


main()
