"""The paths of the REST interface, and what they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from serving_config.embedded.failures import invalid_argument
from serving_config.wire import ModelQuery

STATUS, METADATA = "status", "metadata"
PREDICT, CLASSIFY, REGRESS = "predict", "classify", "regress"

API_PATH = re.compile(r"/v1/.*", re.IGNORECASE)
_WHICH = r"(?:(?:/versions/(?P<version>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_POST_PATH = re.compile(
    rf"/v1/models/(?P<model>[^/:]+){_WHICH}:(?P<method>{CLASSIFY}|{REGRESS}|{PREDICT})",
    re.IGNORECASE | re.ASCII,
)
_GET_PATH = re.compile(
    rf"/v1/models(?:/(?P<model>[^/:]+))?{_WHICH}(?:/(?P<method>{METADATA}))?",
    re.IGNORECASE | re.ASCII,
)
_PATTERNS = {"POST": _POST_PATH, "GET": _GET_PATH}
_INT64_MAX = 2**63 - 1


@dataclass(frozen=True)
class Target:
    """What a path means.

    Attributes:
      query: The model, and its version or label.
      method: One of the constants above.
    """

    query: ModelQuery
    method: str


class EmptyRefusalError(Exception):
    """A 400 without a body: the stock server forgets to write one here."""


def counted_names(http_method: str, path: str) -> tuple[str, str]:
    """The model and the method that a request is counted under, empty if it has none."""
    pattern = _PATTERNS.get(http_method)
    match = pattern.fullmatch(path) if pattern is not None else None
    if match is None:
        return "", ""
    method = match["method"] if http_method == "POST" else ""
    return unquote(match["model"] or ""), method


def target_of(http_method: str, path: str) -> Target:
    """What is asked for.

    Raises:
      StatusError: The path or the method is none of the API's.
      EmptyRefusalError: The version does not fit 64 bits.
    """
    pattern = _PATTERNS.get(http_method)
    match = pattern.fullmatch(path) if pattern is not None else None
    if match is None:
        raise invalid_argument(f"Malformed request: {http_method} {path}")
    version = int(match["version"]) if match["version"] else None
    if version is not None and version > _INT64_MAX:
        raise EmptyRefusalError
    label = unquote(match["label"]) if match["label"] else None
    query = ModelQuery(unquote(match["model"] or ""), version=version, label=label)
    if not query.name:
        raise invalid_argument("Missing model name in request.")
    return Target(query, (match["method"] or STATUS).lower())
