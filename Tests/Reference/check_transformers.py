"""What transformers makes of converted dumps; run by scripts/check-transformers."""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
FIXTURES = Path(__file__).resolve().parent.parent / "Fixtures"
TOLERANCE = 1e-5
passed = failed = 0


def check(name, condition, detail=""):
    global passed, failed
    if condition:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {name} {detail}")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def convert(command, dump, output, *options):
    subprocess.run(
        [
            command,
            "convert",
            dump / "ckpt",
            output,
            "--quiet",
            "--tokenizer",
            FIXTURES / "tokenizer",
            *options,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def check_generation(command, output, model, tokens):
    """The command continues prompts by the same ids, and finds the same loss."""
    for row in tokens:
        prompt = row[:6].tolist()
        said = model.generate(
            torch.tensor([prompt]), max_new_tokens=20, do_sample=False, pad_token_id=0
        )[0].tolist()
        ids = subprocess.run(
            [
                command,
                "generate",
                output,
                "--ids",
                ",".join(map(str, prompt)),
                "--no-stop",
                "--keep-padding",
                "--quiet",
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        check(f"{output.name}: generate", list(map(int, ids)) == said, (ids, said))
    with torch.no_grad():
        loss = model(tokens, labels=tokens).loss.item()
    (output.parent / "tokens.json").write_text(json.dumps(tokens.tolist()))
    printed = subprocess.run(
        [command, "loss", output, "--tokens", output.parent / "tokens.json", "--json"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    distance = abs(json.loads(printed)["loss_padded"] - loss)
    check(f"{output.name}: loss", distance < TOLERANCE, distance)


def check_dump(command, dump, folder):
    output = folder / dump.name
    convert(command, dump, output)

    # Every tensor of the file is taken, and none is made up.
    model, info = AutoModelForCausalLM.from_pretrained(output, output_loading_info=True)
    named = json.loads((output / "config.json").read_text())["architectures"]
    check(f"{dump.name}: class", [type(model).__name__] == named, named)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        check(f"{dump.name}: {kind}", not info[kind], info[kind])
    stored = json.loads((output / "config.json").read_text())["dtype"]
    check(f"{dump.name}: dtype", str(model.dtype) == f"torch.{stored}", model.dtype)

    # Load and save is a fixed point.
    model.save_pretrained(folder / "again")
    check(
        f"{dump.name}: fixed point",
        sha256(folder / "again/model.safetensors") == sha256(output / "model.safetensors"),
    )

    # The function that was trained.
    truth = dump / "truth/logits_live_fp32.npy"
    if truth.exists():
        tokens = torch.tensor(json.loads((dump / "truth/tokens.json").read_text())["tokens"])
        with torch.no_grad():
            logits = model.float().eval()(tokens).logits.numpy()
        live = numpy.load(truth)
        distance = float(numpy.abs(logits[..., : live.shape[-1]] - live).max())
        print(f"{dump.name}: logits within {distance:.1e} of the live model")
        check(f"{dump.name}: logits", distance < TOLERANCE, distance)
        if isinstance(model, GPT2LMHeadModel):
            check_generation(command, output, model, tokens)

    check_recipe(dump, output)

    # Bare names and shards hold the same weights.
    other = folder / f"{dump.name}-shards"
    convert(command, dump, other, "--key-style", "bare", "--max-shard-size", "20KB")
    shards = AutoModelForCausalLM.from_pretrained(other)
    same = all(
        torch.equal(a, b)
        for a, b in zip(
            AutoModelForCausalLM.from_pretrained(output).state_dict().values(),
            shards.state_dict().values(),
        )
    )
    check(f"{dump.name}: shards", same)
    subprocess.run(
        [command, "verify", folder / "again", "--against", dump / "ckpt", "--quiet"],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def check_recipe(dump, output):
    """The validation that the cards of the first models describe."""
    tokenizer = AutoTokenizer.from_pretrained(output)
    check(f"{dump.name}: tokenizer size", len(tokenizer) == 501, len(tokenizer))
    tokenizer.add_special_tokens({"pad_token": tokenizer.eos_token})
    model = AutoModelForCausalLM.from_pretrained(output)
    batch = tokenizer(["Hello, my dog is cute"], return_tensors="pt", padding=True)
    positions = getattr(model.config, "max_position_embeddings", 40)
    room = positions - batch["input_ids"].shape[1]
    generated = model.generate(**batch, do_sample=False, max_new_tokens=max(1, min(10, room)))
    text = tokenizer.batch_decode(generated, skip_special_tokens=True)
    check(f"{dump.name}: recipe", text[0].startswith("Hello, my dog is cute"), text)


def check_card(command, folder):
    """The recipe of the card says what the card says."""
    fixture = FIXTURES / "arbitration"
    output = folder / "card"
    files = ["--vocab-file", fixture / "tokenizer/vocab.json"]
    files += ["--merge-file", fixture / "tokenizer/merges.txt"]
    prompt = 'Hello, my "dog" is cute'
    subprocess.run(
        [command, "convert", fixture / "honest", output, "--quiet", "--sample", prompt, *files],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    card = (output / "README.md").read_text()
    recipe = card.split("```python\n")[1].split("```")[0]
    recipe = recipe.replace("PATH/TO/THIS/FOLDER", str(output))
    said = subprocess.run(
        [sys.executable, "-c", recipe], check=True, capture_output=True, text=True
    ).stdout
    shown = "".join(f"    {line}\n" for line in said.rstrip("\n").split("\n"))
    check("card", prompt in said and shown in card, (said, card))


def main():
    command = sys.argv[1]
    dumps = sorted(d for d in (FIXTURES / "dumps").iterdir() if (d / "truth/tokens.json").exists())
    with tempfile.TemporaryDirectory() as folder:
        for dump in dumps:
            check_dump(command, dump, Path(folder))
        check_card(command, Path(folder))
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


main()
