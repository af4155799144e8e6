"""Vectors of words from their pieces: wordllama's static vectors, read from its wheel.

The package's own loader asks the network for files that lie in the wheel, so they are read as what they are.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from preprocessing.command.console import UserError

NAME = "wordllama"
_TOKENIZER, _WEIGHTS = "tokenizers/l2_supercat_tokenizer_config.json", "weights/l2_supercat_256.safetensors"
_BYTE = "<0x"  # how the pieces begin that stand for a single byte of a word in none of the model's scripts


def subword_vectors(words: Sequence[str], key: str) -> dict[str, np.ndarray]:
    """The mean vector of each word's pieces, float32 `[256]`; of words that are more than bytes to it."""
    folder = _folder(key)
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    pieces = load_file(folder / _WEIGHTS)["embedding.weight"].astype(np.float32)
    tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
    encoded = tokenizer.encode_batch(list(words), add_special_tokens=False)
    return {
        word: pieces[one.ids].mean(axis=0)
        for word, one in zip(words, encoded, strict=True)
        if one.ids and not any(piece.startswith(_BYTE) for piece in one.tokens)
    }


def _folder(key: str) -> Path:
    spec = importlib.util.find_spec(NAME)  # imports nothing of it
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{key}: {NAME} is not installed here; pip install 'multigrain[text]'")
    return Path(spec.submodule_search_locations[0])
