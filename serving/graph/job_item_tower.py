"""A job's item tower as a version of nothing else, for whoever embeds items before there is a version."""

from __future__ import annotations

import tempfile

from serving.graph.item_encoder import ItemEncoder
from serving.graph.saved_model import ServedModel
from serving.graph.signatures import item_signature, save
from serving.graph.towers import load_tower, load_vocabularies


def open_item_tower(job_dir: str, threads: int) -> ServedModel:
    """A model whose one signature is `embed_item`; it needs no file once it is loaded."""
    encoder = ItemEncoder(load_tower(job_dir, "item"), load_vocabularies(job_dir))
    with tempfile.TemporaryDirectory() as folder:
        save(encoder, folder, {"embed_item": item_signature(encoder)})
        return ServedModel(folder, with_scann=False, threads=threads)
