"""A state: one run at a time, whole or not at all, and told in one line what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preprocessing.command.console import UserError
from preprocessing.config import HistoryConfig, PreprocessingConfig
from preprocessing.data.state_folder import Day, StateFolder, fingerprint

CONFIG = PreprocessingConfig()


def _run(state: StateFolder, logs: str, output: Path, words: str = "some words") -> Day:
    """A run that leaves one file."""
    day = state.day(logs, str(output))
    assert day is not None
    Path(day.folder, "users-00000").write_text(words)
    output.mkdir(exist_ok=True)
    (output / "_SUCCESS").touch()
    state.commit(day)
    return day


def _mistake(state: StateFolder, logs: str = "new", output: str = "out") -> str:
    with pytest.raises(UserError) as mistake:
        state.day(logs, output)
    assert "\n" not in str(mistake.value)
    return str(mistake.value)


def test_each_run_goes_on_from_the_one_before(tmp_path: Path) -> None:
    state = StateFolder(f"{tmp_path}/state/", CONFIG)
    with state.alone():
        runs = [_run(state, logs, tmp_path / logs) for logs in ("a", "b", "c")]
    assert [run.number for run in runs] == [1, 2, 3]
    assert [run.past for run in runs] == [None, runs[0].folder, runs[1].folder]
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["000002", "000003", "CURRENT", "lock"]


def test_a_day_of_broken_logs_is_taken_out_by_hand(tmp_path: Path) -> None:
    """As docs/operations.md says: the run before is named in CURRENT, and the mended logs go on from it."""
    state = StateFolder(str(tmp_path), CONFIG)
    runs = [_run(state, logs, tmp_path / logs) for logs in ("a", "b", "broken")]
    (tmp_path / "CURRENT").write_text(Path(runs[1].folder).name)
    mended = _run(state, "mended", tmp_path / "broken")
    assert (mended.number, mended.past) == (3, runs[1].folder)
    manifest = json.loads(Path(mended.folder, "state.json").read_text())
    assert [day["logs"] for day in manifest["days"]] == ["a", "b", "mended"]


def test_a_repeated_run_changes_nothing(tmp_path: Path) -> None:
    state = StateFolder(str(tmp_path), CONFIG)
    for logs in ("a", "b"):
        _run(state, logs, tmp_path / logs)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert state.day("b", f"{tmp_path}/b") is None and state.day("a", f"{tmp_path}/a") is None
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert "these logs are in it since run 1, whose records are in" in _mistake(state, "a", f"{tmp_path}/elsewhere")


def test_the_newest_run_can_be_done_again(tmp_path: Path) -> None:
    """Its records are gone: it starts from the run before, and killed half way it still does."""
    state = StateFolder(str(tmp_path), CONFIG)
    for logs in ("a", "b"):
        _run(state, logs, tmp_path / logs)
    (tmp_path / "b/_SUCCESS").unlink()
    for _ in range(2):
        day = state.day("b", f"{tmp_path}/b")
        assert day is not None and (day.number, day.past) == (2, f"{tmp_path}/000001")
        assert not list(Path(day.folder).iterdir())
    assert _run(state, "b", tmp_path / "b").number == 2
    first = StateFolder(f"{tmp_path}/first", CONFIG)
    _run(first, "a", tmp_path / "a")
    day = first.day("a", "elsewhere")
    assert day is not None and day.past is None and not (tmp_path / "first/CURRENT").exists()


def test_a_second_run_at_once_is_refused(tmp_path: Path) -> None:
    first, second = (StateFolder(str(tmp_path), CONFIG) for _ in range(2))
    busy = pytest.raises(UserError, match=f"^--state {tmp_path}: another run is at work in it; wait for it")
    with first.alone(), busy, second.alone():
        pass
    with second.alone():
        pass


def test_a_broken_state(tmp_path: Path) -> None:
    state = StateFolder(str(tmp_path), CONFIG)
    file = Path(_run(state, "a", tmp_path / "a").folder, "users-00000")
    file.write_text("some")
    assert "000001/users-00000 has 4 bytes, not 10; bring it back from a copy" in _mistake(state)
    file.unlink()
    assert "000001/users-00000 is missing; bring it back from a copy" in _mistake(state)
    manifest = file.parent / "state.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema": 0}))
    assert "its schema is 0, this program's 1" in _mistake(state)
    manifest.write_text("{")
    assert "000001/state.json cannot be read" in _mistake(state)
    (tmp_path / "CURRENT").write_text("seven")
    assert "CURRENT says 'seven', which is no run" in _mistake(state)
    lost = StateFolder(f"{tmp_path}/lost", CONFIG)
    for logs in ("a", "b"):
        _run(lost, logs, tmp_path / logs)
    (tmp_path / "lost/CURRENT").unlink()
    assert "CURRENT is missing; bring it back from a copy" in _mistake(lost)


def test_another_config(tmp_path: Path) -> None:
    _run(StateFolder(str(tmp_path), CONFIG), "a", tmp_path / "a")
    other = CONFIG.model_copy(update={"history": HistoryConfig(long_days=40), "seed": 3})
    assert "preprocessing.history.long_days was 30, now 40; take its value" in _mistake(
        StateFolder(str(tmp_path), other)
    )


def test_what_tells_two_days_apart(tmp_path: Path) -> None:
    for folder, text in (("one", "a"), ("same", "a"), ("other", "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "searches.jsonl").write_text(text)
    one, same, other = (
        fingerprint(f"{tmp_path}/{folder}", [f"{tmp_path}/{folder}/searches.jsonl"])
        for folder in ("one", "same", "other")
    )
    assert one == same != other
