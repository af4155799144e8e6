"""python -m trainer.tune: what may be searched, what is drawn, and a real search through a real kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from preprocessing.command.console import UserError
from preprocessing.command.experiment import load_section
from tests.trainer.conftest import ROOT, write_config
from trainer.config import TrainerConfig
from trainer.config_keys import with_keys
from trainer.job.job_folder import Job, first_difference
from trainer.tune import main
from trainer.tuning.results import draw, print_table
from trainer.tuning.search import Search, Trial

Config = Callable[..., TrainerConfig]
RANGES = {
    "optimizer.embedding_rate": {"low": 0.01, "high": 1, "log": True},
    "loss.temperature": {"choices": [0.5, 1.0, 2.0]},
    "data.batch": {"low": 32, "high": 64},
    "mgdspr.grains.grams": {"choices": [["word"], ["bigram", "word"]]},
}
SLOW = {"steps": 12, "steps_per_call": 1, "checkpoint_every_steps": 2, "histograms": False}
SEEN = {"every_steps": 6, "requests": 64, "k": 20}


def searching(ranges: dict[str, Any], trials: int = 3) -> dict[str, Any]:
    return {"tune": {"trials": trials, "ranges": ranges}}


@pytest.fixture
def settings(tmp_path: Path) -> TrainerConfig:
    """A config with one range of each kind."""
    return load_section(write_config(tmp_path, **searching(RANGES)), "trainer", TrainerConfig)


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ({"optimizer.embeding_rate": {"low": 1, "high": 2}}, "did you mean 'optimizer.embedding_rate'?"),
        ({"embedding_rate": {"low": 1, "high": 2}}, "did you mean 'optimizer.embedding_rate'?"),
        ({"loss.temperature.x": {"low": 1, "high": 2}}, "did you mean 'loss.temperature'?"),
        ({"loss.temperature": {"low": 0, "high": 2}}, "'loss.temperature' cannot be 0.0: Input should be greater"),
        ({"loss.kind": {"choices": ["softmax", "soft"]}}, "'loss.kind' cannot be 'soft': Input should be 'softmax'"),
        ({"data.batch": {"low": 1.5, "high": 8}}, "'data.batch' cannot be 1.5"),
        ({"loss.stage_weights.orderd": {"low": 1, "high": 2}}, "'loss.stage_weights.orderd' cannot be 1.0"),
        ({"validation.k": {"low": 1, "high": 2}}, "'validation.k' cannot be searched: trials must be measured alike"),
        ({"loss.temperature": {"low": 2, "high": 1}}, "low < high is needed, got low 2 and high 1"),
        ({"loss.temperature": {"low": 0, "high": 1, "log": True}}, "0 < low < high is needed"),
        ({"loss.temperature": {"low": 1}}, "give low and high, or choices"),
        ({"loss.temperature": {"low": 1, "choices": [2]}}, "choices stand alone"),
        ({"loss.temperature": {"lo": 1}}, "unknown key 'trainer.tune.ranges.loss.temperature.lo'; did you mean 'low'"),
    ],
)
def test_ranges_that_cannot_be(ranges: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = write_config(tmp_path, **searching(ranges))
    with pytest.raises(UserError) as mistake:
        load_section(path, "trainer", TrainerConfig)
    assert said in str(mistake.value) and "\n" not in str(mistake.value)


def test_a_search_needs_validation(tmp_path: Path) -> None:
    path = write_config(tmp_path, **searching({"loss.temperature": {"low": 1, "high": 2}}))
    with pytest.raises(UserError, match=r"validation\.every_steps must be above 0"):
        load_section(path, "trainer", TrainerConfig, ["trainer.validation.every_steps=0"])


def test_a_key_inside_a_mapping(tmp_path: Path) -> None:
    ranges = {"loss.stage_weights.ordered": {"low": 1, "high": 2}}
    config = load_section(write_config(tmp_path, **searching(ranges)), "trainer", TrainerConfig)
    made = with_keys(config.without_search(), {"loss.stage_weights.ordered": 1.5})
    assert made.loss.stage_weights == {"ordered": 1.5, "clicked": 1.0} and not made.tune.ranges


def test_draws_lie_in_their_ranges_and_train(settings: TrainerConfig, tmp_path: Path) -> None:
    search = Search(str(tmp_path / "study"), settings)
    for number in range(12):
        trial = search.next()
        assert trial.number == number and set(trial.values) == set(RANGES)
        made = with_keys(settings.without_search(), trial.values)
        assert 0.01 <= made.optimizer.embedding_rate <= 1 and made.loss.temperature in (0.5, 1.0, 2.0)
        assert 32 <= made.data.batch <= 64 and made.mgdspr.grains.grams in (("word",), ("bigram", "word"))
        search.finish(trial, number / 20)
    assert search.best is not None and search.best.number == 11


def test_a_broken_search_draws_what_an_unbroken_one_draws(settings: TrainerConfig, tmp_path: Path) -> None:
    """Also behind the first ten, which are drawn at random: the sampler's model is a function of the past."""

    def unbroken(name: str, broken: bool) -> list[Trial]:
        search = Search(str(tmp_path / name), settings)
        for number in range(13):
            if broken:
                Search(str(tmp_path / name), settings).next()
                search = Search(str(tmp_path / name), settings)
            search.finish(search.next(), None if number % 5 == 4 else (number * 7 % 13) / 13)
        return search.trials

    one, other = unbroken("one", broken=False), unbroken("other", broken=True)
    assert one == other and len({str(trial.values) for trial in one}) == 13
    assert [trial.state for trial in one].count("fail") == 2
    reseeded = settings.model_copy(update={"seed": settings.seed + 1})
    assert Search(str(tmp_path / "third"), reseeded).next().values != one[0].values


def test_a_search_around_a_job_is_not_its_config(settings: TrainerConfig, data: str, tmp_path: Path) -> None:
    assert first_difference(settings, settings.without_search()) is None
    Job(str(tmp_path / "job")).begin(settings, data)
    Job(str(tmp_path / "job")).begin(settings.without_search(), data)


def test_the_plot_and_the_table(settings: TrainerConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"optimizer.embedding_rate": 0.123456, "loss.temperature": 0.5, "data.batch": 40, "mgdspr.grains.grams": 1}
    trials = [Trial(0, values, "complete", 0.25), Trial(1, values, "fail", None), Trial(2, values, "complete", 0.5)]
    draw(str(tmp_path / "history.png"), trials, settings)
    draw(str(tmp_path / "none.png"), trials[1:2], settings)
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    print_table(trials, trials[2], 20)
    said = capsys.readouterr().out
    assert said.index("0.5000") < said.index("0.2500") < said.index("fail") and "recall@20" in said


def _tune(config: str, data: str, folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trainer.tune", "--config", config, "--data", data, "--output", str(folder), *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_and_resumed(data: str, tmp_path: Path) -> None:
    """SIGKILL in the second trial: its training ends as well, and the same command finishes it and no more."""
    ranges = {key: RANGES[key] for key in ("optimizer.embedding_rate", "loss.temperature")}
    path = write_config(tmp_path, model="tfrs", training=SLOW, validation=SEEN, **searching(ranges))
    folder, second = tmp_path / "tune", tmp_path / "tune/trials/1"
    process = _tune(path, data, folder, "--trials", "2")
    deadline = time.monotonic() + 600
    while not list(second.glob("checkpoints/last/*.index")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    (trial,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    psutil.wait_procs([trial], timeout=120)
    assert not trial.is_running()
    process.communicate()
    assert not (second / "towers").exists() and len((folder / "trials.jsonl").read_text().splitlines()) == 1
    begun = (tmp_path / "tune/trials/1.yaml").read_bytes()

    assert main(["--config", path, "--data", data, "--output", str(folder), "--trials", "2"]) == 0
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    assert [(one["trial"], one["state"]) for one in lines] == [(0, "complete"), (1, "complete")]
    assert (tmp_path / "tune/trials/1.yaml").read_bytes() == begun and (second / "towers").exists()
    assert (folder / "history.png").stat().st_size
    best = load_section(str(folder / "best.yaml"), "trainer", TrainerConfig)
    chosen = max(lines, key=lambda one: one["recall"])
    assert first_difference(best, Job(str(folder / f"trials/{chosen['trial']}")).config()) is None
    assert chosen["values"]["loss.temperature"] == best.loss.temperature
    assert best.tune.chosen_until_ms == json.loads(Path(data, "spec.json").read_text())["eval_from_ms"]
    assert best.without_search().tune == best.tune  # as it is submitted

    with pytest.raises(UserError, match=r"--output .* is of another config: trainer.tune.ranges.loss.temperature"):
        main(["--config", path, "--data", data, "--output", str(folder), "--set", _OTHER])


_OTHER = 'trainer.tune.ranges={"optimizer.embedding_rate": {low: 0.01, high: 1, log: true}}'


def test_values_that_do_not_go_together(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is allowed by itself; a trial that draws both fails, and the search says why."""
    ranges = {"loss.in_batch": {"choices": [False]}, "loss.catalog_negatives": {"choices": [0]}}
    path = write_config(tmp_path, model="tfrs", **searching(ranges, trials=2))
    with pytest.raises(UserError, match="none of 2 trials came to its end"):
        main(["--config", path, "--data", data, "--output", str(tmp_path / "tune")])
    assert "trial 1 cannot be: no negatives are left" in capsys.readouterr().err
    states = [json.loads(line)["state"] for line in (tmp_path / "tune/trials.jsonl").read_text().splitlines()]
    assert states == ["fail", "fail"] and not (tmp_path / "tune/best.yaml").exists()


def test_two_searches_in_one_folder(settings: TrainerConfig, data: str, tmp_path: Path) -> None:
    from trainer.tune import _alone

    path = write_config(tmp_path, **searching(RANGES))
    (tmp_path / "tune").mkdir()
    with _alone(str(tmp_path / "tune")), pytest.raises(UserError, match="another search is at work in it"):
        main(["--config", path, "--data", data, "--output", str(tmp_path / "tune")])


def test_mistakes(data: str, tmp_path: Path) -> None:
    path = write_config(tmp_path)
    with pytest.raises(UserError, match=r"nothing to search; give trainer\.tune\.ranges a key"):
        main(["--config", path, "--data", data, "--output", str(tmp_path / "tune")])
    with pytest.raises(UserError, match=r"trainer\.tune\.trials: Input should be greater than 0, got 0"):
        main(["--config", path, "--data", data, "--output", str(tmp_path / "tune"), "--trials", "0"])
    path = write_config(tmp_path, **searching(RANGES))
    with pytest.raises(UserError, match="no _SUCCESS in it"):
        main(["--config", path, "--data", str(tmp_path), "--output", str(tmp_path / "tune")])
    assert not (tmp_path / "tune").exists()
