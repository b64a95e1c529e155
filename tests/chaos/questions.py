"""Requests whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from export.case import Case
from export.comparison import compare
from export.eager import Eager
from export.maps import draw_maps
from serving_config.rest_json import predict_body
from serving_config.wire import ModelQuery, predict_request
from signatures.contract import ModelContract, SignatureContract, peak_ops_contract
from signatures.keypoints import Keypoints

from .models import KEYPOINT_OPTIONS, KEYPOINTS, PEAK_OPS, STAMPED, answer_of
from .tally import Allowed, WrongAnswerError


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
      version: Which version says that it answered, `None` where the transport does not say.
      outputs: Name to array.
    """

    version: int | None
    outputs: Mapping[str, np.ndarray]


# Names what answered, given the answer and when the question was sent.
Judge = Callable[[Answer, float], str]


@dataclass(frozen=True)
class Question:
    """One request, and who may answer it what.

    Attributes:
      model: The servable.
      signature: The signature's key.
      inputs: Name to array.
      label: The version's label; the latest version if `None`.
      judge: Raises WrongAnswerError.
      contract: What REST replies are read with.
    """

    model: str
    signature: str
    inputs: Mapping[str, np.ndarray]
    label: str | None
    judge: Judge
    contract: SignatureContract | None = None

    def __str__(self) -> str:
        """What is asked, without the values."""
        sizes = ", ".join(str(list(array.shape)) for array in self.inputs.values())
        return f"{self.model} {self.label or 'latest'} {self.signature} {sizes}"

    @cached_property
    def grpc_bytes(self) -> bytes:
        """The PredictRequest."""
        query = ModelQuery(self.model, label=self.label, signature=self.signature)
        return predict_request(query, self.inputs)

    @cached_property
    def rest_bytes(self) -> bytes:
        """The columnar JSON body."""
        return predict_body(self.signature, self.inputs)

    @property
    def rest_path(self) -> str:
        """Where the body goes."""
        label = f"/labels/{self.label}" if self.label else ""
        return f"/v1/models/{self.model}{label}:predict"


def stamped_questions(
    allowed: Mapping[str | None, Allowed],
    signature: str = "serving_default",
    model: str = STAMPED,
) -> list[Question]:
    """Questions to a stamped model: by label, and for the latest version."""
    values = np.random.default_rng(0).integers(-1000, 1000, [8, 3]).astype(np.float32)

    def question(label: str | None, x: np.ndarray) -> Question:
        def judge(answer: Answer, begin: float) -> str:
            (stamp,) = {int(number) for number in answer.outputs["version"]}
            if answer.version not in (None, stamp):
                raise WrongAnswerError(f"version {answer.version} answered as {stamp}")
            expected = [answer_of(stamp, float(value)) for value in x]
            if [float(value) for value in answer.outputs["y"]] != expected:
                raise WrongAnswerError(
                    f"{model} {stamp}: {x} gave {answer.outputs['y']}, not {expected}"
                )
            if stamp not in (may := allowed[label].since(begin)):
                may_text = f"{label or 'latest'} of {model} was {sorted(may)}"
                raise WrongAnswerError(f"{may_text}, {stamp} answered")
            return f"{model} {stamp}"

        return Question(model, signature, {"x": x}, label, judge)

    return [question(label, x) for x in values for label in allowed]


class Eagerly:
    """The expected outputs of a contract's signature."""

    def __init__(self, contract: ModelContract) -> None:
        self._contract = contract
        self._eager = Eager(contract)

    def expected(self, key: str, inputs: Mapping[str, np.ndarray]) -> Callable[[Answer], bool]:
        """Whether an answer is what eager gives."""
        outputs = self._eager(Case(key, "", dict(inputs))).outputs
        tolerance = self._contract.signature(key).tolerance
        bits = {name: values.tobytes() for name, values in outputs.items()}

        def matches(answer: Answer) -> bool:
            if answer.outputs.keys() != outputs.keys():
                return False
            return all(
                got.tobytes() == bits[name] or compare(outputs[name], got, tolerance).matches
                for name, got in answer.outputs.items()
            )

        return matches


def keypoints_questions(
    allowed: Mapping[str | None, Allowed], keys: Iterable[str] = ("keypoints", "local_peaks")
) -> list[Question]:
    """Questions to the model family `keypoints`, whose versions answer differently in turn."""
    contracts = [Keypoints(options).contract for options in KEYPOINT_OPTIONS]
    eagers = [Eagerly(contract) for contract in contracts]
    maps = draw_maps(4, 16, 20, 3)[0]

    def question(
        label: str | None, key: str, confmaps: np.ndarray, matches: list[Callable[[Answer], bool]]
    ) -> Question:
        def judge(answer: Answer, begin: float) -> str:
            may = allowed[label].since(begin)
            if answer.version is not None:
                may &= {answer.version}
            # Versions with the same options answer alike.
            for version in sorted(may):
                if matches[version % 2](answer):
                    return f"{KEYPOINTS} {version % 2 or 2}"
            raise WrongAnswerError(f"{KEYPOINTS} {answer.version}, {key}: not what {may} answers")

        contract = contracts[0].signature(key)
        return Question(KEYPOINTS, key, {"confmaps": confmaps}, label, judge, contract)

    questions = []
    for index in range(3):
        confmaps = maps[index : index + 1 + index % 2]
        for key in keys:
            matches = [eager.expected(key, {"confmaps": confmaps}) for eager in eagers]
            questions += [question(label, key, confmaps, matches) for label in allowed]
    return questions


def peak_ops_questions() -> list[Question]:
    """Questions to the model family `peak_ops`, which no run changes."""
    contract = peak_ops_contract()
    eager = Eagerly(contract)
    imgs = draw_maps(2, 24, 18, 2)[0]
    rows = np.array([[0, 0, 0, 0], [1, 23, 17, 1], [0, 11, 9, 1]], np.float32)
    cases: dict[str, dict[str, Any]] = {
        "refine_peaks_local_direction": {"imgs": imgs, "peaks": rows, "delta": np.float32(0.25)},
        "crop_centered_boxes": {"imgs": imgs, "peaks": rows, "window_length": np.int64(5)},
        "find_global_peaks": {"imgs": imgs},
    }

    def question(key: str, inputs: dict[str, np.ndarray]) -> Question:
        matches = eager.expected(key, inputs)

        def judge(answer: Answer, begin: float) -> str:
            if answer.version not in (None, 1) or not matches(answer):
                raise WrongAnswerError(f"{PEAK_OPS} {answer.version}, {key}: not what eager gives")
            return PEAK_OPS

        return Question(PEAK_OPS, key, inputs, None, judge, contract.signature(key))

    return [
        question(key, {name: np.asarray(value) for name, value in inputs.items()})
        for key, inputs in cases.items()
    ]
