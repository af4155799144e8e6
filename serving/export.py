"""python -m serving.export: towers and a catalogue to a version of the served model."""

from __future__ import annotations

import argparse
import datetime
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.config import load_section
from preprocessing.console import UserError, run_command
from serving.config import ServingConfig

REJECTED = 3
_HELP = """\
Writes a new version of the served model: the query tower, the item tower, the catalogue and its nearest-neighbour
index in one SavedModel. The version appears when it has passed the gate, whole; else the one in place stays.

A new catalogue needs no training: the same command again, with the new --data.

examples:
  python -m serving.export --job-dir out/job --data out/data --output out/models/retrieval
  python -m serving.export --job-dir out/job --data out/data --output out/models/retrieval --index portable \\
      --target-recall 0.98
"""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = argparse.ArgumentParser(
        prog="python -m serving.export",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags.add_argument("--job-dir", required=True, help="the folder of trainer.task; its towers/ are served")
    flags.add_argument("--data", required=True, help="the folder of preprocessing.pipeline; its catalogue is indexed")
    flags.add_argument("--output", required=True, help="the model folder; versions 1, 2, ... appear in it")
    flags.add_argument("--config", help="the experiment's YAML; its `serving` section is read, defaults without it")
    flags.add_argument("--set", action="append", default=[], metavar="A.B=C", help="overrides one key of the config")
    flags.add_argument("--index", choices=("scann", "portable", "brute_force"), help="short for serving.index")
    flags.add_argument("--target-recall", type=float, help="short for serving.tuning.target_recall")
    flags.add_argument("--max-regression", type=float, help="short for serving.gate.max_regression")
    return flags.parse_args(argv)


def configured(flags: argparse.Namespace) -> ServingConfig:
    """The config with its overrides."""
    short = {
        "serving.index": flags.index,
        "serving.tuning.target_recall": flags.target_recall,
        "serving.gate.max_regression": flags.max_regression,
    }
    overrides = [*flags.set, *(f"{key}={value}" for key, value in short.items() if value is not None)]
    if flags.config:
        return load_section(flags.config, "serving", ServingConfig, overrides)
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as empty:
        return load_section(empty.name, "serving", ServingConfig, overrides)


def export(config: ServingConfig, job_dir: str, data_dir: str, output: str) -> int:
    """Builds, judges and places a version; returns the exit status."""
    import tensorflow as tf  # noqa: F401 (after the flags are read: `--help` does not wait for it)

    from serving.build import Builder
    from serving.gate import InPlace, Judge
    from serving.manifest import served_widths, size_of
    from serving.records import eval_requests, read_spec
    from serving.versions import ModelFolder

    spec = read_spec(data_dir)
    widths = served_widths(config, spec["history"])
    folder = ModelFolder(output)
    builder = Builder(config, job_dir, data_dir, spec)
    count = max(config.tuning.queries, config.gate.requests)
    requests = eval_requests(data_dir, count, widths)
    if not len(requests):
        raise UserError(f"--data {data_dir}: no eval requests, by which an index is tuned and a version is judged")
    with folder.staging() as aside:
        version, latest = folder.next_version(), folder.latest()
        model = aside / "model"
        built = builder.build(aside, version, requests.slice(0, config.tuning.queries), widths)
        manifest = _manifest(version, config, job_dir, data_dir, widths) | built.described
        manifest["bytes"] = size_of(model)
        in_place = None
        if latest is not None:
            before = folder.manifest(latest)
            in_place = InPlace(folder.model(latest), before["index"]["kind"] == "scann", before["widths"])
        judge = Judge(requests.slice(0, config.gate.requests), widths, config.gate)
        verdict = judge.verdict(str(model), config.index == "scann", built.held, in_place)
        manifest |= _measured(built, verdict)
        if verdict.reasons:
            apart = folder.reject(model, version, manifest)
            sys.stderr.write(f"rejected: {'; '.join(verdict.reasons)}; it lies in {apart}\n")
            return REJECTED
        folder.publish(model, version, manifest)
        folder.prune(config.keep_versions, aside)
    _say(folder.path / str(version), manifest)
    return 0


def _manifest(version: int, config: ServingConfig, job_dir: str, data_dir: str, widths: dict[str, int]) -> dict:
    from serving.manifest import data_hash
    from serving.towers import towers_hash

    return {
        "version": version,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "job_dir": job_dir,
        "towers_hash": towers_hash(job_dir),
        "data": data_dir,
        "data_hash": data_hash(data_dir),
        "widths": widths,
        "default_k": config.default_k,
        "max_k": config.max_k,
        "config": config.model_dump(mode="json"),
    }


def _measured(built: Any, verdict: Any) -> dict[str, Any]:
    from serving.manifest import describe_tuning, peak_memory_mb

    return {
        "target_recall": built.held.target,
        "tuning": describe_tuning(built.tuned),
        "measured": verdict.figures,
        "reasons": verdict.reasons,
        "peak_memory_mb": peak_memory_mb(),
    }


def _say(path: Path, manifest: dict[str, Any]) -> None:
    found, chosen = manifest["measured"], manifest["tuning"]["chosen"]
    print(
        f"{manifest['items']} items, {manifest['index']['kind']}; {found['index_recall']:.4f} of the exact answers at "
        f"{chosen['latency_ms']:.2f} ms, Recall@{found['offline_k']} {found['offline_recall']:.4f}; {path}"
    )


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = arguments(argv)
    config = configured(flags)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return export(config, flags.job_dir.rstrip("/"), flags.data.rstrip("/"), flags.output.rstrip("/"))


if __name__ == "__main__":
    run_command(main)
