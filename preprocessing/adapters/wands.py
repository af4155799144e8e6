"""Wayfair's annotation data set (github.com/wayfair/WANDS): query.csv, product.csv and label.csv, tab separated."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from preprocessing.adapters import labels
from preprocessing.adapters.graded import Judgment, Split, write_graded
from preprocessing.adapters.judged import add_description_flag, add_split_flags
from preprocessing.adapters.products import write_catalog
from preprocessing.adapters.raw_folder import RawFolder
from preprocessing.adapters.read_table import Row, delimited, in_folder, renamed

CONFIG = "configs/judged.yaml"
SUMMARY = "Wayfair WANDS: query.csv, product.csv, label.csv"
HELP = """\
Reads query.csv, product.csv and label.csv (tab separated, as published) from the repository's folder dataset. Nothing
is published as test, so --test-share of the queries are for evaluation.

  label        stage     grade
  Exact        ordered   3
  Partial      clicked   2       (--labels 'Exact=3,Partial=1,Irrelevant=0' makes it shown, grade 1)
  Irrelevant   shown     0

A product's top category is the first of its hierarchy, its leaf the last; WANDS names no brands.

example:
  python -m preprocessing.adapt wands --test-share 0.2 WANDS/dataset out/raw
"""
_PRODUCTS = {"item_id": "product_id", "title": "product_name", "description": "product_description"}
_HIERARCHY = ("category hierarchy", "category_hierarchy")  # the file's spelling and the README's


def add_flags(flags: argparse.ArgumentParser) -> None:
    """The adapter's flags."""
    flags.add_argument("folder", type=Path, metavar="path/", help="the folder with the three files")
    labels.add_flags(flags, "ordered>=3,clicked>=2", "Exact=3,Partial=2,Irrelevant=0")
    add_split_flags(flags)
    add_description_flag(flags)


def adapt(given: argparse.Namespace, raw: RawFolder) -> None:
    """Writes the raw folder."""
    meaning = labels.read_flags(given)
    split = Split.checked(given.test_share, given.fold, given.seed, given.validation_share)
    queries, products, judged = (
        in_folder(given.folder, [f"{name}.csv"], "WANDS") for name in ("query", "product", "label")
    )
    texts = {row.identifier("query_id"): row.text("query") for row in delimited(queries, "\t")}
    known = write_catalog(_products(products), raw, given.description)
    write_graded(_judgments(judged, texts, meaning, raw), known, meaning, split, raw)


def _products(path: Path) -> Iterator[Row]:
    for row in renamed(delimited(path, "\t"), _PRODUCTS):
        row.value("item_id")
        path_of = next((row.fields[name] for name in _HIERARCHY if row.fields.get(name)), None)
        yield row._replace(fields={**row.fields, "categories": path_of or row.text("product_class")})


def _judgments(path: Path, texts: dict[str, str], meaning: labels.Labels, raw: RawFolder) -> Iterator[Judgment]:
    for row in delimited(path, "\t"):
        query_id = row.identifier("query_id")
        if query_id not in texts:
            row.wrong(f"query_id {query_id!r} is not in query.csv")
        row.value("label")
        if texts[query_id]:
            yield Judgment(texts[query_id], row.identifier("product_id"), meaning.number(row, "label"))
        else:
            raw.count("left out: judgments of an empty query")
