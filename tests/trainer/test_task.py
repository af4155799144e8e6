"""python -m trainer.task: from records to towers, through kills and mistakes."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from tests.trainer.conftest import SMALL, command, finish, flags, write_config
from trainer import evaluate
from trainer.config import TrainerConfig
from trainer.data.dataset import requests
from trainer.job.job_folder import Job, first_difference
from trainer.job.restore import restore
from trainer.task import main
from trainer.training import loop
from trainer.training.distribution import Placement


@pytest.fixture(scope="module")
def trained(data: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A dnn job, whole: its config and its folder."""
    folder = tmp_path_factory.mktemp("trained")
    loss = {**SMALL["loss"], "temperature": 0.05}
    settings = write_config(folder, model="dnn", dnn={**SMALL["dnn"], "normalize": True}, loss=loss)
    main(list(flags(settings, data, folder / "job")))
    return settings, folder / "job"


def variables(checkpoint: str) -> dict[str, np.ndarray]:
    """What a checkpoint holds."""
    reader = tf.train.load_checkpoint(checkpoint)
    return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map() if ".ATTRIBUTES/VARIABLE" in n}


def last(job: Path) -> dict[str, np.ndarray]:
    return variables(tf.train.latest_checkpoint(str(job / "checkpoints/last")))


def step_of(job: Path) -> int:
    return int(last(job)["noise/step/.ATTRIBUTES/VARIABLE_VALUE"])


def test_the_folder(trained: tuple[str, Path], data: str) -> None:
    _, job = trained
    assert {path.name for path in job.iterdir()} == {"checkpoints", "config.yaml", "data.json", "logs", "towers"}
    assert Job(str(job)).config().model == "dnn" and step_of(job) == 24
    towers = restore(str(job), data)
    vectors = towers.query(next(iter(requests(data, "eval", 5))))
    assert vectors.shape == (5, towers.dim) and vectors.dtype == tf.float32


def test_the_journal(trained: tuple[str, Path]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained[1] / "logs"), size_guidance={"tensors": 0})
    events.Reload()
    tags = set(events.Tags()["tensors"])
    wanted = {"loss/loss", "loss/retrieval", "gradient/norm", "rate/embeddings", "rate/dense", "config"}
    assert tags >= wanted | {"validation/recall_at_20", "speed/examples_per_s"}
    assert any(tag.startswith("norm/") for tag in tags)
    losses = [tf.make_ndarray(one.tensor_proto) for one in events.Tensors("loss/retrieval")]
    assert losses[-1] < losses[0]
    assert b"dnn" in tf.make_ndarray(events.Tensors("config")[0].tensor_proto).item()


def test_a_finished_job_stays_as_it_is(trained: tuple[str, Path], data: str) -> None:
    """Only its towers are written again: that is how they come into a newer format."""
    before = last(trained[1])
    (trained[1] / "towers" / "encoding.json").unlink()
    main(["--config", str(trained[1] / "config.yaml"), "--data", data, "--job-dir", str(trained[1])])
    assert all(np.array_equal(before[name], value) for name, value in last(trained[1]).items())
    assert (trained[1] / "towers" / "encoding.json").exists()


def test_killed_and_resumed_it_ends_the_same(trained: tuple[str, Path], data: str, tmp_path: Path) -> None:
    """SIGKILL at some step behind a checkpoint; the restarted run makes the same steps on the same data."""
    job, slow = tmp_path / "job", ("training.steps_per_call=1", "training.checkpoint_every_steps=3")
    settings = flags(trained[0], data, job, *slow)
    process = command(*settings)
    deadline = time.monotonic() + 600
    while not tf.train.latest_checkpoint(str(job / "checkpoints/last")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    assert 0 < step_of(job) < 24
    finish(command(*settings))
    expected, found = last(trained[1]), last(job)
    assert step_of(job) == 24 and expected.keys() == found.keys()
    for name in expected.keys() - {"save_counter/.ATTRIBUTES/VARIABLE_VALUE"}:
        assert found[name] == pytest.approx(expected[name], abs=1e-6), name


def test_a_loss_that_is_no_number(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = write_config(tmp_path, model="dnn")
    wild = ("optimizer.embedding_rate=1e38", "optimizer.clip_norm=0", "training.checkpoint_every_steps=1")
    with pytest.raises(SystemExit) as stopped:
        main(list(flags(settings, data, tmp_path / "job", *wild)))
    said = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 1 and "not finite at step" in said
    good = tf.train.latest_checkpoint(str(tmp_path / "job/checkpoints/last"))
    assert f"the last good checkpoint is {good}" in said if good else "none yet" in said
    batches = requests(data, "train", 500, {"request_id"})
    ids = {one.decode() for batch in batches for one in batch["request_id"].numpy()}
    named = said.split("(requests ")[1].split(" and ")[0].split(", ")
    assert len(named) == 8 and set(named) <= ids


def _mistake(arguments: list[str]) -> str:
    with pytest.raises(UserError) as mistake:
        main(arguments)
    text = str(mistake.value)
    assert "\n" not in text
    return text


def test_mistakes(trained: tuple[str, Path], data: str, tmp_path: Path) -> None:
    settings, job = trained
    said = _mistake(list(flags(settings, data, job, "dnn.dim=8")))
    assert f"--job-dir {job} is of another config: trainer.dnn.dim was 16, now 8" in said
    assert "no _SUCCESS in it" in _mistake(list(flags(settings, str(tmp_path), tmp_path / "job")))
    assert "unknown key 'trainer.dnn.dimm'; did you mean 'dim'" in _mistake(
        list(flags(settings, data, tmp_path / "job", "dnn.dimm=8"))
    )
    assert "no negatives are left" in _mistake(
        list(flags(settings, data, tmp_path / "job", "loss.in_batch=false", "loss.catalog_negatives=0"))
    )
    assert "alpha must be 0 <= a < b <= 1" in _mistake(
        list(flags(settings, data, tmp_path / "job", "loss.hard_negatives.alpha=[0.6, 0.4]"))
    )
    assert not (tmp_path / "job").exists()


def test_other_vocabularies(trained: tuple[str, Path], data: str, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    words = tmp_path / "data/vocab/word.txt"
    words.write_text("".join(reversed(words.read_text().splitlines(keepends=True))))
    said = _mistake(list(flags(trained[0], str(tmp_path / "data"), trained[1])))
    assert "other vocabularies or features" in said and "the ids do not match" in said


def test_the_command_ends_with_2_on_a_mistake(data: str, tmp_path: Path) -> None:
    process = command(*flags(str(tmp_path / "none.yaml"), data, tmp_path / "job"))
    _, err = process.communicate(timeout=600)
    assert process.returncode == 2 and err.count("\n") == 1 and err.startswith("error: ") and "no such config" in err


def test_first_difference(config: Callable[..., TrainerConfig]) -> None:
    one = config("mmse")
    assert first_difference(one, config("mmse")) is None
    assert first_difference(one, config("mmse", "distribution.strategy=mirrored")) is None
    assert first_difference(one, config("mmse", "loss.stage_weights={ordered: 3}")) == (
        "trainer.loss.stage_weights.ordered was 2.0, now 3.0"
    )


def test_the_best_is_kept(data: str, tmp_path: Path) -> None:
    """Also where the steps behind it made it worse."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = write_config(tmp_path, model="dnn")
    worse = ("optimizer.decay=constant", "training.steps=16", "validation.every_steps=4", "optimizer.dense_rate=0.3")
    main(list(flags(settings, data, tmp_path / "job", *worse)))
    events = EventAccumulator(str(tmp_path / "job/logs"), size_guidance={"tensors": 0}).Reload()
    recalls = {one.step: tf.make_ndarray(one.tensor_proto) for one in events.Tensors("validation/recall_at_20")}
    assert sorted(recalls) == [4, 8, 12, 16]
    best = max(recalls, key=lambda step: recalls[step])
    assert Job(str(tmp_path / "job")).best_checkpoint().endswith(f"-{best}")
    assert last(tmp_path / "job")["best_recall/.ATTRIBUTES/VARIABLE_VALUE"] == pytest.approx(recalls[best])


def test_without_a_request_to_choose_by(data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to choose by: the last model is the best, and there is nothing to evaluate."""
    shutil.copytree(data, tmp_path / "data")
    for path in [*(tmp_path / "data").glob("validation-*"), *(tmp_path / "data").glob("eval-*")]:
        tf.io.TFRecordWriter(str(path), "GZIP").close()
    spec = json.loads(Path(data, "spec.json").read_text())
    spec["examples"] |= {"validation": 0, "eval": 0}
    (tmp_path / "data/spec.json").write_text(json.dumps(spec))
    settings = write_config(tmp_path, model="tfrs")
    few = ("training.steps=3", "training.histograms=false")
    main(list(flags(settings, str(tmp_path / "data"), tmp_path / "job", *few)))
    assert Job(str(tmp_path / "job")).best_checkpoint().endswith("-3")
    assert np.isnan(last(tmp_path / "job")["best_recall/.ATTRIBUTES/VARIABLE_VALUE"])
    assert "best recall" not in capsys.readouterr().out
    with pytest.raises(UserError, match=r"has no eval request; set preprocessing\.split"):
        evaluate.main(["--data", str(tmp_path / "data"), "--job-dir", str(tmp_path / "job")])


def test_validation_can_be_off(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last checkpoint is then the best, and no validation request is read."""
    settings = write_config(tmp_path, model="tfrs")
    monkeypatch.setattr(loop, "Validation", _refused)
    main(list(flags(settings, data, tmp_path / "job", "training.steps=10", "validation.every_steps=0")))
    assert Job(str(tmp_path / "job")).best_checkpoint().endswith("-10")
    assert "recall" not in "".join(capsys.readouterr())


def test_a_machine_that_is_not_the_chief_does_not_validate(
    data: str, spec: dict, config: Callable[..., TrainerConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "Validation", _refused)
    placement = Placement(tf.distribute.get_strategy(), chief=False)
    trainer = loop.Trainer(config("tfrs", "training.steps=2"), data, Job(str(tmp_path / "job")), placement, spec)
    assert trainer.run() == 0.0  # what it is told, not what it measured


def _refused(*_: object) -> None:
    raise AssertionError("a validation")
