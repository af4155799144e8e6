"""The pipeline as a Dataflow template: the job itself turns what it has staged into a data folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from apache_beam.io.filesystems import FileSystems

from preprocessing.command.experiment import load_section
from preprocessing.config import PreprocessingConfig
from preprocessing.data.data_folder import DataFolder, finish
from preprocessing.pipeline import main
from preprocessing.simulate import simulate

CONFIG = str(Path(__file__).parents[2] / "configs/demo.yaml")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_job_finishes_itself_as_the_command_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulate(tmp_path / "raw", items=200, users=60, days=10, seed=17)
    flags = ["--config", CONFIG, "--input", str(tmp_path / "raw")]
    assert main([*flags, "--output", str(tmp_path / "waited")]) == 0
    capsys.readouterr()
    assert main([*flags, "--output", str(tmp_path / "launched"), "--template_location=anywhere"]) == 0
    assert capsys.readouterr().out.startswith("launched; the job itself")
    assert files(tmp_path / "launched") == files(tmp_path / "waited")


def test_finishing_broken_off_and_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a worker that dies in the last step, and another that does it again."""
    config = load_section(CONFIG, "preprocessing", PreprocessingConfig)
    staged = {"vocab-word.txt": "red\nshoe\n", "vocab-item.txt": "i1\n", "train-00000-of-00001.tfrecord.gz": ""}
    examples = '[["examples", "train", 3], ["examples", "validation", 1], ["examples", "eval", 1]]'
    counts = f'{{"cuts": [4, 5], "times": [1, 9], "stray": 0, "counts": {examples}, "files": {{}}}}'
    folder = DataFolder(str(tmp_path))
    folder.prepare()
    for name, text in {**staged, "counts.json": counts}.items():
        Path(folder.staging, name).write_text(text)
    rename, moved = FileSystems.rename, list[str]()

    def dying(sources: list[str], targets: list[str]) -> None:
        if len(moved) == 2:
            raise OSError("the worker is gone")
        moved.extend(sources)
        rename(sources, targets)

    monkeypatch.setattr(FileSystems, "rename", dying)
    with pytest.raises(OSError, match="the worker is gone"):
        finish(folder, config)
    monkeypatch.undo()
    stats = finish(folder, config)
    assert stats == finish(folder, config)
    assert not Path(folder.staging).exists()
    assert (tmp_path / "vocab/word.txt").read_text() == "red\nshoe\n" and (tmp_path / "vocab/item.txt").read_text()
    assert '"words": 2' in (tmp_path / "spec.json").read_text()
