"""Any catalogue and any graded judgments."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from preprocessing.adapters import labels
from preprocessing.adapters.graded import Judgment, Split, write_graded
from preprocessing.adapters.products import FIELDS, write_catalog
from preprocessing.adapters.raw_folder import RawFolder
from preprocessing.adapters.read_table import Row, column_map, existing, renamed, rows

CONFIG = "configs/judged.yaml"
SUMMARY = "any catalogue and graded judgments of queries"
HELP = """\
Reads products (item_id, title; optional brand, shop, categories or category or category_leaf and category_top,
description, price, in_stock) and judgments (query, item_id, label), each JSON Lines, CSV, TSV (also .gz) or Parquet.

The queries are split: --test-share of them go with their labels to judgments.jsonl.gz, and are asked once each in the
last day of the log, likewise --validation-share of the others on a day before; what is left becomes training requests,
their labels stages of the request:

  ordered    labels from --stages' ordered on       an order
  clicked    labels from --stages' clicked on       a click
  shown      all other labels                       shown, not clicked

A query with more items than one request holds becomes several. Grades are the labels (0 to 3) or by --grades.

example:
  python -m preprocessing.adapt judged --products p.jsonl --judgments j.jsonl \\
      --stages 'ordered>=3,clicked>=2.33' --test-share 0.2 raw/
"""
_JUDGMENT_FIELDS = ("query", "item_id", "label")


def add_split_flags(flags: argparse.ArgumentParser) -> None:
    """How queries are shared out."""
    flags.add_argument("--test-share", type=float, default=0.2, help="share of the queries to test (default 0.2)")
    flags.add_argument("--fold", type=int, default=0, help="which share: 0 to 4 of 0.2, for cross-validation")
    flags.add_argument(
        "--validation-share", type=float, default=0.1, help="share of the others to validate by (default 0.1)"
    )
    flags.add_argument("--seed", type=int, default=17, help="another one shares the queries out anew (default 17)")


def add_description_flag(flags: argparse.ArgumentParser) -> None:
    """The one way a description can enter."""
    flags.add_argument(
        "--description", type=int, default=0, metavar="N", help="put N characters of it behind the title (default 0)"
    )


def add_flags(flags: argparse.ArgumentParser) -> None:
    """The adapter's flags."""
    flags.add_argument("--products", required=True, type=Path, help="the catalogue")
    flags.add_argument("--judgments", required=True, type=Path, help="the labels")
    labels.add_flags(flags, "ordered>=3,clicked>=2")
    add_split_flags(flags)
    add_description_flag(flags)
    flags.add_argument("--product-columns", default="", metavar="OURS=THEIRS,...", help="as item_id=sku,title=name")
    flags.add_argument(
        "--judgment-columns", default="", metavar="OURS=THEIRS,...", help="as item_id=docId,label=rating"
    )


def adapt(given: argparse.Namespace, raw: RawFolder) -> None:
    """Writes the raw folder."""
    meaning = labels.read_flags(given)
    split = Split.checked(given.test_share, given.fold, given.seed, given.validation_share)
    of_products = column_map("--product-columns", given.product_columns, FIELDS)
    of_judgments = column_map("--judgment-columns", given.judgment_columns, _JUDGMENT_FIELDS)
    products, judged = existing(given.products, "--products"), existing(given.judgments, "--judgments")
    known = write_catalog(renamed(rows(products), of_products), raw, given.description)
    write_graded(_judgments(renamed(rows(judged), of_judgments), meaning, raw), known, meaning, split, raw)


def _judgments(table: Iterator[Row], meaning: labels.Labels, raw: RawFolder) -> Iterator[Judgment]:
    for row in table:
        row.value("query")
        if query := row.text("query"):
            yield Judgment(query, row.identifier("item_id"), meaning.number(row, "label"))
        else:
            raw.count("left out: judgments of an empty query")
