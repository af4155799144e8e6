"""The one command: it has every command of the packages, runs them as they are, and completes their flags."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

import multigrain
from tests.packages import PACKAGES, ROOT

_PREFIX = "python -m "
_CHILDREN = {"trainer.cloud.vertex_trial", "trainer.tuning.child_process"}  # processes that commands start


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`multigrain WORDS`; what a shell reads of completions comes on stdout."""
    script = f'exec {sys.executable} -m multigrain "$@" 8>&1'
    return subprocess.run(
        ["bash", "-c", script, "multigrain", *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def completed(line: str) -> set[str]:
    """What may follow a line, as a shell asks for it."""
    done = run(_ARGCOMPLETE="1", _ARGCOMPLETE_IFS="\n", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert done.returncode == 0, done.stderr
    return {word.strip() for word in done.stdout.split("\n")} - {""}


def test_every_command_is_there() -> None:
    commands = set()
    for path in (path for name in PACKAGES for path in (ROOT / name).rglob("*.py")):
        says = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
        if says.startswith(_PREFIX):
            commands.add(says.removeprefix(_PREFIX).split(":")[0])
    assert set(multigrain.MODULES.values()) == commands - _CHILDREN


def test_help_says_what_each_command_does() -> None:
    text = run().stdout
    assert text == run("--help").stdout
    for name, module in multigrain.MODULES.items():
        assert f"  {name} " in text
        assert multigrain.says(module) in text


def test_a_command_is_the_module_with_its_flags_and_its_status() -> None:
    done = run("gate", "--job-dir", "nowhere", "--least", "0.1")
    plain = subprocess.run(
        [sys.executable, "-m", "trainer.gate", "--job-dir", "nowhere", "--least", "0.1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr)
    assert done.returncode == 2
    assert "nowhere" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian"], "error: unknown command trian; did you mean 'train'?\n"),
        (["pipeline2000"], "error: unknown command pipeline2000; did you mean 'pipeline'?\n"),
        (["xyz"], "error: unknown command xyz; see multigrain --help\n"),
        (["completion"], "error: multigrain completion takes a shell: bash, zsh, fish, powershell\n"),
        (["completion", "dos"], "error: multigrain completion takes a shell: bash, zsh, fish, powershell\n"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], says: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stderr) == (2, says)


def test_commands_are_completed() -> None:
    assert completed("multigrain ") == {*multigrain.MODULES, "completion"}
    assert completed("multigrain ex") == {"export"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("multigrain ask --allowed-b", {"--allowed-brands"}),
        ("multigrain gate --leas", {"--least"}),
        ("multigrain adapt mov", {"movielens"}),
        ("multigrain nothing --", set()),
    ],
)
def test_flags_and_words_of_a_command_are_completed(line: str, found: set[str]) -> None:
    assert completed(line) == found


def test_bash_takes_what_completion_prints() -> None:
    code = run("completion", "bash").stdout
    script = f"{code}\ncomplete -p multigrain"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "multigrain" in done.stdout


def test_a_package_that_is_not_installed_is_named() -> None:
    """As in the server's image."""
    barred = "import sys, multigrain; sys.modules['apache_beam'] = None; sys.argv = ['multigrain', 'batch']"
    barred += "; multigrain.main()"
    done = subprocess.run([sys.executable, "-c", barred], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: serving.batch needs apache_beam, which is not installed here; pip install multigrain brings it along\n"
    )
