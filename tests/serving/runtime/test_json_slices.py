"""Large JSON in slices is read and written as it is in one go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.runtime import json_slices
from serving.runtime.json_slices import NotJson, dumps, loads
from serving.runtime.rest_json import from_arrays, read_body
from serving.runtime.status import ServingError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
INDENTS = st.sampled_from([None, 0, 1])


@pytest.fixture(scope="module", autouse=True)
def deep() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_slices, "_DEEPEST", 1_000)
        yield


def outcome(read: Callable[[bytes], Any], data: bytes) -> Any:
    """What is read, or that nothing is."""
    try:
        return read(data)
    except (NotJson, orjson.JSONDecodeError):
        return "no JSON"


def sliced(size: int) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_slices, "SLICE", size)
            return loads(data, orjson.loads)

    return read


@settings(deadline=None)
@given(JSON, st.integers(1, 40), INDENTS)
def test_whatever_is_json_is_read_as_it_is(value: Any, size: int, indent: int | None) -> None:
    data = json.dumps(value, indent=indent, ensure_ascii=False).encode()
    assert sliced(size)(data) == orjson.loads(data)


@settings(deadline=None, max_examples=500)
@given(JSON, st.integers(1, 40), INDENTS, st.data())
def test_what_is_none_is_not_read(value: Any, size: int, indent: int | None, data: st.DataObject) -> None:
    document = bytearray(json.dumps(value, indent=indent, ensure_ascii=False).encode())
    begin = data.draw(st.integers(0, len(document)))
    end = data.draw(st.integers(begin, min(len(document), begin + 3)))
    document[begin:end] = data.draw(st.text('[]{},:"\\ 1a', max_size=3)).encode()
    assert outcome(sliced(size), bytes(document)) == outcome(orjson.loads, bytes(document))


def test_the_parser_is_never_given_much() -> None:
    rows = [{"query": f"q{n}", "items": [f'"{m}\\' for m in range(50)]} for n in range(5_000)]
    given_to: list[int] = []

    def parse(data: bytes) -> Any:
        given_to.append(len(data))
        return orjson.loads(data)

    for body in ({"instances": rows}, {"inputs": {"query": [one["query"] for one in rows], "rows": rows}}):
        assert loads(orjson.dumps(body), parse) == body
    assert max(given_to) <= json_slices.SLICE + 2


def test_levels_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_slices, "_DEEPEST", 20)
    with pytest.raises(ServingError, match="nested too deeply"):
        read_body(b'{"instances": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}")


@pytest.mark.parametrize(
    "begin, end", [(b"\xef\xbb\xbf", b""), (b"", b"\0{"), (b" \n", b"\t ")], ids=["mark", "NUL", "spaces"]
)
def test_large_bodies_are_taken_as_small_ones_are(begin: bytes, end: bytes) -> None:
    rows = b",".join([b"NaN", b"-Infinity", *[b"1"] * 100_000])
    body = read_body(begin + b'{"instances": [' + rows + b"]}" + end)
    assert np.isnan(body.content[0]) and body.content[1:] == [-np.inf, *[1] * 100_000]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-9, 9), max_size=3)), st.integers(0, 9_000))
def test_rows_are_written_as_they_are(rows: list[list[int]], width: int) -> None:
    assert dumps(rows, width, orjson.dumps) == orjson.dumps(rows)


@pytest.mark.parametrize("by_row", [True, False])
@pytest.mark.parametrize("names", [("scores",), ("item_ids", "scores")])
def test_a_large_answer_is_whole(names: tuple[str, ...], by_row: bool) -> None:
    arrays = {
        "scores": np.arange(30_000, dtype=np.float32).reshape(300, 100),
        "item_ids": np.array([b"1", b"2"] * 15_000, object).reshape(300, 100),
    }
    outputs = {name: arrays[name] for name in names}
    lists = {"scores": arrays["scores"].tolist(), "item_ids": np.vectorize(bytes.decode)(arrays["item_ids"]).tolist()}
    plain = {name: lists[name] for name in names}
    found = orjson.loads(from_arrays(outputs, by_row))
    if by_row:
        rows = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
        assert found == {"predictions": plain["scores"] if len(names) == 1 else rows}
    else:
        assert found == {"outputs": plain["scores"] if len(names) == 1 else plain}
