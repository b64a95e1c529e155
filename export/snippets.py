"""How to query a signature: a `curl` line and a Python snippet, made from its contract."""

from __future__ import annotations

import json
import shlex
from typing import Any

from export.hosting import GRPC_PORT, REST_PORT
from signatures.contract import ModelContract, TensorContract

_PYTHON = """\
{imports}import numpy as np
from serving_config import GrpcClient

inputs = {{
{inputs}
}}
with GrpcClient("127.0.0.1:{port}", model="{model}") as client:
    outputs = client.predict("{signature}", inputs{version})
{prints}
"""


def curl_snippet(contract: ModelContract, signature: str, *, version: int | None = None) -> str:
    """One shell line that asks a server on this machine over REST.

    REST requests name every input: the server fills in defaults over gRPC only.
    """
    tensors = contract.signature(signature).inputs
    which = "" if version is None else f"/versions/{version}"
    url = f"http://127.0.0.1:{REST_PORT}/v1/models/{contract.name}{which}:predict"
    if any(tensor.example is None for tensor in tensors):
        # Too large to spell out: blank maps, written by Python.
        zeros = ", ".join(f'"{t.name}": np.zeros({_zeros_shape(t)}, int).tolist()' for t in tensors)
        program = (
            "import json; import numpy as np; "
            f'print(json.dumps({{"signature_name": "{signature}", "inputs": {{{zeros}}}}}))'
        )
        return f"python3 -c {shlex.quote(program)} | curl --silent {url} --data @-"
    inputs = {tensor.name: tensor.example for tensor in tensors}
    body = json.dumps({"signature_name": signature, "inputs": inputs})
    return f"curl --silent {url} --data {shlex.quote(body)}"


def python_snippet(contract: ModelContract, signature: str, *, version: int | None = None) -> str:
    """A Python program that asks a server on this machine over gRPC and prints the outputs."""
    tensors = contract.signature(signature)
    return _PYTHON.format(
        imports="import base64\n" if any(t.dtype == "string" for t in tensors.inputs) else "",
        inputs="\n".join(f'    "{t.name}": {_literal(t)},' for t in tensors.inputs),
        port=GRPC_PORT,
        model=contract.name,
        signature=signature,
        version="" if version is None else f", version={version}",
        prints="\n".join(
            f'print("{t.name}", outputs["{t.name}"].tolist())' for t in tensors.outputs
        ),
    )


def _zeros_shape(tensor: TensorContract) -> tuple[int, ...]:
    return tuple(size or 1 for size in tensor.static_shape)


def _literal(tensor: TensorContract) -> str:
    if tensor.example is None:
        return f'np.zeros({_zeros_shape(tensor)}, "{tensor.dtype}")'
    if tensor.dtype == "string":
        files = ", ".join(f'base64.b64decode("{file["b64"]}")' for file in tensor.example)
        return f"[{files}]"
    if tensor.is_scalar:
        return f"np.{tensor.dtype}({tensor.example})"
    return f'np.array({json.dumps(tensor.example)}, "{tensor.dtype}")'


def signature_table(contract: ModelContract) -> str:
    """The README's table of signatures, in Markdown."""
    lines = ["| signature | inputs (default) | outputs |", "|---|---|---|"]
    for signature in contract.signatures:
        also = ", also `serving_default`" if signature.name == contract.default else ""
        inputs = ", ".join(_cell(tensor) for tensor in signature.inputs)
        outputs = ", ".join(_cell(tensor) for tensor in signature.outputs)
        lines.append(f"| `{signature.name}`{also} | {inputs} | {outputs} |")
    return "\n".join(lines)


def _cell(tensor: TensorContract) -> str:
    default: Any = "" if tensor.default is None else f" ({tensor.default})"
    return f"`{tensor.name}` {tensor.dtype} {tensor.shape_text}{default}"
