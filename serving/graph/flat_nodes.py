"""Edits of a flat graph: equal nodes merged, needless order dropped, what nobody reaches pruned.

They hold where a graph only answers: its variables and tables are written while it is loaded, never after.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

from tensorflow.core.framework import graph_pb2
from tensorflow.python.framework import op_def_registry

# Stateful to TensorFlow, since what they read may change or what they make is named; they write nothing.
_READERS = {
    "HashTableV2",
    "If",
    "LookupTableFindV2",
    "LookupTableSizeV2",
    "ReadVariableOp",
    "ResourceGather",
    "ResourceGatherNd",
    "Scann>ScannSearchBatched",
    "Scann>TensorsToScann",
    "VarHandleOp",
    "While",
}


class Names:
    """Which nodes and tensors stand for others now."""

    def __init__(self, nodes: dict[str, str] | None = None) -> None:
        self.nodes = nodes or {}  # all outputs of a node are those of another
        self.tensors: dict[str, str] = {}  # one output of a node, without ":0", is another tensor

    def of(self, name: str) -> str:
        """What an input, or a signature's tensor, is called now."""
        if name.startswith("^"):
            return f"^{self.nodes.get(name[1:], name[1:])}"
        name = name.removesuffix(":0")
        if name in self.tensors:
            return self.tensors[name]
        node, colon, port = name.partition(":")
        return self.nodes.get(node, node) + colon + port

    def inside(self, name: str) -> str:
        """The same for an input in a function's body, which names the output as well: `node:output:0`."""
        node, colon, port = name.removeprefix("^").partition(":")
        return name[: len(name) - len(name.removeprefix("^"))] + self.nodes.get(node, node) + colon + port

    def put_into(self, node: Any) -> None:
        """Rewrites a node's inputs; one that it waits for is named once, and behind."""
        data = [self.of(one) for one in node.input if not one.startswith("^")]
        waits = {self.of(one) for one in node.input if one.startswith("^")}
        node.ClearField("input")
        node.input.extend([*data, *sorted(waits)])


def node_of(name: str) -> str:
    """The node of an input or of a tensor's name."""
    return name.lstrip("^").partition(":")[0]


def attributes(node: Any) -> tuple[tuple[str, bytes], ...]:
    """A node's attributes, to be compared."""
    return tuple((name, node.attr[name].SerializeToString(deterministic=True)) for name in sorted(node.attr))


def unite(graph: graph_pb2.GraphDef, nodes: dict[str, str]) -> None:
    """Puts some nodes in the place of others, which go."""
    names = Names(nodes)
    for node in graph.node:
        names.put_into(node)
    _replace(graph, [one for one in graph.node if nodes.get(one.name, one.name) == one.name])


def prune(graph: graph_pb2.GraphDef, kept: Iterable[str]) -> None:
    """Drops the nodes that none of the kept ones reaches."""
    nodes = {node.name: node for node in graph.node}
    reached, waiting = set(kept), list(kept)
    while waiting:
        found = {node_of(one) for one in nodes[waiting.pop()].input} - reached
        reached |= found
        waiting += found
    _replace(graph, [one for one in graph.node if one.name in reached])


def drop_idle_order(graph: graph_pb2.GraphDef) -> None:
    """Drops the order behind nodes that write nothing, nor does anything before them: inlined calls are full of it."""
    idle = _idle(graph)
    for node in graph.node:
        kept = [one for one in node.input if not (one.startswith("^") and one[1:] in idle)]
        node.ClearField("input")
        node.input.extend(kept)


def merge_equal(graph: graph_pb2.GraphDef, kept: Collection[str]) -> Names:
    """Lets the first of equal nodes stand for all, and a tensor for its copies; nodes are sorted, inputs first.

    Args:
      graph: without loops of its own.
      kept: nodes that are fed by name.

    Returns:
      What stands for what.
    """
    idle, names = _idle(graph), Names()
    first: dict[Any, str] = {}
    ordered = _sorted(graph)
    for node in ordered:
        names.put_into(node)
        if node.name not in idle or node.name in kept:
            continue
        if node.op in ("Identity", "IdentityN"):
            for port, one in enumerate(node.input):
                names.tensors[f"{node.name}:{port}".removesuffix(":0")] = one
            continue
        same = first.setdefault((node.op, tuple(node.input), attributes(node)), node.name)
        if same != node.name:
            names.nodes[node.name] = same
    _replace(graph, [one for one in ordered if one.name not in names.nodes])
    return names


def _replace(graph: graph_pb2.GraphDef, nodes: Iterable[Any]) -> None:
    kept = graph_pb2.GraphDef(node=nodes)
    graph.ClearField("node")
    graph.node.extend(kept.node)


def _sorted(graph: graph_pb2.GraphDef) -> list[Any]:
    """All nodes, each behind its inputs; by name where that leaves a choice."""
    nodes = {node.name: node for node in sorted(graph.node, key=lambda one: one.name)}
    sorter = TopologicalSorter({name: [node_of(one) for one in node.input] for name, node in nodes.items()})
    return [nodes[name] for name in sorter.static_order()]


class _Op(NamedTuple):
    """What an op may do."""

    writes: bool  # by itself
    bodies: tuple[str, ...]  # the attributes that name functions it runs


@functools.cache
def _op(name: str) -> _Op:
    definition = op_def_registry.get(name)
    if definition is None:
        return _Op(name not in _READERS, ())
    bodies = tuple(one.name for one in definition.attr if one.type in ("func", "list(func)"))
    return _Op(name not in _READERS and definition.is_stateful, bodies)


def _idle(graph: graph_pb2.GraphDef) -> set[str]:
    """The nodes that write nothing, nor does anything before them."""
    functions = {one.signature.name: one for one in graph.library.function}
    known: dict[str, bool] = {}

    def writes(node: Any) -> bool:
        op = _op(node.op)
        bodies = [node.attr[name] for name in op.bodies if name in node.attr]
        called = [one for value in bodies for one in (value.func, *value.list.func) if one.name]
        return op.writes or any(body_writes(one.name) for one in called)

    def body_writes(name: str) -> bool:
        if name not in known:
            known[name] = any(writes(node) for node in functions[name].node_def)
        return known[name]

    idle: set[str] = set()
    for node in _sorted(graph):
        if not writes(node) and all(node_of(one) in idle for one in node.input):
            idle.add(node.name)
    return idle
