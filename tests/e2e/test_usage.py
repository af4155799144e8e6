"""Wrong usages, as a new user makes them: status 2, one line that names the mistake; and help with an example."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from preprocessing.command.console import run_command
from tests.e2e import market
from tests.e2e.commands import CHILDREN, commands, parser_of
from tests.e2e.market import ROOT

COMMANDS = commands()
MISUSED = {
    "preprocessing.pipeline": "--config none.yaml --input none --output none",
    "trainer.task": "--config configs/mgdspr.yaml --data none --job-dir none",
    "serving.server": "--model-base-path none",
    "serving.client": "shoes --target 127.0.0.1:1 --user none.json",
}
MGDSPR = f"--config {ROOT}/configs/mgdspr.yaml"
JUDGED = "judged --products {here}/p.jsonl --judgments {here}/j.jsonl"
# name -> (command, flags, what the line on stderr has to say); {here} is a folder with a little of everything
USAGES: dict[str, tuple[str, str, str]] = {
    "no market without items": ("preprocessing.simulate", "--output {here}/raw --items 0", "--items"),
    "a word for a number": ("preprocessing.simulate", "--output {here}/raw --days week", "invalid int value: 'week'"),
    "no kind": ("preprocessing.adapt", "esky {here} {here}/raw", "invalid choice: 'esky'"),
    "a flag of a kind": ("preprocessing.adapt", "judged --product p.jsonl", "--product; did you mean '--products'?"),
    "labels that are not there": ("preprocessing.adapt", f"{JUDGED} {{here}}/raw", "p.jsonl"),
    "logs that are not there": (
        "preprocessing.pipeline",
        f"--config {ROOT}/configs/demo.yaml --input {{here}}/none --output {{here}}/data",
        "no file matches",
    ),
    "a flag with an s too many": (
        "preprocessing.pipeline",
        "--config {here}/c.yaml --inputs x",
        "did you mean '--input'",
    ),
    "a flag without its value": ("preprocessing.pipeline", "--config", "argument --config: expected one argument"),
    "workers in letters": (
        "preprocessing.pipeline",
        f"--config {ROOT}/configs/demo.yaml --input {{here}}/log --output {{here}}/data --direct_num_workers=two",
        "--direct_num_workers: invalid int value: 'two'",
    ),
    "a runner that is not there": (
        "preprocessing.pipeline",
        f"--config {ROOT}/configs/demo.yaml --input {{here}}/log --output {{here}}/data --runner=Foo",
        "--runner Foo: Unexpected pipeline runner",
    ),
    "a cloud without a project": (
        "preprocessing.pipeline",
        f"--config {ROOT}/configs/demo.yaml --input {{here}}/log --output {{here}}/data --runner=DataflowRunner",
        "Missing required option: project",
    ),
    "a folder without logs": ("preprocessing.inspect", "{here}/none", "{here}/none: no log in it"),
    "a day that is not whole": ("preprocessing.compare", "{here} {here}", "{here}: no _SUCCESS in it"),
    "a limit of another name": (
        "preprocessing.compare",
        f"{{here}} {{here}} --config {ROOT}/configs/demo.yaml --set preprocessing.compare.lenghts=1",
        "did you mean 'lengths'",
    ),
    "grades out of order": (
        "preprocessing.judge",
        f"--config {ROOT}/configs/demo.yaml --input {{here}}/log --output {{here}}/judged --grades 2,1,3",
        "--grades 2,1,3: each higher than the one before",
    ),
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
    "a refresh of nothing": ("serving.refresh", "--output {here}/models", "give --job-dir and --data"),
    "no item wanted": ("serving.client", "shoes --k 0", "--k 0: at least 1"),
    "half a certificate": ("serving.client", "shoes --tls-cert {here}/c.pem", "need --tls-ca"),
    "a user who is not there": ("serving.client", "shoes --user {here}/user.json", "user.json"),
    "a demo of another model": ("serving.demo", "--model bert", "invalid choice: 'bert'"),
    "no films": ("benchmarks.movielens", "--ml-100k {here}/none", "no such folder"),
    "a log of another folder": ("benchmarks.load", "--target a:1 --requests {here}/none", "{here}/none: No such file"),
    "a model that is not there": ("benchmarks.serve", "--model-base-path {here}", "{here} holds no version"),
    "nothing to attack": ("benchmarks.rest_attack", "--model-base-path {here}", "{here} holds no version"),
    "a soak over something else": ("benchmarks.soak", "--output {here}", "{here} was not made by this command"),
    "no rated queries": ("benchmarks.judged", "--data {here}", "judgments.jsonl"),
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated job with one figure, a small log, and nothing else that is whole."""
    folder = tmp_path_factory.mktemp("usage")
    market.write(market.make(searches=20), folder / "log")
    metrics = {"job": "one", "models": {"one": {"recall@100/clicked": {"mean": 0.5}, "recall": {"mean": 0.5}}}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def told(command: str, flags: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr with which a command refuses its flags."""
    main = importlib.import_module(COMMANDS[command]).main
    with pytest.raises(SystemExit) as end:
        run_command(lambda _: main(flags))
    said, error = capsys.readouterr()
    assert (end.value.code, said, error.count("\n")) == (2, "", 1), error
    assert error.startswith("error: ")
    return error


@pytest.mark.parametrize("usage", USAGES)
def test_a_wrong_usage_is_told_in_a_line(usage: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, flags, message = USAGES[usage]
    before = sorted(path for path in here.rglob("*"))
    assert message.format(here=here) in told(command, flags.format(here=here).split(), capsys)
    assert sorted(path for path in here.rglob("*")) == before


def misspelt(command: str) -> tuple[str, str]:
    """The longest flag that needs a value, and the same without its last letter."""
    actions = parser_of(COMMANDS[command])._actions
    longest = max((name for one in actions if one.nargs is None for name in one.option_strings), key=len)
    return longest, longest[:-1]


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {*CHILDREN, "preprocessing.adapt"}))
def test_a_misspelt_flag_is_named_with_the_nearest(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    right, wrong = misspelt(command)
    assert f"unknown flag {wrong}; did you mean {right!r}?" in told(command, [wrong, "x"], capsys)


@pytest.mark.parametrize("command", ["preprocessing.pipeline", "trainer.task", "serving.server", "serving.client"])
def test_a_process_says_the_line_and_nothing_else(command: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", command, *MISUSED[command].split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), ended.stderr


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


def test_help_waits_for_neither_tensorflow_nor_beam() -> None:
    modules = ("trainer.task", "trainer.evaluate", "trainer.gate", "trainer.submit", "serving.export", "serving.server")
    ask = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(SystemExit):
        importlib.import_module(name).main(["--help"])
print(*{"tensorflow", "apache_beam"} & sys.modules.keys(), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", ask, *modules], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.count("usage: ") == len(modules) and done.stderr.strip() == "", done.stderr
