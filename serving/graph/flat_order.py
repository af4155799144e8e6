"""Bodies in an order that hangs on what they compute, and on no name: so that equal ones look equal.

Optimizers order a body's nodes, the arguments of a condition's sides and the operands of a sum by name, which tells
from which signature a body was inlined.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from tensorflow.core.framework import function_pb2

from serving.graph.flat_nodes import attributes, node_of

_CONDITIONS = {"If", "StatelessIf"}
_EITHER_WAY = {"AddV2", "Equal", "LogicalAnd", "LogicalOr", "Maximum", "Minimum", "Mul", "NotEqual"}


def order_nodes(function: function_pb2.FunctionDef) -> None:
    """Puts a body's nodes in the order in which its results need them, and either operand of a sum first."""
    nodes = {one.name: one for one in function.node_def}
    types = {one.name: str(one.type) for one in function.signature.input_arg}
    keys: dict[str, str] = {}
    wanted = [function.ret[one.name] for one in function.signature.output_arg]
    wanted += sorted(f"^{one}" for one in function.control_ret.values())
    for node in _needed(nodes, [*wanted, *nodes]):  # those that nothing needs come behind
        inputs = [keys.get(node_of(one), types.get(node_of(one), "")) + one.partition(":")[2] for one in node.input]
        if node.op in _EITHER_WAY and inputs[1] < inputs[0]:
            first, second, *waits = node.input
            node.ClearField("input")
            node.input.extend([second, first, *waits])
            inputs[:2] = inputs[1::-1]
        keys[node.name] = hashlib.sha256(repr((node.op, attributes(node), inputs)).encode()).hexdigest()
    ordered = _needed(nodes, [*wanted, *sorted(nodes, key=lambda name: keys[name])])
    kept = function_pb2.FunctionDef(node_def=ordered)
    function.ClearField("node_def")
    function.node_def.extend(kept.node_def)


def _needed(nodes: Mapping[str, Any], wanted: Iterable[str]) -> list[Any]:
    """Those that some references need, each once and behind its inputs."""
    found: dict[str, Any] = {}
    waiting = [node_of(one) for one in reversed(list(wanted))]
    while waiting:
        name = waiting[-1]
        missing = [] if name in found or name not in nodes else [node_of(one) for one in nodes[name].input]
        missing = [one for one in missing if one in nodes and one not in found]
        if missing:
            waiting += reversed(missing)
        else:
            waiting.pop()
            if name in nodes:
                found.setdefault(name, nodes[name])
    return list(found.values())


def order_arguments(node: Any, functions: Mapping[str, function_pb2.FunctionDef]) -> dict[str, Any]:
    """Lets a condition hand its arguments over as its sides first read them, and none that neither reads.

    Returns:
      The sides by the attribute that names them, as the node calls them now; nothing for what is no condition.
    """
    if node.op not in _CONDITIONS:
        return {}
    sides = {name: functions[node.attr[name].func.name] for name in ("then_branch", "else_branch")}
    places: dict[int, None] = {}
    for side in sides.values():
        numbers = {one.name: place for place, one in enumerate(side.signature.input_arg)}
        read = [node_of(one) for inside in side.node_def for one in inside.input]
        read += [node_of(side.ret[one.name]) for one in side.signature.output_arg]
        places.update({numbers[one]: None for one in read if one in numbers})
    order = list(places)
    predicate, *given = (one for one in node.input if not one.startswith("^"))
    waits = [one for one in node.input if one.startswith("^")]
    node.ClearField("input")
    node.input.extend([predicate, *(given[place] for place in order), *waits])
    types = list(node.attr["Tin"].list.type)
    node.attr["Tin"].list.type[:] = [types[place] for place in order]
    return {name: _with_arguments(side, order) for name, side in sides.items()}


def _with_arguments(function: function_pb2.FunctionDef, order: Iterable[int]) -> function_pb2.FunctionDef:
    """A body that takes its arguments in another order, and some of them not at all."""
    other = function_pb2.FunctionDef()
    other.CopyFrom(function)
    other.signature.ClearField("input_arg")
    other.signature.input_arg.extend(function.signature.input_arg[place] for place in order)
    return other
