"""Model status over gRPC and REST."""

from __future__ import annotations

import pytest
from tensorflow_serving.apis import get_model_status_pb2

from .cases import INVALID, MISSING, RestCase, each

AVAILABLE = ("AVAILABLE", "OK", "")


def entry(version: int) -> str:
    return (
        f'  {{\n   "version": "{version}",\n   "state": "AVAILABLE",\n'
        '   "status": {\n    "error_code": "OK",\n    "error_message": ""\n   }\n  }'
    )


def report(*versions: int) -> str:
    return '{\n "model_version_status": [\n' + ",\n".join(map(entry, versions)) + "\n ]\n}\n"


def get(name: str, what: str, path: str, status: int = 200, **more) -> RestCase:
    return RestCase(name, what, None, status, method="GET", path=path, **more)


REST = [
    get("model", "the layout, with a line end", "/v1/models/m", answer=report(1)),
    get("newest-first", "the newest version comes first", "/v1/models/a", answer=report(2, 1)),
    get("version", "one version", "/v1/models/a/versions/1", answer=report(1)),
    get("label", "a label is not looked at: all versions", "/v1/models/a/labels/stable",
        answer=report(2, 1)),
    get("unknown-label", "nor need it exist", "/v1/models/a/labels/nope", answer=report(2, 1)),
    get("unknown-version", "a version that was never seen", "/v1/models/m/versions/9", 404,
        error="Could not find version 9 of model m"),
    get("unknown-model", "a model that is not hosted", "/v1/models/nope", 404,
        error="Could not find any versions of model nope"),
]  # fmt: skip


@each(REST)
def test_rest(endpoint, case):
    case.check(endpoint)


def ask(endpoint, name=None, version=None, label=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    if name is not None:
        request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    return endpoint.grpc(endpoint.models.GetModelStatus, request)


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        ({"name": "nope"}, MISSING, "Could not find any versions of model nope"),
        ({"name": "m", "version": 9}, MISSING, "Could not find version 9 of model m"),
        ({}, INVALID, "Missing ModelSpec"),
    ],
    ids=["unknown-model", "unknown-version", "no-model-spec"],
)
def test_grpc_refusals(endpoint, asked, code, text):
    reply = ask(endpoint, **asked)
    assert (reply.code, reply.text) == (code, text)


@pytest.mark.parametrize(
    ("asked", "versions"),
    [
        ({"name": "a"}, [2, 1]),
        ({"name": "a", "version": 1}, [1]),
        ({"name": "a", "label": "stable"}, [2, 1]),
        ({"name": "a", "label": "nope"}, [2, 1]),
    ],
    ids=["model", "version", "label", "unknown-label"],
)
def test_grpc_answers(endpoint, asked, versions):
    message = ask(endpoint, **asked).message
    assert [item.version for item in message.model_version_status] == versions
    assert {version: endpoint.versions("a")[version] for version in versions} == dict.fromkeys(
        versions, AVAILABLE
    )
