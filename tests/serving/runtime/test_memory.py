"""What the collector of cycles looks at while requests are answered, and that nothing is lost to it."""

from __future__ import annotations

import gc
import weakref

import pytest

from serving.runtime.memory import give_back, uncollected


class Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_lives_on_is_not_looked_at_again_until_memory_is_given_back() -> None:
    try:
        node = Node()
        give_back()
        assert gc.get_freeze_count() > 10_000  # TensorFlow and all else that is imported
        gone = weakref.ref(node)
        del node
        gc.collect()
        assert gone() is not None
        give_back()
        assert gone() is None
    finally:
        gc.unfreeze()


def test_the_collector_is_back_behind_whatever_was_done_without_it() -> None:
    with pytest.raises(ValueError), uncollected():
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()
