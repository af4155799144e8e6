"""Graphs that are traced once for all tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)

Analyse = Callable[[list[bytes]], dict[str, list[list[str]]]]


@pytest.fixture(scope="session")
def analyser():  # type: ignore[no-untyped-def]
    """The traced analyser of every grain, texts cut at 64 characters and 32 words."""
    import tensorflow as tf

    from preprocessing.text import analyser

    grains = ("char", "bigram", "trigram", "word")
    return tf.function(
        lambda texts: analyser.analyse(texts, grains, 64, 32),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )


@pytest.fixture(scope="session")
def analyse(analyser) -> Analyse:  # type: ignore[no-untyped-def]
    """Texts as bytes to their grains as Python lists."""
    import tensorflow as tf

    def run(texts: list[bytes]) -> dict[str, list[list[str]]]:
        found = analyser(tf.constant(texts, tf.string))
        return {name: [[gram.decode() for gram in row] for row in one.to_list()] for name, one in found.items()}

    return run
