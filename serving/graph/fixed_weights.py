"""The towers' matrices as constants: what is computed of them alone is computed once, at export."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.python.framework import tensor_util

from serving.graph.flat_nodes import node_of

_OF_A_TOWER = "tower/saved/parameters/"
_OF_ROWS = {"GatherV2", "SparseSegmentMean", "SparseSegmentMeanWithNumSegments"}
_MOST = 1 << 16  # numbers; what is larger is not copied with each copy of the graph


def fix_weights(graph: graph_pb2.GraphDef, variables: str) -> None:
    """Puts constants where a tower's small variables are read as a whole; its tables, of which rows are, stay.

    Args:
      graph: flat.
      variables: the prefix of the variables' files.
    """
    values = tf.train.load_checkpoint(variables)
    keys = {name: key for name, key in _keys(graph).items() if _OF_A_TOWER in key}
    small = {name: key for name, key in keys.items() if values.get_tensor(key).size <= _MOST}
    users = [node for node in graph.node if any(node_of(one) in small for one in node.input)]
    gathered = {
        node_of(one) for node in users if node.op not in ("AssignVariableOp", "ReadVariableOp") for one in node.input
    }
    read = {node.name: node_of(node.input[0]) for node in users if node.op == "ReadVariableOp"}
    gathered |= {
        read[node_of(one.input[0])] for one in graph.node if one.op in _OF_ROWS and node_of(one.input[0]) in read
    }
    fixed = small.keys() - gathered
    idle = set()
    for node in users:
        if node_of(node.input[0]) not in fixed:
            continue
        if node.op == "AssignVariableOp":
            idle.add(f"^{node.name}")
        else:
            _make_constant(node, values.get_tensor(small[node_of(node.input[0])]))
    for node in graph.node:  # nothing waits for what is not written any more
        kept = [one for one in node.input if one not in idle]
        node.ClearField("input")
        node.input.extend(kept)


def _keys(graph: graph_pb2.GraphDef) -> dict[str, str]:
    """By variable, what it is called in the files."""
    nodes = {node.name: node for node in graph.node}
    found = {}
    for node in graph.node:
        restore, _, port = node.input[1].partition(":") if node.op == "AssignVariableOp" else ("", "", "")
        if restore in nodes and nodes[restore].op == "RestoreV2":
            names = tensor_util.MakeNdarray(nodes[node_of(nodes[restore].input[1])].attr["value"].tensor)
            found[node_of(node.input[0])] = names[int(port or 0)].decode()
    return found


def _make_constant(node: Any, value: Any) -> None:
    dtype = node.attr["dtype"]
    node.op = "Const"
    node.ClearField("input")
    node.ClearField("attr")
    node.attr["dtype"].CopyFrom(dtype)
    node.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(value))
