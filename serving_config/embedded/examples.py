"""Classify, Regress and MultiInference: signatures whose only input is serialized Examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    regression_pb2,
)

from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.predict import DEFAULT_SIGNATURE
from serving_config.embedded.servable import Servable
from serving_config.tensor_types import type_of_dtype

# Message classes and messages of generated modules have no static types.
Message = Any

INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"
_CLASSIFY, _REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def classify(servable: Servable, request: Message, *, timeout_ms: int = 0) -> Message:
    """Answers a ClassificationRequest.

    Raises:
      StatusError: With the stock server's code and text.
    """
    key = request.model_spec.signature_name or DEFAULT_SIGNATURE
    _check_classify(_definition(servable, key))
    response = classification_pb2.ClassificationResponse()
    _name_what_answered(servable, key, response.model_spec)
    wanted = [alias for alias in (CLASSES, SCORES) if alias in servable.signatures[key].outputs]
    count, outputs = _run(servable, key, request.input, wanted, timeout_ms, "Classify")
    _fill_classes(response.result, count, outputs)
    return response


def regress(servable: Servable, request: Message, *, timeout_ms: int = 0) -> Message:
    """Answers a RegressionRequest.

    Raises:
      StatusError: With the stock server's code and text.
    """
    key = request.model_spec.signature_name or DEFAULT_SIGNATURE
    _check_regress(_definition(servable, key))
    response = regression_pb2.RegressionResponse()
    _name_what_answered(servable, key, response.model_spec)
    count, outputs = _run(servable, key, request.input, [OUTPUTS], timeout_ms, "Regress")
    _fill_values(response.result, count, outputs[OUTPUTS])
    return response


def multi_inference(servable: Servable, request: Message) -> Message:
    """Answers a MultiInferenceRequest: several signatures on the same Examples.

    Raises:
      StatusError: With the stock server's code and text.
    """
    names: list[str] = []
    keys: list[str] = []
    for task in request.tasks:
        key = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if names and task.model_spec.name != names[0]:
            raise invalid_argument(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        if key in keys:
            raise invalid_argument(f"Duplicate evaluation of signature: {key}")
        names.append(task.model_spec.name)
        keys.append(key)
        if key not in servable.definitions:
            raise invalid_argument(f"Requested signature not found in model graph: {key}")
        if task.method_name == _CLASSIFY:
            _check_classify(servable.definitions[key])
        elif task.method_name == _REGRESS:
            _check_regress(servable.definitions[key])
        else:
            raise StatusError(
                "UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}"
            )
    if not _serialized(request.input):
        raise invalid_argument("Input is empty.")
    response = inference_pb2.MultiInferenceResponse()
    for task in request.tasks:
        result = response.results.add()
        if task.method_name == _CLASSIFY:
            one = classification_pb2.ClassificationRequest(
                model_spec=task.model_spec, input=request.input
            )
            answer = classify(servable, one)
            result.classification_result.CopyFrom(answer.result)
        else:
            one = regression_pb2.RegressionRequest(model_spec=task.model_spec, input=request.input)
            answer = regress(servable, one)
            result.regression_result.CopyFrom(answer.result)
        result.model_spec.CopyFrom(answer.model_spec)
    return response


def _definition(servable: Servable, key: str) -> Message:
    if key not in servable.definitions:
        raise invalid_argument(f"No signature was found with the name: {key}")
    return servable.definitions[key]


def _check_classify(definition: Message) -> None:
    if len(definition.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(definition.outputs) not in (1, 2):
        raise invalid_argument(
            f"Expected one or two output Tensors, found {len(definition.outputs)}"
        )
    if INPUTS not in definition.inputs:
        raise invalid_argument(f"No classification inputs found in SignatureDef: {definition}")
    if CLASSES not in definition.outputs and SCORES not in definition.outputs:
        raise invalid_argument(
            "Expected classification signature outputs to contain at least one of "
            f'"{CLASSES}" or "{SCORES}". Signature was: {definition}'
        )


def _check_regress(definition: Message) -> None:
    if len(definition.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(definition.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    if INPUTS not in definition.inputs:
        raise invalid_argument(f"No regression inputs found in SignatureDef: {definition}")
    if OUTPUTS not in definition.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {definition}")


def _name_what_answered(servable: Servable, key: str, spec: Message) -> None:
    spec.name = servable.name
    spec.version.value = servable.version
    spec.signature_name = key


def _run(
    servable: Servable,
    key: str,
    given: Message,
    outputs: Sequence[str],
    timeout_ms: int,
    api: str,
) -> tuple[int, dict[str, np.ndarray]]:
    texts = _serialized(given)
    if not texts:
        raise invalid_argument("Input is empty.")
    vector = np.empty(len(texts), object)
    vector[:] = texts
    signature = servable.signatures[key]
    inputs = {INPUTS: vector}
    return len(texts), servable.run(signature, inputs, outputs, timeout_ms=timeout_ms, api=api)


def _serialized(given: Message) -> list[bytes]:
    """Every Example as bytes; those of a common context begin with the context's bytes."""
    if given.WhichOneof("kind") == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        found = given.example_list_with_context.examples
        return [context + example.SerializeToString() for example in found]
    return [example.SerializeToString() for example in given.example_list.examples]


def _fill_classes(result: Message, count: int, outputs: dict[str, np.ndarray]) -> None:
    for name, array in outputs.items():
        wanted = "DT_STRING" if name == CLASSES else "DT_FLOAT"
        if array.ndim != 2:
            raise invalid_argument(
                f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}"
            )
        if _type_name(array) != wanted:
            raise invalid_argument(f"Expected {name} Tensor of {wanted}. Got: {_type_name(array)}")
        if len(array) != count:
            raise invalid_argument(
                f"Expected {name} output batch size of {count}. Got: {len(array)}"
            )
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            "Tensors class and score should match in dim_size(1). Got "
            f"{classes.shape[1]} vs. {scores.shape[1]}"
        )
    width = max(array.shape[1] for array in outputs.values())
    for row in range(count):
        answer = result.classifications.add()
        for column in range(width):
            one = answer.classes.add()
            if classes is not None:
                one.label = classes[row, column]
            if scores is not None:
                one.score = scores[row, column]


def _fill_values(result: Message, count: int, array: np.ndarray) -> None:
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_shape(array)}"
        )
    if len(array) != count:
        raise invalid_argument(
            f"Input batch size did not match output batch size: {count} vs. {len(array)}"
        )
    if _type_name(array) != "DT_FLOAT":
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {_type_name(array)}")
    for value in array.reshape(-1).tolist():
        result.regressions.add().value = value


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _type_name(array: np.ndarray) -> str:
    return f"DT_{type_of_dtype(array.dtype).name.upper()}"
