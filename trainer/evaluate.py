"""python -m trainer.evaluate: what a job retrieves from the whole catalogue, beside BM25 and other jobs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.console import UserError, fail, quiet_native_code, run_command
from preprocessing.command.experiment import load_section
from preprocessing.command.flags import Flags

if TYPE_CHECKING:  # TensorFlow comes with them
    from apache_beam.options.pipeline_options import PipelineOptions

    from preprocessing.words.config import WordsConfig
    from trainer.evaluation.contest import Measured
    from trainer.evaluation.retrievers import Setting

_ITEM_BYTES = 1_000  # of a record, near enough to tell whether a second process pays
_HELP = """\
Searches the whole catalogue exactly for every eval request, with the job, with BM25, with what was clicked after the
most similar past queries, and with other jobs. Reports Recall and NDCG of ordered and of clicked items, by segment;
pairwise accuracy within a request; coverage and popularity; and, with graded judgments, the share of relevant items, of
K and of what is possible. The first K leads. Intervals are of a bootstrap over users; of a folder of seeds (see
python -m trainer.task --seeds) the figures are means, the intervals over users and seeds. Differences are paired.
Writes metrics.json and report.html into the job folder. A catalogue of more than --beam-above items is embedded and
searched for jobs by Beam's workers, file by file, with the same figures.

examples:
  python -m trainer.evaluate --data out/data --job-dir out/mgdspr
  python -m trainer.evaluate --data out/data --job-dir out/mgdspr-seeds --compare out/dnn-seeds
  python -m trainer.evaluate --data out/data --job-dir out/mgdspr --compare out/dnn --compare out/tfrs \\
      --judgments out/raw/truth/judgments.jsonl.gz --fuse words
  python -m trainer.evaluate --data gs://b/data --job-dir gs://b/jobs/mgdspr --runner=DataflowRunner \\
      --project=my-project --region=europe-west4 --temp_location=gs://b/tmp --setup_file=./setup.py
"""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(
        others=True,
        prog="python -m trainer.evaluate",
        description=_HELP,
        epilog="Every other flag is Beam's own (--runner, --direct_num_workers, ...); with any, Beam's workers search.",
    )
    flags.add_argument("--data", required=True, help="the folder that preprocessing.pipeline wrote")
    flags.add_argument("--job-dir", required=True, help="a folder that trainer.task wrote, of one job or of seeds")
    flags.add_argument("--k", default="10,100,1000", help="the K of the metrics (default %(default)s)")
    flags.add_argument(
        "--compare", action="append", default=[], metavar="JOB", help="another job to compare with; may be repeated"
    )
    flags.add_argument(
        "--judgments", help="graded relevance, JSON Lines of query, item_id, grade (0 to 3); with user_id: to that user"
    )
    flags.add_argument(
        "--fuse",
        choices=["words"],
        help="also evaluate the words' channel, and the job fused with it as an export would: by what validation says",
    )
    flags.add_argument(
        "--config", help="with --fuse: the experiment's YAML; its `serving.channels.words` is read, defaults without it"
    )
    flags.add_argument(
        "--without-past", action="store_true", help="also evaluate the job with every user's past emptied"
    )
    flags.add_argument("--limit", type=int, help="use only the first LIMIT requests, for a quick look")
    flags.add_argument(
        "--memory-mb", type=int, default=2048, help="memory for vectors and scores (default %(default)s)"
    )
    flags.add_argument(
        "--beam-above",
        type=int,
        default=2_000_000,
        metavar="ITEMS",
        help="search a larger catalogue by Beam's workers, who may take --memory-mb each (default %(default)s)",
    )
    flags.add_argument("--seed", type=int, default=17, help="seed of the bootstrap (default %(default)s)")
    given, others = flags.parse_known_args(argv)
    return argparse.Namespace(**vars(given), beam=others)


def depths(text: str) -> list[int]:
    """The depths of `--k`, ascending."""
    try:
        found = sorted({int(one) for one in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise UserError(f"--k {text}: whole numbers from 1 on with commas between them, like 10,100,1000")
    return found


def evaluate(flags: argparse.Namespace) -> dict[str, Any]:
    """Asks every retriever, writes the files and shows the table; returns what stands in metrics.json."""
    ks = depths(flags.k)
    if flags.memory_mb < 64:
        raise UserError(f"--memory-mb {flags.memory_mb}: at least 64")
    if flags.limit is not None and flags.limit < 1:
        raise UserError(f"--limit {flags.limit}: at least 1")
    from preprocessing.command.console import progress
    from preprocessing.words.choose_fusion import described
    from trainer.evaluation.contest import Contest, entries
    from trainer.evaluation.html_report import write_report
    from trainer.evaluation.summary import show_table
    from trainer.evaluation.top_k_by_workers import SearchStopped
    from trainer.evaluation.words_channel import WordsChannel
    from trainer.job.job_folder import Job

    data_dir = flags.data.rstrip("/")
    found = entries([folder.rstrip("/") for folder in (flags.job_dir, *flags.compare)], data_dir)
    with progress("evaluating", total=3 + sum(len(entry.jobs) for entry in found)) as bar:
        setting = _setting(flags, data_dir, ks)
        bar.advance()
        words = WordsChannel(setting, _words_config(flags.config)) if flags.fuse else None
        contest = Contest(setting, ks, bar.advance, words)
        try:
            measured = contest.measured(found, flags.without_past)
        except SearchStopped as stopped:
            fail(str(stopped), status=1)
    metrics = {**_metrics(measured, found[0].name, setting, flags.seed), "k": ks}
    if words is not None:
        metrics["channels"] = [described(one) for one in contest.chosen]
    metrics["seeds"] = {entry.name: len(entry.jobs) for entry in found}
    Job(found[0].folder).write("metrics.json", json.dumps(metrics, indent=1))
    write_report(found, [one.answers for one in measured], metrics, setting)
    show_table(metrics)
    return metrics


def _setting(flags: argparse.Namespace, data_dir: str, ks: list[int]) -> Setting:
    """What all retrievers are asked."""
    from preprocessing.words.channel_fusion import LEAST_DEPTH
    from trainer.evaluation.catalogue import Catalogue
    from trainer.evaluation.eval_requests import EvalRequests
    from trainer.evaluation.judgments import Judgments
    from trainer.evaluation.retrievers import Setting

    catalogue = Catalogue(data_dir)
    eval_requests = EvalRequests(data_dir, catalogue, flags.limit)
    if not len(eval_requests):
        raise UserError(f"--data {data_dir} has no eval request; set preprocessing.split so that some are left")
    judgments = Judgments(flags.judgments, catalogue) if flags.judgments else None
    k = min(max(*ks, LEAST_DEPTH) if flags.fuse else max(ks), len(catalogue))
    workers = _workers(flags, len(catalogue))
    return Setting(data_dir, catalogue, eval_requests, judgments, k, flags.memory_mb << 20, workers)


def _workers(flags: argparse.Namespace, items: int) -> PipelineOptions | None:
    """Beam's options, if its workers are to search."""
    from preprocessing.command.runners import beam_options

    if not flags.beam and items <= flags.beam_above:
        return None
    own = [f"--{name.replace('_', '-')}" for name in vars(flags) if name != "beam"]
    return beam_options(flags.beam, own, items * _ITEM_BYTES)


def _words_config(path: str | None) -> WordsConfig:
    from preprocessing.words.config import WordsConfig

    return load_section(path, "serving.channels.words", WordsConfig) if path else WordsConfig()


def _metrics(measured: Sequence[Measured], job: str, setting: Setting, seed: int) -> dict[str, Any]:
    """What `metrics.json` holds."""
    import numpy as np

    from preprocessing.words.bootstrap import Bootstrap
    from trainer.evaluation.summary import metrics_of

    by_user = Bootstrap(setting.eval_requests.users, seed)
    by_query = Bootstrap(np.arange(len(setting.judgments.queries)), seed) if setting.judgments else None
    metrics = metrics_of({one.answers.name: one.scorecard for one in measured}, job, by_user, by_query)
    sizes = {"requests": len(setting.eval_requests), "items": len(setting.catalogue)}
    return metrics | {"data": setting.data_dir} | sizes


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = arguments(argv)
    evaluate(flags)
    print(f"{flags.job_dir}/metrics.json and {flags.job_dir}/report.html are written")
    return 0


if __name__ == "__main__":
    quiet_native_code()
    run_command(main)
