"""Names of nodes without the calls they were inlined from: those make up most of a flat graph's bytes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from tensorflow.core.framework import graph_pb2

from serving.graph.flat_nodes import Names

_CALL = re.compile(r"((Stateful)?PartitionedCall|fast_cond|cond)(_\d+)?|Func|then|else|_\d+")
_SUNK = "_tfg_inlined_"  # what stands behind is the place that a node was moved from


def shorten(graph: graph_pb2.GraphDef, kept: Collection[str]) -> Names:
    """Renames all nodes but those kept, in bodies too; returns what is called how now."""
    names = Names(_unique((one.name for one in graph.node), kept))
    for node in graph.node:
        node.name = names.nodes[node.name]
        names.put_into(node)
    for function in graph.library.function:
        arguments = [one.name for one in function.signature.input_arg]
        inside = Names(_unique((*arguments, *(one.name for one in function.node_def)), arguments))
        for node in function.node_def:
            node.name = inside.nodes[node.name]
            inputs = [inside.inside(one) for one in node.input]
            node.ClearField("input")
            node.input.extend(inputs)
        for results in (function.ret, function.control_ret):
            for name, value in list(results.items()):
                results[name] = inside.inside(value)
    return names


def _unique(names: Iterable[str], kept: Collection[str]) -> dict[str, str]:
    """From names to short ones, no two alike."""
    short = {name: name for name in kept}
    taken = set(kept)
    counts: dict[str, int] = {}
    for name in names:
        if name in short:
            continue
        parts = [part for part in name.partition(_SUNK)[0].split("/") if not _CALL.fullmatch(part)]
        stem = one = "/".join(parts) or "node"
        while one in taken:
            counts[stem] = counts.get(stem, 0) + 1
            one = f"{stem}_{counts[stem]}"
        short[name] = one
        taken.add(one)
    return short
