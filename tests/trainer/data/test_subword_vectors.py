"""wordllama's vectors, straight from the files of its wheel."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from preprocessing.command.console import UserError
from trainer.data.subword_vectors import subword_vectors


def test_near_words_are_near() -> None:
    words = ["shoes", "boots", "keyboard", "sneakers"]
    found = subword_vectors(words, "key")
    unit = {word: vector / np.linalg.norm(vector) for word, vector in found.items()}
    assert found["shoes"].shape == (256,)
    for one in ("boots", "sneakers"):
        assert unit["shoes"] @ unit[one] > unit["shoes"] @ unit["keyboard"] + 0.2


def test_a_word_of_several_pieces_is_their_mean() -> None:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = Path(next(iter(importlib.util.find_spec("wordllama").submodule_search_locations)))
    tokenizer = Tokenizer.from_file(str(next((folder / "tokenizers").glob("*.json"))))
    weights = load_file(next((folder / "weights").glob("*.safetensors")))["embedding.weight"]
    (vector,) = subword_vectors(["sneakerhead"], "key").values()
    pieces = tokenizer.encode("sneakerhead", add_special_tokens=False).ids
    assert len(pieces) > 1
    np.testing.assert_allclose(vector, np.mean([weights[piece].astype(np.float32) for piece in pieces], axis=0), 1e-5)


def test_a_word_of_bytes_alone_is_not_found() -> None:
    assert set(subword_vectors(["shoes", "𐀀𐀁"], "key")) == {"shoes"}


def test_its_own_loader_stays_out() -> None:
    subword_vectors(["shoes"], "key")
    assert "wordllama" not in sys.modules


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"key: wordllama is not installed here; pip install 'multigrain\[text\]'"):
        subword_vectors(["shoes"], "key")
