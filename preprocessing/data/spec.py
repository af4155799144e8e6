"""What a reader of a data folder starts from: that it is whole, and of the schema this program reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.data.data_folder import SPEC, SUCCESS
from preprocessing.data.features import CATALOGUE, SCHEMA_VERSION


def read_spec(data_dir: str) -> dict[str, Any]:
    """`spec.json` of a whole data folder of this schema."""
    if not tf.io.gfile.exists(f"{data_dir}/{SUCCESS}"):
        raise UserError(f"--data {data_dir}: no {SUCCESS} in it; run python -m preprocessing.pipeline to its end first")
    with tf.io.gfile.GFile(f"{data_dir}/{SPEC}") as file:
        spec = json.loads(file.read())
    if spec.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"--data {data_dir}: its schema version is {spec.get('schema_version')}, this program reads "
            f"{SCHEMA_VERSION}; run python -m preprocessing.pipeline again"
        )
    return spec


def asked_by_people(spec: Mapping[str, Any]) -> bool:
    """Whether a folder's requests are from a log, not of the catalogue's own words."""
    return spec.get("requests_from") != CATALOGUE
