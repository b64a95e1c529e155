"""Ops that a stock server cannot run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from export.doctor.findings import Finding
from export.doctor.kernels import is_known
from export.doctor.subject import Subject

_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
_COMPILED = "_XlaMustCompile"


def no_python(subject: Subject) -> Iterator[Finding]:
    """A `tf.py_function` names a Python object of the process that traced it."""
    for signature in subject.signatures:
        for function, node in subject.definitions(signature):
            if node.op in _PYTHON:
                yield Finding(
                    "python-function",
                    f"expected TensorFlow ops only, got {node.op} at {_where(function, node)}: "
                    "the server has no Python",
                    "write tf.py_function's and tf.numpy_function's bodies with TensorFlow ops",
                    signature.key,
                )
                break


def no_xla(subject: Subject) -> Iterator[Finding]:
    """A function traced with `jit_compile=True` fails at its first request."""
    functions = subject.model.functions
    for signature in subject.signatures:
        for function, node in subject.definitions(signature):
            reached = [functions[name] for name in subject.model.references(node)]
            if any(_is_compiled(thing.attr) for thing in (node, *reached)):
                yield Finding(
                    "xla-compiled",
                    f"expected no compiled function, got one at {_where(function, node)}: a stock "
                    "server answers INTERNAL, XLA compilation disabled",
                    "trace without jit_compile=True",
                    signature.key,
                )
                break


def ops_are_known(subject: Subject) -> Iterator[Finding]:
    """An op of a custom library is unknown to a stock server, which then refuses to load."""
    for signature in subject.signatures:
        unknown = {
            node.op
            for _, node in subject.definitions(signature)
            if node.op not in subject.model.functions and not is_known(node.op)
        }
        if unknown:
            yield Finding(
                "unknown-op",
                f"expected ops of TensorFlow, got {', '.join(sorted(unknown))}",
                "write them with TensorFlow's own ops, or build a server that links theirs",
                signature.key,
            )


def _is_compiled(attr: Any) -> bool:
    return _COMPILED in attr and bool(attr[_COMPILED].b)


def _where(function: str, node: Any) -> str:
    return f"{node.name} of {function}" if function else str(node.name)


RULES = (no_python, no_xla, ops_are_known)
