"""One loaded version of a model: its signatures and the session that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.client import pywrap_tf_session

from serving_config import wire
from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.tensor_types import type_of_dtype, type_of_number

_PLANS = 256
_TIMEOUTS = 8
# What Python adds to the runtime's messages, and where they name the node.
_PYTHON_PREFIX = "Graph execution error:"
_PYTHON_TRACE = "\n\nOriginal stack trace for "
_NODE_TAIL = "\n\t [["


Observer = Callable[[str, float], None]


@dataclass(frozen=True)
class InputSlot:
    """Where an input is fed: the tensor's name and its element type's number."""

    tensor: str
    type_number: int


@dataclass(frozen=True)
class OutputSlot:
    """Where an output is fetched: the tensor's name and its element type's number."""

    tensor: str
    type_number: int


@dataclass(frozen=True)
class Signature:
    """A signature as the SavedModel defines it; maps are sorted by alias.

    Attributes:
      key: Its key in the SavedModel.
      inputs: Alias to where it is fed.
      outputs: Alias to where it is fetched.
      defaults: Alias to the value of an input that a gRPC request leaves out.
    """

    key: str
    inputs: Mapping[str, InputSlot]
    outputs: Mapping[str, OutputSlot]
    defaults: Mapping[str, np.ndarray]


class Servable:
    """A version that can answer. Safe to use from many threads; they share one session.

    Args:
      name: The model's name.
      version: The version's number.
      session: A session with the graph imported and initialised.
      signatures: By key.
      definitions: The SignatureDef messages by key, the initialiser's included.
      observe: Told the API and the seconds of every run that succeeded.
    """

    def __init__(
        self,
        name: str,
        version: int,
        session: Any,
        signatures: Mapping[str, Signature],
        definitions: Mapping[str, Any],
        observe: Observer = lambda api, seconds: None,
    ) -> None:
        self.name = name
        self.version = version
        self.signatures = signatures
        self.definitions = definitions
        self._session = session
        self._observe = observe
        # The session's own call skips Python's checks and casts: what it says is the runtime's
        # text. It prepares itself once for a set of outputs, so that a filter does not run the
        # others; a callable would for each timeout as well, which takes seconds of a warm-up.
        self._plan = lru_cache(maxsize=_PLANS)(self._make_plan)
        self._run_options = lru_cache(maxsize=_TIMEOUTS)(_make_run_options)

    def run(
        self,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        *,
        timeout_ms: int = 0,
        api: str = "Predict",
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
          signature: One of this servable's.
          inputs: All inputs by alias.
          outputs: The aliases to compute.
          timeout_ms: When the runtime gives the run up, 0 for never.
          api: What the run is counted as.

        Returns:
          Output alias to array; scalars have shape `()`.

        Raises:
          StatusError: A dtype is not the signature's, or the graph refuses.
        """
        aliases = _feeding_order(signature)
        _check_dtypes(signature, aliases, inputs)
        feeds, fetches = self._plan(signature.key, tuple(sorted(outputs)))
        fed = {feed: inputs[alias] for feed, alias in zip(feeds, aliases, strict=True)}
        options = self._run_options(timeout_ms) if timeout_ms else None
        begin = time.perf_counter()
        try:
            values = self._session._call_tf_sessionrun(options, fed, fetches, [], None)
        except tf.errors.OpError as error:
            raise StatusError(
                wire.code_name(error.error_code), runtime_text(error.message)
            ) from None
        self._observe(api, time.perf_counter() - begin)
        return {
            alias: np.asarray(value, _fetched_dtype(signature.outputs[alias]))
            for alias, value in zip(sorted(outputs), values, strict=True)
        }

    def _make_plan(self, key: str, outputs: tuple[str, ...]) -> tuple[list[Any], list[Any]]:
        """What the runtime is fed, in the order of the arguments, and what is fetched."""
        signature, tensor = self.signatures[key], self._session.graph.get_tensor_by_name
        fed = [signature.inputs[alias].tensor for alias in _feeding_order(signature)]
        fetched = [signature.outputs[alias].tensor for alias in outputs]
        feeds, fetches = ([tensor(n)._as_tf_output() for n in names] for names in (fed, fetched))
        return feeds, fetches

    def close(self) -> None:
        """Frees the session; nothing may run any more."""
        self._session.close()


def _make_run_options(timeout_ms: int) -> Any:
    options = config_pb2.RunOptions(timeout_in_ms=timeout_ms)
    return pywrap_tf_session.TF_NewBufferFromString(options.SerializeToString())


def runtime_text(message: str) -> str:
    r"""A runtime error's message without what Python adds to it: the stock server's text.

    >>> runtime_text("Graph execution error:\n\nDetected at node A\nbad\n\t [[{{node A}}]]")
    'bad\n\t [[{{node A}}]]'
    """
    message = message.split(_PYTHON_TRACE, 1)[0]
    if not message.startswith(_PYTHON_PREFIX):
        return message
    head, node, tail = message.removeprefix(_PYTHON_PREFIX).partition(_NODE_TAIL)
    return (head.strip().splitlines() or [""])[-1] + node + tail


def _feeding_order(signature: Signature) -> list[str]:
    """Aliases in the order in which the runtime numbers the arguments: by tensor name."""
    return sorted(signature.inputs, key=lambda alias: signature.inputs[alias].tensor)


def _fetched_dtype(slot: OutputSlot) -> np.dtype:
    return type_of_number(slot.type_number).dtype


def _check_dtypes(
    signature: Signature, aliases: Sequence[str], inputs: Mapping[str, np.ndarray]
) -> None:
    for position, alias in enumerate(aliases):
        given = type_of_dtype(inputs[alias].dtype)
        wanted = type_of_number(signature.inputs[alias].type_number)
        if given is not wanted:
            raise invalid_argument(
                f"Expects arg[{position}] to be {wanted.name} but {given.name} is provided"
            )
