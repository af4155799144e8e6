"""A saved model as one plain graph: inlined, folded and merged once here, instead of at each load for each signature.

What `tf.saved_model.save` writes is a library of functions, which every runtime inlines and optimises anew for each
signature when it loads a version. What is written here is what comes out of that: the ops of all signatures side by
side, equal ones once, and functions only for the bodies of conditions and loops, which run when they are taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import config_pb2, device_properties_pb2, meta_graph_pb2, saved_model_pb2
from tensorflow.python.framework import meta_graph, tensor_util
from tensorflow.python.grappler import cluster, tf_optimizer

from serving.graph.fixed_weights import fix_weights
from serving.graph.flat_functions import merge_functions
from serving.graph.flat_nodes import Names, drop_idle_order, merge_equal, node_of, prune, unite
from serving.graph.short_names import shorten

_RESTORE, _MAIN_OP = "restore", "saved_model_main_op"
_INLINE = ("function", "pruning")
# Core ops in, core ops out, on any device.
_FOLD = ("constfold", "shape", "arithmetic", "dependency", "common_subgraph_elimination", "pruning")
# What places nodes, takes conditions apart, or tells Python's loader of a call's resources by their number.
_OF_LOADERS = (
    "_class",
    "_lower_using_switch_merge",
    "_num_original_outputs",
    "_output_shapes",
    "_read_only_resource_inputs",
)
_FROM_FILE = "InitializeTableFromTextFileV2"


def flatten(model: Path) -> None:
    """Rewrites the saved model in a folder; its variables, assets and signatures stay as they are."""
    path = model / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    meta = saved.meta_graphs[0]
    _strip(meta)
    _share_inputs(meta)
    _one_input_a_file(meta)
    _one_restore(meta)
    _run(meta, _INLINE)
    _merge(meta)
    _without_paths(meta)
    fix_weights(meta.graph_def, str(model / "variables" / "variables"))
    _merge(meta)
    _one_table_a_file(meta.graph_def)
    _run(meta, _FOLD)
    _merge(meta)  # what is folded is equal more often
    merge_functions(meta.graph_def)
    _rename_outputs(meta, shorten(meta.graph_def, {*_fed(meta), meta.saver_def.restore_op_name}))
    _name_files(meta)
    _strip_nodes(meta.graph_def)
    meta_graph.strip_graph_default_valued_attrs(meta)
    meta.meta_info_def.stripped_op_list.CopyFrom(meta_graph.stripped_op_list_for_graph(meta.graph_def))
    path.write_bytes(saved.SerializeToString(deterministic=True))
    (model / "fingerprint.pb").unlink(missing_ok=True)  # of the graph as it was


def _strip(meta: meta_graph_pb2.MetaGraphDef) -> None:
    """Drops what only Python's loader and training need, and what places nodes or takes conditions apart."""
    meta.ClearField("object_graph_def")
    meta.meta_info_def.ClearField("function_aliases")
    graph = meta.graph_def
    del graph.library.gradient[:]
    for function in graph.library.function:
        function.ClearField("arg_attr")
        function.attr.pop("api_implements", None)  # it would keep the call from being inlined
    _strip_nodes(graph)


def _strip_nodes(graph: graph_pb2.GraphDef) -> None:
    for node in (*graph.node, *(one for function in graph.library.function for one in function.node_def)):
        node.device = ""
        node.ClearField("experimental_debug_info")
        for name in _OF_LOADERS:
            node.attr.pop(name, None)


def _share_inputs(meta: meta_graph_pb2.MetaGraphDef) -> None:
    """Inputs of one name, type and shape become one, so that what signatures make of them can be merged."""
    shared: dict[Any, str] = {}
    renamed: dict[str, str] = {}
    for signature in sorted(meta.signature_def):
        for name, info in sorted(meta.signature_def[signature].inputs.items()):
            key = (name, info.dtype, info.tensor_shape.SerializeToString(deterministic=True))
            old = node_of(info.name)
            renamed[old] = shared.setdefault(key, old)
            info.name = f"{renamed[old]}:0"
    unite(meta.graph_def, renamed)


def _one_input_a_file(meta: meta_graph_pb2.MetaGraphDef) -> None:
    """A file that several parts of the graph read is told to it once."""
    assets = {one.filename: one for one in reversed(meta.asset_file_def)}
    first = {
        node_of(one.tensor_info.name): node_of(assets[one.filename].tensor_info.name) for one in meta.asset_file_def
    }
    files = [assets[name] for name in sorted(assets)]
    del meta.asset_file_def[:]
    meta.asset_file_def.extend(files)
    unite(meta.graph_def, first)


def _one_restore(meta: meta_graph_pb2.MetaGraphDef) -> None:
    """A call is only inlined where something waits for it. Nothing saves from a served graph: those nodes go."""
    saver = meta.saver_def
    meta.graph_def.node.add(name=_RESTORE, op="NoOp", input=[f"^{saver.restore_op_name}"])
    saver.restore_op_name = _RESTORE
    saver.save_tensor_name = saver.filename_tensor_name  # loaders want the name of some tensor


def _fed(meta: meta_graph_pb2.MetaGraphDef) -> set[str]:
    """The nodes that are fed by name."""
    names = [one.tensor_info.name for one in meta.asset_file_def] + [meta.saver_def.filename_tensor_name]
    names += [info.name for signature in meta.signature_def.values() for info in signature.inputs.values()]
    return {node_of(one) for one in names}


def _kept(meta: meta_graph_pb2.MetaGraphDef) -> list[str]:
    """The nodes that are fed or asked for by name."""
    outputs = [info.name for signature in meta.signature_def.values() for info in signature.outputs.values()]
    return sorted(_fed(meta) | {meta.saver_def.restore_op_name, *map(node_of, outputs)})


def _run(meta: meta_graph_pb2.MetaGraphDef, passes: Iterable[str]) -> None:
    """Grappler's own passes over the graph and its functions."""
    work = meta_graph_pb2.MetaGraphDef()
    work.CopyFrom(meta)
    work.collection_def["train_op"].node_list.value.extend(_kept(meta))  # what it must leave
    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    options.optimizers.extend(passes)
    options.min_graph_nodes = -1  # a small graph too
    options.meta_optimizer_timeout_ms = -1
    options.meta_optimizer_iterations = options.ONE  # a second time finds nothing, and costs as much
    options.fail_on_optimizer_errors = True
    cpu = device_properties_pb2.NamedDevice(name="/job:localhost/replica:0/task:0/device:CPU:0")
    cpu.properties.type = "CPU"
    machine = cluster.Cluster(devices=[cpu])  # the same graph on every machine
    meta.graph_def.CopyFrom(tf_optimizer.OptimizeGraph(config, work, verbose=False, cluster=machine))


def _one_table_a_file(graph: graph_pb2.GraphDef) -> None:
    """Tables that read the same lines in the same way become one; it is not named after where a file once lay."""
    nodes = {node.name: node for node in graph.node}
    first: dict[Any, Any] = {}
    renamed: dict[str, str] = {}
    for node in sorted((one for one in graph.node if one.op == _FROM_FILE), key=lambda one: one.name):
        table, file = (node_of(one) for one in node.input[:2])
        how = tuple((name, node.attr[name].SerializeToString()) for name in sorted(node.attr))
        kept = first.setdefault((file, how), node)
        renamed |= {node.name: kept.name, table: node_of(kept.input[0])}
        nodes[renamed[table]].attr["shared_name"].s = renamed[table].encode()
    unite(graph, renamed)


def _name_files(meta: meta_graph_pb2.MetaGraphDef) -> None:
    """The path of a file is fed where the graph has its name: a loader may refuse what cannot run without being fed."""
    files = {node_of(one.tensor_info.name): one.filename for one in meta.asset_file_def}
    for node in meta.graph_def.node:
        if node.name in files:
            node.op = "Const"
            del node.attr["shape"]
            node.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(files[node.name]))


def _without_paths(meta: meta_graph_pb2.MetaGraphDef) -> None:
    """Files are read by the paths that are fed, not by variables that hold them for whoever saves the model again."""
    graph = meta.graph_def
    files = {node_of(one.tensor_info.name) for one in meta.asset_file_def}
    assigned = [one for one in graph.node if one.op == "AssignVariableOp" and node_of(one.input[1]) in files]
    paths = {node_of(one.input[0]): node_of(one.input[1]) for one in assigned}
    reads = [one for one in graph.node if one.op == "ReadVariableOp" and node_of(one.input[0]) in paths]
    idle = {f"^{one.name}" for one in assigned}
    for node in graph.node:
        kept = [one for one in node.input if one not in idle]
        node.ClearField("input")
        node.input.extend(kept)
    unite(graph, {one.name: paths[node_of(one.input[0])] for one in reads})


def _merge(meta: meta_graph_pb2.MetaGraphDef) -> None:
    """Equal nodes once; outputs by the tensors behind their names."""
    drop_idle_order(meta.graph_def)
    _rename_outputs(meta, merge_equal(meta.graph_def, _fed(meta)))
    prune(meta.graph_def, _kept(meta))


def _rename_outputs(meta: meta_graph_pb2.MetaGraphDef, names: Names) -> None:
    for signature in meta.signature_def.values():
        for info in signature.outputs.values():
            tensor = names.of(info.name)
            info.name = tensor if ":" in tensor or ":" not in info.name else f"{tensor}:0"
    main = meta.collection_def[_MAIN_OP].node_list.value
    main[:] = [names.of(one) for one in main]
