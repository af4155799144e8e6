"""python -m serving.demo: simulate, preprocess, train, evaluate, export, serve, ask."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

import preprocessing  # noqa: F401 (sets up the environment)
from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags
from serving.demo.run_once import Stages
from serving.demo.shoppers import Market, read_market, write_users
from serving.retriever.blocking import Retriever

_HELP = """\
Everything on this machine, from a simulated market's raw logs to answers over gRPC. Finished steps are not repeated:
the same command resumes an interrupted run.

examples:
  python -m serving.demo
  python -m serving.demo --model mmse --output out
"""
_SHOWN, _START_S = 3, 300


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(
        prog="python -m serving.demo",
        description=_HELP,
    )
    flags.add_argument(
        "--model", choices=("mgdspr", "mmse", "dnn"), default="mgdspr", help="model to train (default %(default)s)"
    )
    flags.add_argument("--output", default="out", help="folder for all output (default %(default)s)")
    flags.add_argument("--items", type=int, default=20_000, help="items in the simulated market (default %(default)s)")
    flags.add_argument(
        "--users", type=int, help="users in the simulated market (default: as in preprocessing.simulate)"
    )
    return flags.parse_args(argv)


def build(flags: argparse.Namespace, console: Console) -> Path:
    """Every stage up to the exported model; returns its folder."""
    out, model = Path(flags.output), flags.model
    raw, data, models = out / "raw", out / "data", out / "models" / model
    stages, common = Stages(out, console), ("--data", str(data))
    market = ["--items", str(flags.items), *(["--users", str(flags.users)] if flags.users else [])]
    stages.run("Simulate a market's logs", "preprocessing.simulate", "--output", str(raw), *market)
    places = ("--input", str(raw), "--output", str(data))
    stages.run("Raw logs to TFRecords", "preprocessing.pipeline", "--config", "configs/demo.yaml", *places)
    for name in ("tfrs", model):
        place = ("--job-dir", str(out / name))
        stages.run(f"Train {name}", "trainer.task", "--config", f"configs/{name}.yaml", *common, *place)
    judged = ("--judgments", str(raw / "truth" / "judgments.jsonl.gz"))
    compared = ("--job-dir", str(out / model), "--compare", str(out / "tfrs"))
    stages.run(
        f"Evaluate {model}, beside BM25, tfrs and itself without users' pasts",
        "trainer.evaluate",
        *common,
        *compared,
        *judged,
        "--without-past",
    )
    exported = ("--job-dir", str(out / model), "--output", str(models))
    stages.run(f"Export {model} with its ScaNN index", "serving.export", *common, *exported)
    return models


@contextlib.contextmanager
def served(models: Path, log: Path) -> Iterator[str]:
    """The embedded server over the exported model: yields its address, ends it afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "serving.server", "--model-base-path", str(models.absolute())]
    with log.open("w") as said:
        server = subprocess.Popen(
            [*command, "--model-name", "retrieval", "--port", str(port)], stdout=said, stderr=said
        )
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def ask(target: str, market: Market, console: Console, log: Path) -> None:
    """The market's queries for its two shoppers, side by side; what is right for a shopper bears a tick."""
    own = others = 0
    with Retriever(target, timeout=30) as retriever:
        _wait(retriever, log)
        for query in market.queries:
            table = Table(title=query, title_justify="left", title_style="bold", expand=False)
            columns = []
            for shopper, other in zip(market.shoppers, reversed(market.shoppers), strict=True):
                table.add_column(f"for {shopper.name}, who likes {shopper.likes}", overflow="fold")
                found = [hit.item_id for hit in retriever.retrieve(query, user=shopper.user, k=_SHOWN).hits]
                right = [item in shopper.right[query] for item in found]
                columns.append(
                    [f"{'✓' if suits else ' '} {market.titles[item]}" for item, suits in zip(found, right, strict=True)]
                )
                own, others = own + sum(right), others + sum(item in other.right[query] for item in found)
            for row in itertools.zip_longest(*columns, fillvalue=""):
                table.add_row(*row)
            console.print(table)
    shown = _SHOWN * len(market.queries) * len(market.shoppers)
    console.print(
        f"✓: relevant, and among the fifth that suits this user's taste best, by the market's truth.\n"
        f"Of {shown} products {own} are right for whom they are shown to, {others} would be right for the other.",
        highlight=False,
    )


def _wait(retriever: Retriever, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            retriever.retrieve("", k=1)
            return
        except Exception as error:
            if time.monotonic() > deadline:
                raise UserError(f"the server did not answer within {_START_S} s ({error}); see {log}") from None
            time.sleep(0.5)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = arguments(argv)
    console = Console()
    begun = time.monotonic()
    models = build(flags, console)
    out = Path(flags.output)
    console.rule("[bold]Serve it, and ask for two users", align="left")
    market, log = read_market(out / "raw"), out / "server.log"
    write_users(market, out / "users.jsonl")
    with served(models, log) as target:
        ask(target, market, console, log)
    console.rule(f"[bold]Done in {time.monotonic() - begun:.0f} s", align="left")
    job = out / flags.model
    console.print(
        f"records in {out}/data, the trained job in {job}, its report {job}/report.html, the served model in {models}\n"
        f"next:\n"
        f"  .venv/bin/python -m serving.server --model-base-path {models.absolute()} --model-name retrieval "
        f"--rest-api-port 8501 --ui --ui-catalog {out}/raw/catalog.jsonl.gz --ui-users {out}/users.jsonl "
        f"--ui-judgments {out}/raw/truth/judgments.jsonl.gz\n"
        f"  a page to search on: http://localhost:8501/ui\n"
        f'  .venv/bin/python -m serving.client "{market.queries[0]}" --catalog {out}/raw/catalog.jsonl.gz\n'
        f"  your own logs: docs/data.md",
        highlight=False,
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    run_command(main)
