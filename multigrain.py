"""multigrain COMMAND ...: every command under one name; `multigrain train` is `python -m trainer.task`."""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib.util
import os
import runpy
import sys
from typing import Any, NoReturn

_MISTAKE = 2
_COMPLETING = "_ARGCOMPLETE"  # set by a shell that asks what may follow: which of its words is the command, from 1
# In the order in which a shop meets them.
MODULES = {
    "inspect": "preprocessing.inspect",
    "simulate": "preprocessing.simulate",
    "adapt": "preprocessing.adapt",
    "pipeline": "preprocessing.pipeline",
    "compare": "preprocessing.compare",
    "judge": "preprocessing.judge",
    "train": "trainer.task",
    "tune": "trainer.tune",
    "submit": "trainer.submit",
    "evaluate": "trainer.evaluate",
    "gate": "trainer.gate",
    "export": "serving.export",
    "serve": "serving.server",
    "ask": "serving.client",
    "batch": "serving.batch",
    "refresh": "serving.refresh",
    "demo": "serving.demo",
}
SHELLS = ("bash", "zsh", "fish", "powershell")
_HELP = """\
Raw search logs to a served index. Each command explains itself: multigrain COMMAND --help.

commands:
{commands}

For completion in your shell, of commands and of their flags:
  eval "$(multigrain completion bash)"
"""


def says(module: str) -> str:
    """What a command does, by the first line of its module, which is read and not imported."""
    found = importlib.util.find_spec(module)
    if found is not None and found.submodule_search_locations:
        found = importlib.util.find_spec(f"{module}.__main__")
    assert found is not None and found.origin is not None
    with open(found.origin, encoding="utf-8") as source:
        text = ast.get_docstring(ast.parse(source.read())) or ""
    return text.splitlines()[0].partition(": ")[2].partition(". ")[0].rstrip(".")


def _help() -> str:
    lines = [(name, says(module)) for name, module in MODULES.items()]
    lines.append(("completion", f"prints what a shell needs for completion: {', '.join(SHELLS)}"))
    return _HELP.format(commands="\n".join(f"  {name:<11}{text}" for name, text in lines))


def _flags() -> argparse.ArgumentParser:
    """Of the first word alone."""
    flags = argparse.ArgumentParser(prog="multigrain", add_help=False)
    flags.add_argument("command", choices=[*MODULES, "completion"])
    return flags


def _complete() -> None:
    """What may follow is written by the command's own parser: the first one that is asked; then the process ends."""
    import argcomplete  # here, because the client is also installed without it

    words = argcomplete.lexers.split_line(os.environ["COMP_LINE"], int(os.environ["COMP_POINT"]))[3]
    begin = int(os.environ[_COMPLETING])
    if len(words) <= begin:  # the command itself is not whole yet
        argcomplete.autocomplete(_flags())
    if words[begin] not in MODULES:
        raise SystemExit(0)
    os.environ[_COMPLETING] = str(begin + 1)
    asked = argparse.ArgumentParser.parse_known_args

    def answer(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        argparse.ArgumentParser.parse_known_args = asked  # type: ignore[method-assign]
        argcomplete.autocomplete(parser)
        raise SystemExit(0)

    argparse.ArgumentParser.parse_known_args = answer  # type: ignore[method-assign,assignment]
    _run(MODULES[words[begin]], [])


def _run(module: str, words: list[str]) -> None:
    sys.argv = [sys.argv[0], *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except ModuleNotFoundError as error:  # the server's image has the server's packages alone
        package = (error.name or "").split(".")[0]
        if package in ("", *(one.split(".")[0] for one in MODULES.values())):
            raise
        _fail(f"{module} needs {package}, which is not installed here; pip install multigrain brings it along")


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(_MISTAKE)


def main() -> None:
    """The command."""
    if _COMPLETING in os.environ:
        _complete()
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h"):
        print(_help())
    elif name == "completion":
        if len(words) != 1 or words[0] not in SHELLS:
            _fail(f"multigrain completion takes a shell: {', '.join(SHELLS)}")
        import argcomplete

        print(argcomplete.shellcode(["multigrain"], shell=words[0]))
    elif name in MODULES:
        _run(MODULES[name], words)
    else:
        near = difflib.get_close_matches(name, [*MODULES, "completion"], n=1)
        _fail(f"unknown command {name}; {f'did you mean {near[0]!r}?' if near else 'see multigrain --help'}")


if __name__ == "__main__":
    main()
