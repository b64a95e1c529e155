"""A columnar `:predict` body: parsed like the stock server does, with its error texts.

python-rapidjson is a binding of the stock server's own parser, hence the same faults at the
same offsets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import rapidjson

from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.json_text import value_text

_FAULT = re.compile(r"Parse error at offset (\d+): (.*)", re.DOTALL)
_TRAILING = "The document root must not be followed by other values."
_NUMBERS = rapidjson.NM_NATIVE | rapidjson.NM_NAN


class _Parser(rapidjson.Decoder):
    """Of members with the same name the first one counts, as in the stock server."""

    def start_object(self) -> list[tuple[str, Any]]:
        """See `rapidjson.Decoder`: members are collected as pairs."""
        return []

    def end_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """See `rapidjson.Decoder`."""
        members: dict[str, Any] = {}
        for name, value in pairs:
            members.setdefault(name, value)
        return members


_PARSER = _Parser(number_mode=_NUMBERS)


@dataclass(frozen=True)
class PredictBody:
    """A parsed body.

    Attributes:
      document: The whole object.
      signature: The signature's key, empty if none was given.
    """

    document: dict[str, Any]
    signature: str

    def inputs(self) -> Any:
        """The value of `inputs`.

        Raises:
          StatusError: It is missing, or the request has `instances`.
        """
        has_inputs, has_instances = "inputs" in self.document, "instances" in self.document
        if has_instances:
            self._check_instances(has_inputs)
            raise StatusError(
                "UNIMPLEMENTED",
                "the embedded host does not serve the row form yet; send 'inputs', not 'instances'",
            )
        if not has_inputs:
            raise invalid_argument("Missing 'inputs' or 'instances' key")
        return self.document["inputs"]

    def _check_instances(self, has_inputs: bool) -> None:
        instances = self.document["instances"]
        if has_inputs:
            fault = (
                "Not formatted correctly expecting only one of 'inputs' or 'instances' keys "
                "to exist "
            )
        elif not isinstance(instances, list):
            fault = "Expecting 'instances' to be an list/array"
        elif not instances:
            fault = "No values in 'instances' array"
        else:
            return
        raise invalid_argument(f"JSON Value: {value_text(self.document)} {fault}")


def read_body(body: bytes) -> PredictBody:
    """Parses a body.

    Raises:
      StatusError: It is not a JSON object, or its signature's name is no string.
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    document = _parse(body)
    if not isinstance(document, dict):
        raise invalid_argument(f"JSON Value: {value_text(document)} Is not object")
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise invalid_argument(
            f"JSON Value: {value_text(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return PredictBody(document, signature)


def _parse(body: bytes) -> Any:
    try:
        return _PARSER(body)
    except rapidjson.JSONDecodeError as error:
        match = _FAULT.match(str(error))
        if match is None:
            raise invalid_argument(f"JSON Parse error: {error}") from error
        offset, text = int(match[1]), match[2]
        if text == _TRAILING:
            # The stock server stops reading where the first value ends.
            return _parse(body[:offset])
        raise invalid_argument(f"JSON Parse error: {text} at offset: {offset}") from error
    except RecursionError as error:
        raise invalid_argument("JSON Parse error: nested too deeply.") from error
    except UnicodeDecodeError as error:
        raise invalid_argument(
            f"JSON Parse error: Invalid encoding in string. at offset: {error.start}"
        ) from error
