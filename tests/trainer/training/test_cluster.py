"""What does not name a cluster of parameter servers, or does not go with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preprocessing.command.console import UserError
from tests.trainer.conftest import flags, write_config
from trainer.task import main
from trainer.training.cluster import read_task


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}, "a chief, workers and servers"),
        ({"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}, "ps has none"),
        (
            {
                "cluster": {"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1"]},
                "task": {"type": "evaluator", "index": 0},
            },
            "'evaluator' has nothing to do",
        ),
        ({"cluster": {"chief": ["a:1"]}, "task": {"type": "worker", "index": 3}}, "does not name a cluster and a task"),
    ],
)
def test_clusters_that_are_none(task: dict, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    with pytest.raises(UserError, match=said):
        read_task("parameter_server")


@pytest.mark.parametrize(("more", "said"), [(("--seeds", "2"), "--seeds"), (("--init-from", "job0"), "--init-from")])
def test_what_does_not_go_with_it(more: tuple[str, ...], said: str, data: str, tmp_path: Path) -> None:
    settings = write_config(tmp_path, model="dnn")
    with pytest.raises(UserError, match=f"{said} does not go with trainer.distribution.strategy parameter_server"):
        main([*flags(settings, data, tmp_path / "job", "distribution.strategy=parameter_server"), *more])
