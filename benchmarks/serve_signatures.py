"""python -m benchmarks.serve_signatures: what a trained export costs, signature by signature, with no server around it.

Requests are eval requests of the log, with their users' pasts. Loading and first calls are measured in a process of
their own; what a call costs, on one thread, beside the other export in turns.

examples:
  python -m benchmarks.serve_signatures --model-base-path out/models/mgdspr --data out/data
  python -m benchmarks.serve_signatures --model-base-path out/models/mgdspr --data out/data --beside old/models/mgdspr
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
import serving.runtime  # noqa: F401 (and the server's)
from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags

_ROOT = Path(__file__).resolve().parent.parent
_BATCHES = (1, 32)
_REQUESTS, _ROUNDS, _CALLS = 320, 9, 40
_K = 100
# What a session passes around, and no kernel works for.
_NO_WORK = {"Const", "NoOp", "_Arg", "_Retval", "_Recv", "_Send", "VarHandleOp", "ReadVariableOp", "Identity"}
Inputs = dict[str, np.ndarray]


class Export(NamedTuple):
    """A version on disk."""

    path: Path
    scann: bool


def newest(base: str) -> Export:
    """The newest version under a model's folder."""
    numbers = [int(one.name) for one in Path(base).iterdir() if one.name.isdecimal()] if Path(base).is_dir() else []
    if not numbers:
        raise UserError(f"{base} holds no version; python -m serving.export writes one")
    path = Path(base) / str(max(numbers))
    return Export(path, b"Scann>" in (path / "saved_model.pb").read_bytes())


def shapes_of(definition: Any) -> dict[str, list[int]]:
    """The shape of each input of a signature, -1 for the batch."""
    return {name: [one.size for one in info.tensor_shape.dim] for name, info in definition.inputs.items()}


def inputs_of(shapes: Mapping[str, list[int]], rows: Mapping[str, Any], batch: slice) -> Inputs:
    """What a signature takes of some requests: lists cut and padded to its widths, no conditions, k everywhere."""
    count = batch.stop - batch.start
    found: Inputs = {}
    for name, shape in shapes.items():
        if name == "k":
            found[name] = np.full(count, _K, np.int32)
        elif name == "price_range":
            found[name] = np.full((count, 2), np.nan, np.float32)
        elif name == "embedding":
            found[name] = np.random.default_rng(batch.start).normal(size=(count, shape[1])).astype(np.float32)
        elif len(shape) == 1:
            found[name] = rows[name][batch]
        else:
            given = rows[name][batch, : shape[1]] if name in rows else np.zeros((count, 0), object)
            found[name] = np.full((count, shape[1]), b"" if given.dtype == object else 0, given.dtype)
            found[name][:, : given.shape[1]] = given
    return found


def rows_of(data_dir: str) -> dict[str, Any]:
    """Eval requests with their users' pasts, and as many items of the catalogue, by the inputs' names."""
    from serving.catalogue.data_records import catalog_batches, catalog_files, held_out_requests
    from serving.inputs import VECTOR_LISTS

    widths = dict.fromkeys(VECTOR_LISTS, 100)
    requests = held_out_requests(data_dir, "eval", _REQUESTS, widths)
    past = sum((requests.inputs[name] != b"").sum(axis=1) for name in VECTOR_LISTS)
    fullest = np.argsort(-past, kind="stable")[: _REQUESTS // 2]  # with lists as full as real users have
    items = {
        name: one.numpy() for name, one in next(iter(catalog_batches(catalog_files(data_dir), len(fullest)))).items()
    }
    return requests.take(fullest.tolist()).inputs | items


def opened(export: Export) -> Any:
    """The version on one thread."""
    from serving.graph.saved_model import ServedModel

    return ServedModel(str(export.path), export.scann, threads=1, inter_op=-1)


def loaded(export: Export) -> dict[str, float]:
    """CPU seconds from files to a version that has answered its warm-up requests; for a process of its own."""
    import tensorflow as tf

    from serving.index.scann_ops import load_scann_ops
    from serving.runtime.grpc_server import ModelServer, Settings
    from serving.runtime.servable import Parallelism, Servable

    if export.scann:
        load_scann_ops()
    tf.constant(0)  # the runtime itself is up
    predictor = ModelServer(Settings([])).predictor
    process = psutil.Process()
    before, begun = process.memory_info().rss, time.process_time()
    servable = Servable("retrieval", int(export.path.name), str(export.path), Parallelism())
    files = time.process_time() - begun
    predictor.warm_up(servable)
    available = time.process_time() - begun
    memory = process.memory_info().rss - before
    return {"files_cpu_s": round(files, 2), "available_cpu_s": round(available, 2), "rss_mib": memory >> 20}


def first_calls(export: Export, rows: Mapping[str, Any]) -> dict[str, float]:
    """CPU seconds of the first call of each signature; for a process of its own."""
    spent = {}
    with opened(export) as model:
        for name, definition in model.signatures.items():
            inputs = inputs_of(shapes_of(definition), rows, slice(0, 1))
            call = model.callable(name, list(inputs), sorted(definition.outputs))
            begun = time.process_time()
            call(*inputs.values())
            spent[name] = round(time.process_time() - begun, 3)
    return spent


def in_child(what: str, export: Export, data: str) -> Any:
    """One of the two above, in a process that does nothing else."""
    command = [sys.executable, "-m", "benchmarks.serve_signatures", "--child", what]
    command += ["--model-base-path", str(export.path.parent), "--data", data]
    said = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True).stdout
    return json.loads(said.splitlines()[-1])


def graph_of(export: Export) -> dict[str, int]:
    """Nodes, functions and bytes of the saved graph."""
    from tensorflow.core.protobuf import saved_model_pb2

    content = (export.path / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
    inside = sum(len(function.node_def) for function in graph.library.function)
    return {"nodes": len(graph.node) + inside, "functions": len(graph.library.function), "bytes": len(content)}


def executed(export: Export, signature: str, inputs: Inputs) -> dict[str, int]:
    """The nodes that one call runs, and those of them that work: without constants, handles and what passes on."""
    with traceable(export) as (session, signatures):
        return _executed(session, signatures[signature], inputs)


@contextlib.contextmanager
def traceable(export: Export) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """The version in a session that runs its graph as it stands: the server's own executor tells nothing of its ops."""
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    with tf.compat.v1.Session(graph=tf.Graph(), config=config) as session:
        yield session, tf.compat.v1.saved_model.load(session, ["serve"], str(export.path)).signature_def


def _executed(session: Any, definition: Any, inputs: Inputs) -> dict[str, int]:
    import tensorflow as tf

    feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
    fetches = [one.name for one in definition.outputs.values()]
    metadata = tf.compat.v1.RunMetadata()
    options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
    for _ in range(2):  # the first call also makes what later ones find
        session.run(fetches, feeds, options, metadata)
    ran = [one.timeline_label or one.node_name for device in metadata.step_stats.dev_stats for one in device.node_stats]
    ops = [label.split(" = ")[1].split("(")[0] if " = " in label else label for label in ran]
    return {"nodes": len(ops), "ops": sum(op not in _NO_WORK for op in ops)}


class Timed:
    """A signature of one export, ready to be called again and again."""

    def __init__(self, model: Any, signature: str, rows: Mapping[str, Any], batch: int) -> None:
        definition = model.signatures[signature]
        shapes, self._next, self.batch = shapes_of(definition), 0, batch
        places = range(0, _REQUESTS // 2 - batch + 1, batch)
        self._inputs = [list(inputs_of(shapes, rows, slice(n, n + batch)).values()) for n in places]
        names = list(inputs_of(shapes, rows, slice(0, 1)))
        self._call = model.callable(signature, names, sorted(definition.outputs))

    def round(self) -> float:
        """CPU milliseconds of a call, over the next calls."""
        calls = max(4, _CALLS // self.batch)
        begun = time.process_time()
        for _ in range(calls):
            self._call(*self._inputs[self._next % len(self._inputs)])
            self._next += 1
        return (time.process_time() - begun) / calls * 1e3


def timed(models: Mapping[str, Any], signature: str, rows: Mapping[str, Any], batch: int) -> dict[str, float]:
    """The median CPU milliseconds of a call of each export, in turns."""
    ready = {name: Timed(model, signature, rows, batch) for name, model in models.items()}
    rounds: dict[str, list[float]] = {name: [] for name in ready}
    for number in range(1 + _ROUNDS):
        for name, one in ready.items():
            spent = one.round()
            if number:  # the first is for warming up
                rounds[name].append(spent)
    return {name: round(statistics.median(found), 4) for name, found in rounds.items()}


def same_answers(models: Mapping[str, Any], rows: Mapping[str, Any]) -> dict[str, float]:
    """How far two exports of one job agree on `retrieve`."""
    found = []
    for model in models.values():
        inputs = inputs_of(shapes_of(model.signatures["retrieve"]), rows, slice(0, _REQUESTS // 2))
        found.append(model.call("retrieve", inputs))
    ours, theirs = found
    scores = {
        (place, item): score
        for place, (ids, row) in enumerate(zip(theirs["item_ids"].tolist(), theirs["scores"].tolist(), strict=True))
        for item, score in zip(ids, row, strict=True)
    }
    shared = [
        abs(score - scores[place, item])
        for place, (ids, row) in enumerate(zip(ours["item_ids"].tolist(), ours["scores"].tolist(), strict=True))
        for item, score in zip(ids, row, strict=True)
        if (place, item) in scores
    ]
    return {"same_ids": round(len(shared) / ours["scores"].size, 4), "largest_difference": max(shared, default=0.0)}


def measured(exports: Mapping[str, Export], data: str) -> dict[str, Any]:
    """Everything, an export a column."""
    rows = rows_of(data)
    models = {name: opened(one) for name, one in exports.items()}
    figures: dict[str, Any] = {
        name: {"load": in_child("load", one, data), "first_call_cpu_s": in_child("first", one, data)} | graph_of(one)
        for name, one in exports.items()
    }
    for signature in sorted(set.intersection(*(set(one.signatures) for one in models.values()))):
        of_batch = {f"cpu_ms_batch_{batch}": timed(models, signature, rows, batch) for batch in _BATCHES}
        for name, model in models.items():
            inputs = inputs_of(shapes_of(model.signatures[signature]), rows, slice(0, 1))
            costs = {batch: spent[name] for batch, spent in of_batch.items()}
            figures[name].setdefault("signatures", {})[signature] = costs | executed(exports[name], signature, inputs)
    if len(models) > 1:
        figures["times_less"] = {
            signature: {
                batch: round(figures["beside"]["signatures"][signature][batch] / one[batch], 2)
                for batch in one
                if one[batch]
            }
            for signature, one in figures["this"]["signatures"].items()
        }
        figures["answers"] = same_answers(models, rows)
    return figures | {"requests": _REQUESTS // 2, "load_average": os.getloadavg()}


def main(argv: list[str] | None = None) -> None:
    """The command."""
    flags = Flags(prog="python -m benchmarks.serve_signatures", description=__doc__)
    flags.add_argument(
        "--model-base-path", required=True, help="a trained export's folder; its newest version is taken"
    )
    flags.add_argument("--data", required=True, help="the data folder it was exported from, for its eval requests")
    flags.add_argument("--beside", help="another export of the same job, timed in turns")
    flags.add_argument(
        "--child", choices=("load", "first"), help="used by the command itself: one part, in its process"
    )
    given = flags.parse_args(argv)
    export = newest(given.model_base_path)
    if given.child:
        print(json.dumps(loaded(export) if given.child == "load" else first_calls(export, rows_of(given.data))))
        return
    exports = {"this": export} | ({"beside": newest(given.beside)} if given.beside else {})
    print(json.dumps(measured(exports, given.data.rstrip("/"))))


if __name__ == "__main__":
    run_command(main)
