"""Versions by label, and a policy that serves some versions only."""

from __future__ import annotations

import pytest

from .cases import F32, INVALID, MISSING, GrpcCase, RestCase, each, predict

GRPC = [
    GrpcCase("stable", "the label of version 1", predict(model="a", label="stable", x=[1]),
             outputs={"y": F32([1])}),
    GrpcCase("canary", "the label of version 2", predict(model="a", label="canary", x=[1]),
             outputs={"y": F32([2])}),
    GrpcCase("newest", "without version and label the newest", predict(model="a", x=[1]),
             outputs={"y": F32([2])}),
    GrpcCase("version", "a version of the policy", predict(model="a", version=1, x=[1]),
             outputs={"y": F32([1])}),
    GrpcCase("outside-of-the-policy", "a version on disk that the policy leaves out",
             predict(model="a", version=3, x=[1]), MISSING,
             "Servable not found for request: Specific(a, 3)"),
    GrpcCase("unknown-label", "a label that nobody assigned",
             predict(model="a", label="nope", x=[1]), INVALID,
             "Unrecognized servable version label: nope"),
]  # fmt: skip

REST = [
    RestCase("stable", "the label of version 1", {"inputs": [1]}, answer={"outputs": [1.0]},
             path="/v1/models/a/labels/stable:predict"),
    RestCase("canary", "the label of version 2", {"inputs": [1]}, answer={"outputs": [2.0]},
             path="/v1/models/a/labels/canary:predict"),
    RestCase("newest", "without version and label the newest", {"inputs": [1]},
             answer={"outputs": [2.0]}, path="/v1/models/a:predict"),
    RestCase("outside-of-the-policy", "a version on disk that the policy leaves out",
             {"inputs": [1]}, 404, "Servable not found for request: Specific(a, 3)",
             path="/v1/models/a/versions/3:predict"),
    RestCase("unknown-label", "a label that nobody assigned", {"inputs": [1]}, 400,
             "Unrecognized servable version label: nope",
             path="/v1/models/a/labels/nope:predict"),
]  # fmt: skip


@each(GRPC)
def test_grpc(endpoint, case):
    case.check(endpoint)


@each(REST)
def test_rest(endpoint, case):
    case.check(endpoint)


@pytest.mark.parametrize(("label", "version"), [("stable", 1), ("canary", 2)])
def test_the_reply_names_the_version(endpoint, label, version):
    spec = endpoint.predict(predict(model="a", label=label, x=[1])).message.model_spec
    assert (spec.version.value, spec.version_label) == (version, "")
