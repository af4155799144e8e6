"""Amazon's Shopping Queries Data Set (github.com/amazon-science/esci-data), in Parquet as published."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from preprocessing.adapters import labels
from preprocessing.adapters.graded import Judgment, Split, write_graded
from preprocessing.adapters.judged import add_description_flag
from preprocessing.adapters.products import write_catalog
from preprocessing.adapters.raw_folder import RawFolder
from preprocessing.adapters.read_table import Row, in_folder, rows

CONFIG = "configs/judged.yaml"
SUMMARY = "Amazon ESCI: shopping queries and products in Parquet"
HELP = """\
Reads shopping_queries_dataset_examples.parquet and shopping_queries_dataset_products.parquet of one locale, from the
repository's folder shopping_queries_dataset. The published split is kept: its test queries are for evaluation.

  label            stage     grade
  E exact          ordered   3
  S substitute     clicked   2
  C complement     shown     1
  I irrelevant     shown     0

--version small is the reduced set of hard queries (task 1), large the whole (tasks 2 and 3).

example:
  python -m preprocessing.adapt esci --locale us --version small esci-data/shopping_queries_dataset out/raw
"""
EXAMPLES, PRODUCTS = "shopping_queries_dataset_examples.parquet", "shopping_queries_dataset_products.parquet"
_OF_EXAMPLES = ("query", "product_id", "product_locale", "esci_label", "split")
_OF_PRODUCTS = {"item_id": "product_id", "title": "product_title", "brand": "product_brand"}
_DESCRIPTIONS = ("product_bullet_point", "product_description")  # the first that is there


def add_flags(flags: argparse.ArgumentParser) -> None:
    """The adapter's flags."""
    flags.add_argument("folder", type=Path, metavar="path/", help="the folder with both Parquet files")
    flags.add_argument("--locale", default="us", choices=["us", "es", "jp"], help="default %(default)s")
    flags.add_argument("--version", default="large", choices=["small", "large"], help="default %(default)s")
    labels.add_flags(flags, "ordered>=3,clicked>=2", "E=3,S=2,C=1,I=0")
    add_description_flag(flags)


def adapt(given: argparse.Namespace, raw: RawFolder) -> None:
    """Writes the raw folder."""
    meaning = labels.read_flags(given)
    examples, products = (in_folder(given.folder, [name], "ESCI") for name in (EXAMPLES, PRODUCTS))
    known = write_catalog(_products(products, given.locale), raw, given.description)
    judgments = _judgments(examples, given.locale, f"{given.version}_version", meaning, raw)
    write_graded(judgments, known, meaning, Split.checked(0.2, 0, 0, 0.1), raw)


def _products(path: Path, locale: str) -> Iterator[Row]:
    for row in rows(path, (*_OF_PRODUCTS.values(), "product_locale", *_DESCRIPTIONS)):
        if row.value("product_locale") == locale:
            fields = {ours: row.fields[theirs] for ours, theirs in _OF_PRODUCTS.items()}
            fields["description"] = next((row.fields[one] for one in _DESCRIPTIONS if row.fields.get(one)), None)
            yield row._replace(fields=fields)


def _judgments(path: Path, locale: str, version: str, meaning: labels.Labels, raw: RawFolder) -> Iterator[Judgment]:
    for row in rows(path, (*_OF_EXAMPLES, version)):
        if row.value("product_locale") != locale or not row.value(version):
            continue
        if not (query := row.text("query")):
            raw.count("left out: judgments of an empty query")
            continue
        split = row.value("split")
        if split not in ("train", "test"):
            row.wrong(f"split is {split!r}, expected train or test")
        yield Judgment(query, row.identifier("product_id"), meaning.number(row, "esci_label"), split == "test")
