"""Tables from vocabulary files."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from preprocessing.text.vocabulary_files import FileLookup


@pytest.mark.parametrize(("words", "expected"), [("", [0, 1, 1]), ("nike\n", [0, 2, 1])])
def test_words_in_order_after_the_buckets_and_a_file_may_be_empty(
    tmp_path: Path, words: str, expected: list[int]
) -> None:
    (tmp_path / "shop.txt").write_text(words)
    lookup = FileLookup(str(tmp_path / "shop.txt"), 1, 2 + words.count("\n"), "shop")
    module = tf.Module()
    module.lookup = lookup
    module.ids = tf.function(lookup, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    for ids in (lookup, tf.saved_model.load(str(tmp_path / "saved")).ids):
        assert ids(tf.constant(["", "nike", "other"])).numpy().tolist() == expected
