#!/usr/bin/env python3
"""Write Tests/Fixtures/tokens.json: texts and their ids by the tokenizers library.

The vocabulary is the small one of Tests/Fixtures/tokenizer. Run it with tokenizers 0.23.
"""

import json
import random
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

HERE = Path(__file__).resolve().parent.parent
SPACES = [0x20] * 6 + [9, 10, 13, 0x85, 0xA0, 0x1680, 0x2003, 0x2028, 0x202F, 0x3000]
ODD = [0x200B, 0x180E, 0xFEFF, 0x301, 0x660, 0x2160, 0xB2, 0x1F600, 0x10FFFF, 0x16D40, 0x1C89]
TEXTS = [
    "",
    "a",
    " ",
    "  ",
    "\n",
    "\t",
    "\r\n",
    "Hello, my dog is cute",
    "it's we've I'll he'd 'tis",
    "''s 'S 'Re don't",
    "   leading and trailing   ",
    "a\n\nb\n \n c",
    "1234 5.6 x7 \u00b2",
    "e\u0301 \u00e9",
    "\u4f60\u597d\u4e16\u754c",
    "\U0001f468\u200d\U0001f469",
    "<|endoftext|>",
    "a<|endoftext|>b",
    " <|endoftext|> ",
    "<|endoftext",
    "\u00a0word",
    "aaaaaaaa" * 40,
    "!!??.. --",
    "\x00\x7f\x80",
]


def character(source):
    kind = source.random()
    if kind < 0.5:
        return chr(source.randrange(0x20, 0x7F))
    if kind < 0.7:
        return chr(source.choice(SPACES))
    if kind < 0.85:
        return chr(source.choice(ODD))
    while True:
        code = source.randrange(0x30000)
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def main():
    folder = HERE / "tokenizer"
    tokenizer = Tokenizer(
        models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    source = random.Random(17)
    texts = TEXTS + [
        "".join(character(source) for _ in range(source.randrange(1, 30))) for _ in range(150)
    ]
    encoded = [{"text": text, "ids": tokenizer.encode(text).ids} for text in texts]
    decoded = []
    for _ in range(60):
        ids = [source.randrange(510) for _ in range(source.randrange(1, 20))]
        decoded.append(
            {
                "ids": ids,
                "text": tokenizer.decode(ids, skip_special_tokens=True),
                "special": tokenizer.decode(ids, skip_special_tokens=False),
            }
        )
    (HERE / "tokens.json").write_text(json.dumps({"encode": encoded, "decode": decoded}))


if __name__ == "__main__":
    main()
