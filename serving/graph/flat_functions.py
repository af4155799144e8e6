"""The bodies of conditions and loops in a flat graph: equal ones once, none that is not called."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import Any

from tensorflow.core.framework import function_pb2, graph_pb2

from serving.graph.flat_nodes import attributes
from serving.graph.flat_order import order_arguments, order_nodes


def merge_functions(graph: graph_pb2.GraphDef) -> None:
    """Lets one of equal functions stand for all, under names that hang on nothing but the graph."""
    functions = {one.signature.name: one for one in graph.library.function}
    calls = {name: {one.name for one in _called(body.node_def)} for name, body in sorted(functions.items())}
    first: dict[str, str] = {}
    names: dict[str, str] = {}
    for name in TopologicalSorter(calls).static_order():  # bodies before those that call them
        functions[name].ClearField("arg_attr")  # the shapes that were inferred for one of its calls
        _rename(functions[name].node_def, names)
        _order_calls(functions[name].node_def, functions, first)
        order_nodes(functions[name])
        names[name] = first.setdefault(_form(functions[name]), name)
    _rename(graph.node, names)
    _order_calls(graph.node, functions, first)
    _number(graph, functions)


def _order_calls(nodes: Any, functions: dict[str, Any], first: dict[str, str]) -> None:
    """Orders what conditions hand to their sides; each side is then one of the functions known, or a new one."""
    for node in nodes:
        for attribute, side in order_arguments(node, functions).items():
            new = f"{side.signature.name}_{len(functions)}"
            name = first.setdefault(_form(side), new)
            if name == new:
                side.signature.name = new
                functions[new] = side
            node.attr[attribute].func.name = name


def _number(graph: graph_pb2.GraphDef, functions: dict[str, Any]) -> None:
    """Keeps the functions that are reached, numbered as they are met."""
    numbers: dict[str, str] = {}
    waiting = [one.name for one in _called(graph.node)]
    while waiting:
        name = waiting.pop(0)
        if name not in numbers:
            numbers[name] = f"body_{len(numbers)}"
            waiting += [one.name for one in _called(functions[name].node_def)]
    kept = []
    for name, number in numbers.items():
        function = function_pb2.FunctionDef()
        function.CopyFrom(functions[name])
        function.signature.name = number
        _rename(function.node_def, numbers)
        kept.append(function)
    _rename(graph.node, numbers)
    del graph.library.function[:]
    graph.library.function.extend(kept)


def _called(nodes: Any) -> Iterator[Any]:
    """The functions that nodes name."""
    for node in nodes:
        for name in sorted(node.attr):
            value = node.attr[name]
            yield from (one for one in (value.func, *value.list.func) if one.name)


def _rename(nodes: Any, names: dict[str, str]) -> None:
    for one in _called(nodes):
        one.name = names.get(one.name, one.name)


def _form(function: Any) -> str:
    """What a function computes, its parts by their places instead of their names."""
    places = {one.name: f"input {place}" for place, one in enumerate(function.signature.input_arg)}
    places |= {one.name: f"node {place}" for place, one in enumerate(function.node_def)}

    def placed(reference: str) -> str:
        name, colon, port = reference.removeprefix("^").partition(":")
        return ("^" if reference.startswith("^") else "") + places[name] + colon + port

    return repr(
        (
            [one.type for one in function.signature.input_arg],
            [(one.type, placed(function.ret[one.name])) for one in function.signature.output_arg],
            sorted(placed(one) for one in function.control_ret.values()),
            [(node.op, [placed(one) for one in node.input], attributes(node)) for node in function.node_def],
        )
    )
