"""The model folder: numbers, pruning, and exporters that meet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.release.versions import ModelFolder
from tests.serving.experiment import ROOT


def test_the_last_versions_are_kept(tmp_path: Path) -> None:
    folder = ModelFolder(str(tmp_path / "models"))
    for number in range(1, 6):
        with folder.staging() as aside:
            model = aside / "model"
            model.mkdir()
            (model / "saved_model.pb").write_bytes(b"x")
            assert folder.claim_version() == number
            folder.publish(model, number, {"version": number})
            folder.prune(2, aside)
    assert sorted(os.listdir(folder.path)) == ["4", "5", "manifest-4.json", "manifest-5.json"]


def test_rejected_versions_are_pruned_and_what_another_is_about_to_place_is_not(tmp_path: Path) -> None:
    folder = ModelFolder(str(tmp_path / "models"))
    for number in range(1, 5):
        with folder.staging() as aside:
            (aside / "model").mkdir()
            assert folder.claim_version() == number
            folder.reject(aside / "model", number, {"version": number})
            folder.prune(2, aside)
    assert sorted(os.listdir(folder.path)) == ["rejected-3", "rejected-4"]
    left, other = folder.claim_version(), folder.claim_version()
    (folder.path / f"manifest-{other}.json").write_text("{}")
    with folder.staging() as aside:
        folder.prune(1, aside)
    assert (folder.path / f"manifest-{other}.json").exists() and folder.claim_version() == other + 1 > left + 1
    os.utime(folder.path / f".claim-{other}", (0, 0))  # its exporter was killed long ago
    with folder.staging() as aside:
        folder.prune(1, aside)
    assert not (folder.path / f"manifest-{other}.json").exists() and (folder.path / f".claim-{left}").exists()


def test_a_number_that_was_used_meanwhile_is_not_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ModelFolder(str(tmp_path))
    assert folder.claim_version() == 1
    with folder.staging() as aside:
        (aside / "model").mkdir()
        folder.publish(aside / "model", 1, {"version": 1})
    now, looked = folder.next_version, iter([1])  # what this exporter saw before the other one was done
    monkeypatch.setattr(folder, "next_version", lambda: next(looked, None) or now())
    assert folder.claim_version() == 2
    assert sorted(os.listdir(folder.path)) == [".claim-2", "1", "manifest-1.json"]


_EXPORTER = """
import sys
from pathlib import Path
from serving.release.versions import ModelFolder
folder, number = ModelFolder(sys.argv[1]), sys.argv[2]
for turn in range(8):
    with folder.staging() as aside:
        (aside / "model").mkdir()
        (aside / "model" / "saved_model.pb").write_text(f"{number}/{turn}")
        version = folder.claim_version()
        folder.publish(aside / "model", version, {"version": version, "by": f"{number}/{turn}"})
        folder.prune(100, aside)
"""


def test_exporters_at_once_where_no_lock_holds(tmp_path: Path) -> None:
    """As hosts do whose shared storage knows no locks: nothing of anybody's is lost or bent."""
    folder = ModelFolder(str(tmp_path / "models"))
    command = [sys.executable, "-c", _EXPORTER, str(folder.path)]
    exporters = [subprocess.Popen([*command, str(number)], cwd=ROOT) for number in range(3)]
    assert [one.wait() for one in exporters] == [0, 0, 0]
    assert folder.versions() == folder.published() == list(range(1, 25))
    made = [(folder.path / str(version) / "saved_model.pb").read_text() for version in folder.versions()]
    assert made == [folder.manifest(version)["by"] for version in folder.versions()]
    assert sorted(made) == sorted(f"{number}/{turn}" for number in range(3) for turn in range(8))
    assert len(os.listdir(folder.path)) == 48
