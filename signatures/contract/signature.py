"""The contract of one signature, and of a model family as a set of signatures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from signatures.contract.errors import InvalidInputError
from signatures.contract.rules import Rule, first_refusal
from signatures.contract.tensors import TensorContract, bind_dimensions, resolve_shape

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Tolerance:
    """How far served outputs may lie from eager ones where the arithmetic is not exact.

    Attributes:
      limit: The largest allowed difference.
      unit: `"ulps"`, units in the last place of the output's largest expected magnitude, or
        `"pixels"`, an absolute difference of coordinates.
      measured: The largest difference that was measured, in the same unit.
      exact_on_same_build: Whether a server of the same TensorFlow build on the same CPU gives
        equal bits all the same; false where eager and traced execution already differ.
      reason: Why the outputs may differ at all, and where the measurement was made.
      limits: Outputs with a limit of their own, by name; 0 asks for equal bits.
      margin: How much values may differ on which a discrete choice depends; a choice that is
        nearer to a tie than this may fall otherwise. 0 where all choices must be equal.
      steady: Outputs that no choice changes, by name.
    """

    limit: float
    unit: str
    measured: float
    reason: str
    exact_on_same_build: bool = True
    limits: tuple[tuple[str, float], ...] = ()
    margin: float = 0.0
    steady: tuple[str, ...] = ()

    def of_output(self, name: str) -> Tolerance | None:
        """The tolerance of one output; `None` if it must be equal to the last bit."""
        limit = dict(self.limits).get(name, self.limit)
        return dataclasses.replace(self, limit=limit) if limit else None

    def __str__(self) -> str:
        """The limit with its unit."""
        of = " of the largest output" if self.unit == "ulps" else ""
        return f"{self.limit:g} {self.unit}{of}"


@dataclass(frozen=True)
class SignatureContract:
    """Everything that is promised about one signature.

    Attributes:
      name: The signature's key in the SavedModel.
      summary: One sentence.
      inputs: In the order of the function's arguments.
      outputs: In the order of the function's results.
      rules: The guard's checks, in the order in which they speak.
      batched: Whether a batcher may join requests along axis 0.
      tolerance: `None` where served and eager outputs are equal to the last bit everywhere.
    """

    name: str
    summary: str
    inputs: tuple[TensorContract, ...]
    outputs: tuple[TensorContract, ...]
    rules: tuple[Rule, ...] = ()
    batched: bool = False
    tolerance: Tolerance | None = None

    def input(self, name: str) -> TensorContract:
        """The input of that name.

        Raises:
          InvalidInputError: There is none; the sentence lists those that exist.
        """
        for tensor in self.inputs:
            if tensor.name == name:
                return tensor
        known = ", ".join(tensor.name for tensor in self.inputs)
        raise InvalidInputError(f"{self.name}: no input named {name!r}; expected {known}")

    def check_request(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Checks names, dtypes, ranks and fixed dimensions; bounds are the server's to refuse.

        NumPy arrays must have the contract's dtype. Plain Python numbers and lists have no
        dtype of their own and are converted, integers only where integers are expected.

        Args:
          inputs: Name to array. Inputs with a default may be missing.

        Returns:
          Name to array, without the missing ones.

        Raises:
          InvalidInputError: Every fault of the request, in one sentence.
        """
        faults: list[str] = []
        arrays: dict[str, np.ndarray] = {}
        for name in inputs:
            try:
                self.input(name)
            except InvalidInputError as error:
                faults.append(str(error))
        for tensor in self.inputs:
            if tensor.name not in inputs:
                if tensor.default is None:
                    faults.append(
                        f"{tensor.name}: missing; expected {tensor.dtype} {tensor.shape_text}"
                    )
                continue
            try:
                array = _as_array(tensor, inputs[tensor.name])
                tensor.check_shape(array.shape)
                arrays[tensor.name] = array
            except InvalidInputError as error:
                faults.append(str(error))
        if faults:
            raise InvalidInputError(f"{self.name}: {'; '.join(faults)}")
        return arrays

    def with_defaults(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All inputs in the contract's order, the missing ones filled from their defaults."""
        return {
            tensor.name: inputs[tensor.name] if tensor.name in inputs else tensor.default_array()
            for tensor in self.inputs
        }

    def refusal(self, inputs: Mapping[str, np.ndarray]) -> str | None:
        """The sentence with which the guard refuses these (complete) inputs, or `None`."""
        return first_refusal(self.rules, inputs)

    def output_shapes(self, inputs: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
        """The shapes of all outputs for these (complete) inputs.

        A size that only the function tells is -1; without a pixel to look at, it is 0.
        """
        shapes = {name: array.shape for name, array in inputs.items()}
        sizes = bind_dimensions(self.inputs, shapes)
        resolved = {tensor.name: resolve_shape(tensor, sizes, inputs) for tensor in self.outputs}
        if any(not array.size for array in inputs.values()):
            return {name: tuple(max(size, 0) for size in shape) for name, shape in resolved.items()}
        return resolved

    def as_dict(self) -> dict[str, Any]:
        """The contract as plain data for the manifest; rules carry their kind."""
        plain = dataclasses.asdict(self)
        plain["rules"] = [
            {"kind": type(rule).__name__, **fields}
            for rule, fields in zip(self.rules, plain["rules"], strict=True)
        ]
        return plain


def _as_array(tensor: TensorContract, value: Any) -> np.ndarray:
    """A request's value as an array of exactly the contract's dtype."""
    expected = tensor.numpy_dtype
    if expected.hasobject:
        return _as_bytes(tensor, value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidInputError(
            f"{tensor.name}: expected an array, got rows of unequal length"
        ) from error
    if isinstance(value, np.ndarray | np.generic):
        if array.dtype != expected:
            raise InvalidInputError(
                f"{tensor.name}: expected {tensor.dtype}, got {array.dtype}; "
                f'pass {tensor.name}.astype("{tensor.dtype}")'
            )
        return array
    kinds = "iu" if expected.kind in "iu" else "iuf"
    if array.dtype.kind not in kinds and array.size:
        raise InvalidInputError(
            f"{tensor.name}: expected {tensor.dtype}, got {type(value).__name__} {value!r:.40}"
        )
    with np.errstate(over="ignore"):
        try:
            return np.asarray(value, expected)
        except OverflowError as error:
            raise InvalidInputError(
                f"{tensor.name}: expected {tensor.dtype}, got {value!r:.40}, which it cannot hold"
            ) from error


def _as_bytes(tensor: TensorContract, value: Any) -> np.ndarray:
    """A request's byte strings as an array of `bytes` objects.

    NumPy's own byte strings (dtype `S`) lose zero bytes at their end, hence objects.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        raise InvalidInputError(
            f"{tensor.name}: expected an array of bytes objects, got {value.dtype}; "
            f"pass a list of bytes, or an array with dtype object"
        )
    items = value if isinstance(value, np.ndarray) else _objects(value)
    for item in items.flat:
        if not isinstance(item, bytes):
            raise InvalidInputError(
                f"{tensor.name}: expected bytes, got {type(item).__name__} {item!r:.40}; "
                f"pass the file's content, such as Path(name).read_bytes()"
            )
    return items


def _objects(value: Any) -> np.ndarray:
    """A list of byte strings, or one byte string, as an array of objects."""
    if not isinstance(value, list | tuple):
        one = np.empty((), object)
        one[()] = value
        return one
    array = np.empty(len(value), object)
    array[:] = value
    return array


@dataclass(frozen=True)
class ModelContract:
    """A model family: its servable name and its signatures.

    Attributes:
      name: The servable's name, also the folder in the model root.
      signatures: Each under its own name.
      default: The signature that is also exported as `serving_default`.
      options: Names and values of what was chosen at export; they make the contract again.
    """

    name: str
    signatures: tuple[SignatureContract, ...]
    default: str
    options: tuple[tuple[str, Any], ...] = ()

    def signature(self, name: str = DEFAULT_SIGNATURE) -> SignatureContract:
        """The contract behind a signature key, `serving_default` included.

        Raises:
          InvalidInputError: There is none; the sentence lists those that exist.
        """
        wanted = self.default if name == DEFAULT_SIGNATURE else name
        for contract in self.signatures:
            if contract.name == wanted:
                return contract
        known = ", ".join(self.signature_keys())
        raise InvalidInputError(f"{self.name}: no signature named {name!r}; expected {known}")

    @property
    def has_row_form(self) -> bool:
        """Whether requests can be written as rows: axis 0 of everything is the sample."""
        return all(
            tensor.shape[:1] == ("samples",)
            for contract in self.signatures
            for tensor in (*contract.inputs, *contract.outputs)
        )

    def signature_keys(self) -> tuple[str, ...]:
        """All signature keys of the SavedModel, `serving_default` last."""
        return (*(contract.name for contract in self.signatures), DEFAULT_SIGNATURE)

    def as_dict(self) -> dict[str, Any]:
        """The contract as plain data for the manifest."""
        return {
            "name": self.name,
            "default": self.default,
            "options": dict(self.options),
            "signatures": [contract.as_dict() for contract in self.signatures],
        }
