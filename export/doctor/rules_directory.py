"""What may be wrong with a directory, or with what it says about itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import tensorflow as tf

from export.doctor.findings import Finding
from export.doctor.subject import Subject
from signatures.contract import DEFAULT_SIGNATURE

_VARIABLES = ("VarHandleOp", "VariableV2", "Variable")
_SHARD = re.compile(r"variables\.data-\d{5}-of-(\d{5})")
_COPY_AGAIN = "copy the whole version directory again, under another name, then rename it"


def signatures_exist(subject: Subject) -> Iterator[Finding]:
    """A model without signatures answers nothing; one without a default needs its callers' care."""
    keys = list(subject.model.signatures)
    if not keys:
        yield Finding(
            "no-signature",
            "expected at least one signature, got none: every request would be refused",
            "save with tf.saved_model.save(module, path, signatures={...})",
        )
    elif DEFAULT_SIGNATURE not in keys:
        yield Finding(
            "no-serving-default",
            f"requests must name a signature: there is no {DEFAULT_SIGNATURE}",
            f"add {DEFAULT_SIGNATURE} to the signatures for clients that name none",
        )


def variables_are_there(subject: Subject) -> Iterator[Finding]:
    """A server loads a partly copied version, calls it AVAILABLE, and fails every request."""
    graph = subject.model.graph
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    variables = sum(node.op in _VARIABLES for node in nodes)
    folder = subject.model.directory / "variables"
    if not variables:
        return
    if not (folder / "variables.index").is_file():
        yield Finding(
            "missing-variables",
            f"expected variables/variables.index for {variables} variables, got none",
            _COPY_AGAIN,
        )
        return
    shards = [path for path in folder.iterdir() if _SHARD.fullmatch(path.name)]
    wanted = max((int(path.name[-5:]) for path in shards), default=1)
    try:
        reader = tf.train.load_checkpoint(str(folder / "variables"))
    except (ValueError, tf.errors.OpError) as error:
        text = str(error).splitlines()[0]
        yield Finding(
            "incomplete-variables",
            f"expected readable variables in {folder}, got: {text}",
            _COPY_AGAIN,
        )
        return
    dtypes = reader.get_variable_to_dtype_map()
    # Strings take more than they are long; what has a size is enough to see a cut file.
    least = sum(
        math.prod(shape) * dtypes[name].size
        for name, shape in reader.get_variable_to_shape_map().items()
        if dtypes[name] != tf.string
    )
    got = sum(path.stat().st_size for path in shards)
    if len(shards) < wanted or got < least:
        yield Finding(
            "incomplete-variables",
            f"expected {wanted} files variables.data-* of together {least} bytes or more in "
            f"{folder}, got {len(shards)} of {got} bytes",
            _COPY_AGAIN,
        )


def assets_are_there(subject: Subject) -> Iterator[Finding]:
    """An asset that is missing fails loading."""
    for asset in subject.model.meta_graph.asset_file_def:
        if not (subject.model.directory / "assets" / asset.filename).is_file():
            yield Finding(
                "missing-asset",
                f"expected assets/{asset.filename}, got no such file",
                _COPY_AGAIN,
            )


def server_is_new_enough(subject: Subject) -> Iterator[Finding]:
    """TensorFlow reads what older releases wrote; the other way round is luck."""
    made_by = subject.model.meta_graph.meta_info_def.tensorflow_version
    made, server = _release(made_by), _release(subject.server_version)
    if made is None or server is None or made <= server:
        return
    next_minor = (server[0], server[1] + 1)
    fix = (
        f"export with TensorFlow {subject.server_version}, or host on "
        f"tensorflow/serving:{made[0]}.{made[1]}.0 or newer"
    )
    if made == next_minor:
        yield Finding(
            "minor-version-ahead",
            f"made by TensorFlow {made_by}, one minor release after the server's "
            f"{subject.server_version}",
            fix,
        )
    else:
        yield Finding(
            "newer-producer",
            f"expected a model of TensorFlow {subject.server_version} or older, got one of "
            f"{made_by}, which may use ops and attributes that the server does not know",
            fix,
        )


def _release(version: str) -> tuple[int, int] | None:
    """(major, minor) of a version such as `2.21.0`."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None


RULES = (signatures_exist, variables_are_there, assets_are_there, server_is_new_enough)
