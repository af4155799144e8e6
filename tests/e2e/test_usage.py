"""Wrong usages, as a new user makes them: status 2, one line that names the mistake; and help with an example."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from pathlib import Path

import pytest

from preprocessing.console import run_command
from tests.e2e.commands import CHILDREN, commands, parser_of
from tests.e2e.market import ROOT

COMMANDS = commands()
MGDSPR = f"--config {ROOT}/configs/mgdspr.yaml"
JUDGED = "judged --products {here}/p.jsonl --judgments {here}/j.jsonl"
# name -> (command, flags, what the last line on stderr has to say); {here} is a folder with a little of everything
USAGES: dict[str, tuple[str, str, str]] = {
    "no market without items": ("preprocessing.simulate", "--output {here}/raw --items 0", "--items"),
    "a word for a number": ("preprocessing.simulate", "--output {here}/raw --days week", "invalid int value: 'week'"),
    "no kind": ("preprocessing.adapt", "esky {here} {here}/raw", "invalid choice: 'esky'"),
    "labels that are not there": ("preprocessing.adapt", f"{JUDGED} {{here}}/raw", "p.jsonl"),
    "logs that are not there": (
        "preprocessing.pipeline",
        f"--config {ROOT}/configs/demo.yaml --input {{here}}/none --output {{here}}/data",
        "no file matches",
    ),
    "two flags in one word": ("preprocessing.pipeline", "--config {here}/c.yaml --inputs x", "--input, --output"),
    "records of a broken run": ("trainer.task", f"{MGDSPR} --data {{here}} --job-dir {{here}}/job", "no _SUCCESS"),
    "a model of another project": (
        "trainer.task",
        f"{MGDSPR} --data {{here}} --job-dir {{here}}/job --set trainer.model=bert",
        "trainer.model",
    ),
    "a key with an s too many": (
        "trainer.task",
        f"{MGDSPR} --data {{here}} --job-dir {{here}}/job --set trainer.mgdspr.dims=64",
        "did you mean 'dim'",
    ),
    "a depth in letters": ("trainer.evaluate", "--data {here} --job-dir {here}/job --k ten", "--k ten: whole numbers"),
    "too little memory": ("trainer.evaluate", "--data {here} --job-dir {here}/job --memory-mb 1", "at least 64"),
    "a job that never trained": ("trainer.evaluate", "--data {here} --job-dir {here}/job", "{here}/job"),
    "nothing to search": ("trainer.tune", f"{MGDSPR} --data {{here}} --output {{here}}/tune", "nothing to search"),
    "a job that nobody evaluated": ("trainer.gate", "--job-dir {here}/job", "run python -m trainer.evaluate"),
    "a figure that nobody measured": ("trainer.gate", "--job-dir {here} --figure recal", "did you mean 'recall'"),
    "a cloud without a place": ("trainer.submit", f"{MGDSPR} --data gs://b/data", "--job-dir, --project, --region"),
    "neither job nor changes": ("serving.export", "--data {here} --output {here}/models", "name --job-dir"),
    "no shard": (
        "serving.export",
        "--data {here} --job-dir {here}/job --output {here}/models --shards 0",
        "--shards takes a number from 1",
    ),
    "an index of another library": (
        "serving.export",
        "--data {here} --job-dir {here}/job --output {here}/models --index faiss",
        "invalid choice: 'faiss'",
    ),
    "nothing to serve": ("serving.server", "--port 8500", "--model_base_path"),
    "a folder that is not there": ("serving.server", "--model-base-path {here}/none", "none is no folder"),
    "neither towers nor a model": (
        "serving.batch",
        "--mode embed --input {here} --output {here}/vectors",
        "--mode embed takes one of --job-dir and --model",
    ),
    "a refresh of nothing": ("serving.refresh", "--data {here}", "--job-dir, --output"),
    "no item wanted": ("serving.client", "shoes --k 0", "--k 0: at least 1"),
    "half a certificate": ("serving.client", "shoes --tls-cert {here}/c.pem", "need --tls-ca"),
    "a user who is not there": ("serving.client", "shoes --user {here}/user.json", "user.json"),
    "a demo of another model": ("serving.demo", "--model bert", "invalid choice: 'bert'"),
    "no films": ("benchmarks.movielens", "--ml-100k {here}/none", "no such folder"),
    "no rated queries": ("benchmarks.judged", "--data {here}", "judgments.jsonl"),
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated job with one figure, and nothing else that is whole."""
    folder = tmp_path_factory.mktemp("usage")
    metrics = {"job": "one", "models": {"one": {"recall@100/clicked": {"mean": 0.5}, "recall": {"mean": 0.5}}}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


@pytest.mark.parametrize("usage", USAGES)
def test_a_wrong_usage_is_told_in_a_line(usage: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, flags, message = USAGES[usage]
    main = importlib.import_module(COMMANDS[command]).main
    before = sorted(path for path in here.rglob("*"))
    with pytest.raises(SystemExit) as end:
        run_command(lambda _: main(flags.format(here=here).split()))
    told = capsys.readouterr().err
    assert end.value.code == 2, told
    lines = told.strip().splitlines()
    assert message.format(here=here) in lines[-1]
    assert "Traceback" not in told
    # argparse puts the command's usage above its one line; whatever is ours is that line alone.
    assert len(lines) == 1 or lines[0].startswith("usage: python -m ")
    assert sorted(path for path in here.rglob("*")) == before


def test_every_command_is_misused_here_at_least_once() -> None:
    measured_only = {name for name in COMMANDS if name.startswith("benchmarks.")} | {*CHILDREN}
    assert {command for command, _, _ in USAGES.values()} >= COMMANDS.keys() - measured_only


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {*CHILDREN}))
def test_help_has_an_example_that_the_command_takes(command: str) -> None:
    parser = parser_of(COMMANDS[command])
    said = parser.format_help()
    examples = re.sub(r"\\\n\s*", "", said[said.index("\nexample") :]).splitlines()[1:]
    own = [line.strip() for line in examples if line.strip().startswith(f"python -m {command}")]
    assert own, f"python -m {command} --help shows no example of itself"
    for line in own:
        words = shlex.split(line)[3:]
        if "..." not in words:
            parser.parse_known_args(words)
