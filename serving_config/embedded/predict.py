"""Predict on one loaded version: inputs in, arrays or a status error out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.servable import Servable, Signature

DEFAULT_SIGNATURE = "serving_default"


def predict(
    servable: Servable,
    key: str,
    inputs: Mapping[str, Any],
    output_filter: Sequence[str] = (),
    *,
    decode: Callable[[Any], np.ndarray] = np.asarray,
    timeout_ms: int = 0,
) -> dict[str, np.ndarray]:
    """Answers a Predict request.

    Args:
      servable: The version.
      key: The signature's key, empty for `serving_default`.
      inputs: Alias to value.
      output_filter: The wanted outputs; empty means all.
      decode: Turns a value into an array; a ValueError of it is the request's fault.
      timeout_ms: When the runtime gives the run up, 0 for never.

    Returns:
      The outputs by alias.

    Raises:
      StatusError: With the stock server's code and text.
    """
    key = key or DEFAULT_SIGNATURE
    if key not in servable.signatures:
        raise StatusError("FAILED_PRECONDITION", f'Serving signature key "{key}" not found.')
    signature = servable.signatures[key]
    _check_count(signature, inputs)
    arrays = _complete(signature, inputs, decode)
    outputs = _wanted_outputs(signature, output_filter)
    return servable.run(signature, arrays, outputs, timeout_ms=timeout_ms)


def _check_count(signature: Signature, inputs: Mapping[str, Any]) -> None:
    """Too many inputs, or too few where no default can help."""
    sent, wanted = set(inputs), set(signature.inputs)
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({_set(sent)}) != len({_set(wanted)}). Sent extra: {_set(sent - wanted)}. "
            f"Missing but required: {_set(wanted - sent)}."
        )


def _complete(
    signature: Signature, inputs: Mapping[str, Any], decode: Callable[[Any], np.ndarray]
) -> dict[str, np.ndarray]:
    """All inputs of the signature as arrays, defaults filled in."""
    arrays = {}
    for alias, slot in signature.inputs.items():
        if alias in inputs:
            try:
                arrays[alias] = decode(inputs[alias])
            except ValueError as error:
                raise invalid_argument(f"tensor parsing error: {alias}") from error
        elif alias in signature.defaults:
            arrays[alias] = signature.defaults[alias]
        else:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {slot.tensor}) not found in request "
                f"and no default value provided. Inputs expected to be in the request "
                f"{_set(inputs)}, or default input alias set: "
                f"{','.join(sorted(signature.defaults))}"
            )
    used = set(inputs) & set(signature.inputs)
    if used != set(inputs):
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {','.join(sorted(used))}, "
            f"request input: {','.join(sorted(inputs))}"
        )
    return arrays


def _wanted_outputs(signature: Signature, output_filter: Sequence[str]) -> list[str]:
    seen: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_set(signature.outputs)}."
            )
        if alias in seen:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        seen.append(alias)
    return seen or list(signature.outputs)


def _set(names: Any) -> str:
    return f"{{{','.join(sorted(names))}}}"
