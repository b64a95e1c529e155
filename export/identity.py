"""The content identity of a SavedModel: equal for equal content, wherever and whenever it is made.

TensorFlow's own fingerprint covers neither function bodies nor constants nor weights. This hash
covers the graph with its function library and constants, the signatures, every variable's
bytes, the assets, the warm-up requests, and the contracts and options that the model was made
from. Names that
TensorFlow generates from counters (of functions, and of nodes named after them) are replaced by
the hash of what they name, so that a second export in one process gives the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import function_pb2, node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2

PREFIX = "sha256:"
WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_USER_NAME = "_user_specified_name"


def content_hash(directory: Path, promises: Mapping[str, Any]) -> str:
    """The identity of a SavedModel directory.

    Args:
      directory: A version's directory.
      promises: Contracts and options, as plain data.

    Returns:
      `sha256:` and 64 hexadecimal digits.
    """
    warmup = directory / WARMUP_FILE
    parts = {
        "graph": _graph_parts(directory),
        "variables": _variable_parts(directory),
        "assets": _asset_parts(directory),
        "warm-up": _digest_bytes(warmup.read_bytes()) if warmup.exists() else None,
        "promises": promises,
    }
    return PREFIX + _digest(parts)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _graph_parts(directory: Path) -> list[dict[str, Any]]:
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((directory / "saved_model.pb").read_bytes())
    return [
        {
            "tags": sorted(graph.meta_info_def.tags),
            **_Library(graph.graph_def.library.function).parts(graph.graph_def.node),
            "signatures": {
                key: _digest_bytes(signature.SerializeToString(deterministic=True))
                for key, signature in graph.signature_def.items()
            },
        }
        for graph in model.meta_graphs
    ]


class _Library:
    """The functions of a graph, each known by the hash of its content."""

    def __init__(self, functions: Iterable[function_pb2.FunctionDef]) -> None:
        self._functions = {function.signature.name: function for function in functions}
        self._hashes: dict[str, str] = {}

    def parts(self, nodes: Iterable[node_def_pb2.NodeDef]) -> dict[str, list[str]]:
        """The hashes of all functions and of the outer graph's nodes, sorted."""
        return {
            "functions": sorted(self.hash(name) for name in self._functions),
            "nodes": sorted(_digest(self._canonical(node, "")) for node in nodes),
        }

    def hash(self, name: str) -> str:
        """The hash of a function's content, the functions that it calls included."""
        if name not in self._hashes:
            function = function_pb2.FunctionDef()
            function.CopyFrom(self._functions[name])
            function.signature.name = ""
            _number_arguments(function)
            nodes = [self._canonical(node, name) for node in function.node_def]
            del function.node_def[:]
            for attribute in function.attr.values():
                self._rename(attribute)
            for argument in function.arg_attr.values():
                _forget_counters(argument.attr)
            self._hashes[name] = _digest([_text(function, name), *sorted(nodes)])
        return self._hashes[name]

    def _canonical(self, node: node_def_pb2.NodeDef, function: str) -> str:
        """A node of a function (or of the outer graph) without generated names."""
        copy = node_def_pb2.NodeDef()
        copy.CopyFrom(node)
        copy.ClearField("experimental_debug_info")
        if copy.op in self._functions:
            copy.op = self.hash(copy.op)
        _forget_counters(copy.attr)
        for attribute in copy.attr.values():
            self._rename(attribute)
        return _text(copy, function)

    def _rename(self, attribute: Any) -> None:
        """Replaces names of functions inside an attribute by their hashes."""
        references = [attribute.func] if attribute.HasField("func") else []
        if attribute.HasField("list"):
            references += attribute.list.func
        for reference in references:
            if reference.name in self._functions:
                reference.name = self.hash(reference.name)
            for inner in reference.attr.values():
                self._rename(inner)
        if attribute.HasField("s"):
            name = attribute.s.decode(errors="replace")
            if name in self._functions:
                attribute.s = self.hash(name).encode()


def _text(message: Any, function: str) -> str:
    """A message as text, maps in order, without the name of the function that it is part of.

    The arguments of loops carry the name of their function, whose counter differs.
    """
    text: str = text_format.MessageToString(message)
    return text.replace(function, "") if function else text


def _number_arguments(function: function_pb2.FunctionDef) -> None:
    """Names arguments and results by their place: captured ones carry counters in their names."""
    signature = function.signature
    arguments = {arg.name: f"argument_{i}" for i, arg in enumerate(signature.input_arg)}
    results = {arg.name: f"result_{i}" for i, arg in enumerate(signature.output_arg)}

    def renamed(reference: str) -> str:
        name, colon, rest = reference.partition(":")
        return f"{arguments[name]}{colon}{rest}" if name in arguments else reference

    for node in function.node_def:
        node.input[:] = [renamed(reference) for reference in node.input]
    returned = {results[name]: renamed(value) for name, value in function.ret.items()}
    function.ret.clear()
    function.ret.update(returned)
    for names, args in ((arguments, signature.input_arg), (results, signature.output_arg)):
        for arg in args:
            arg.name = names[arg.name]


def _forget_counters(attributes: Any) -> None:
    """Drops the name that a captured tensor gets from a counter; nothing depends on it."""
    if _USER_NAME in attributes:
        del attributes[_USER_NAME]


def _variable_parts(directory: Path) -> dict[str, list[Any]]:
    prefix = directory / "variables" / "variables"
    if not prefix.with_suffix(".index").exists():
        return {}
    reader = tf.train.load_checkpoint(str(prefix))
    return {
        name: [str(values.dtype), list(values.shape), _digest_bytes(values.tobytes())]
        for name in sorted(reader.get_variable_to_shape_map())
        if name != _OBJECT_GRAPH
        for values in [reader.get_tensor(name)]
    }


def _asset_parts(directory: Path) -> dict[str, str]:
    folder = directory / "assets"
    return {
        path.relative_to(folder).as_posix(): _digest_bytes(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
