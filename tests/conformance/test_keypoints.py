"""The product's own family behind a server: batch sizes, row form, refusals, pictures."""

from __future__ import annotations

import base64

import numpy as np
import tensorflow as tf

from .cases import F32, F64, INVALID, NODE, GrpcCase, RestCase, each, pattern, predict

PATH = "/v1/models/keypoints:predict"
# One bright pixel per channel, the second one below the threshold.
MAP = np.zeros([3, 4, 3], F32)
MAP[1, 2, 0], MAP[0, 3, 1], MAP[2, 0, 2] = 0.75, 0.25, 1.0
POINTS, CONFIDENCES, VALID = [[4, 2], [0, 0], [0, 4]], [0.75, 0, 1], [True, False, True]
ROW = {"points": [[4.0, 2.0], [0.0, 0.0], [0.0, 4.0]], "confidences": [0.75, 0.0, 1.0]}
ROW["valid"] = VALID
IMAGE = np.zeros([6, 8, 3], np.uint8)
IMAGE[2, 4, 0], IMAGE[0, 6, 1], IMAGE[4, 0, 2] = 255, 51, 255
IN_IMAGE = [1, 0, 1]
PNG = tf.io.encode_png(IMAGE).numpy()
BAD = b"no picture"


def answers(count, confidences=CONFIDENCES):
    """The outputs for so many samples."""
    return {
        "points": np.tile(F32(POINTS), (count, 1, 1)),
        "confidences": np.tile(F32(confidences), (count, 1)),
        "valid": np.tile(VALID, (count, 1)),
    }


def ask(signature=None, **inputs):
    return predict(signature, model="keypoints", **inputs)


def maps(count):
    return np.tile(MAP, (count, 1, 1, 1))


def base64_of(content):
    return {"b64": base64.b64encode(content).decode()}


NOTHING = {
    "points": np.zeros([1, 3, 2], F32),
    "confidences": np.zeros([1, 3], F32),
    "valid": np.zeros([1, 3], bool),
}
WRONG = "Shape of tensor … is not compatible with expected shape "

GRPC = [
    *(
        GrpcCase(f"{count}-samples", f"{count} samples, at most 4 of which make a batch",
                 ask(confmaps=maps(count)), outputs=answers(count))
        for count in (0, 1, 3, 4, 5, 9)
    ),
    GrpcCase("quantized", "maps of bytes", ask("quantized", confmaps=np.uint8(maps(2) * 255)),
             outputs=answers(2, F32([191, 0, 255]) / F32(255))),
    GrpcCase("images", "images of bytes, more than a batch",
             ask("images", images=np.tile(IMAGE, (6, 1, 1, 1))), outputs=answers(6, IN_IMAGE)),
    GrpcCase("encoded-images", "a picture that is none spoils its row only",
             ask("encoded_images", encoded_images=np.array([PNG, BAD, PNG], object)),
             outputs={
                 name: np.concatenate([values[:1], NOTHING[name], values[:1]])
                 for name, values in answers(1, IN_IMAGE).items()
             }),
    GrpcCase("no-pictures", "no pictures at all",
             ask("encoded_images", encoded_images=np.array([], object)), outputs=answers(0)),
    GrpcCase("other-map-size", "maps of another size than the batch's",
             ask(confmaps=np.zeros([1, 3, 5, 3], F32)), INVALID,
             pattern(WRONG + "[?,3,4,3]." + NODE)),
    GrpcCase("other-image-size", "images of another size than the batch's",
             ask("images", images=np.zeros([1, 6, 9, 3], np.uint8)), INVALID,
             pattern(WRONG + "[?,6,8,3]." + NODE)),
    GrpcCase("double-maps", "maps of another dtype", ask(confmaps=F64(maps(1))), INVALID,
             "Expects arg[0] to be float but double is provided"),
    GrpcCase("float-images", "images of another dtype",
             ask("images", images=np.zeros([1, 6, 8, 3], F32)), INVALID,
             "Expects arg[0] to be uint8 but float is provided"),
]  # fmt: skip

REST = [
    RestCase("rows", "one object per sample",
             {"instances": [{"confmaps": MAP.tolist()}] * 2},
             answer={"predictions": [ROW, ROW]}, path=PATH),
    RestCase("plain-rows", "one map per sample, without a name",
             {"instances": [MAP.tolist()]}, answer={"predictions": [ROW]}, path=PATH),
    RestCase("columns", "the columnar form",
             {"inputs": {"confmaps": [MAP.tolist()]}},
             answer={"outputs": {name: [value] for name, value in ROW.items()}}, path=PATH),
    RestCase("more-rows-than-a-batch", "six rows",
             {"instances": [MAP.tolist()] * 6}, answer={"predictions": [ROW] * 6}, path=PATH),
    RestCase("base64-rows", "pictures in base64, one of which is none",
             {"signature_name": "encoded_images",
              "instances": [{"encoded_images": base64_of(content)} for content in (PNG, BAD)]},
             answer={"predictions": [
                 {**ROW, "confidences": [1.0, 0.0, 1.0]},
                 {"points": [[0.0, 0.0]] * 3, "confidences": [0.0] * 3, "valid": [False] * 3},
             ]}, path=PATH),
    RestCase("bad-base64", "what is no base64 is refused before it is decoded",
             {"signature_name": "encoded_images", "instances": [{"b64": "*"}]}, 400,
             pattern("…Unable to base64 decode"), path=PATH),
    RestCase("other-map-size", "a map of another size",
             {"instances": [[[[0] * 3] * 5] * 3]}, 400,
             pattern(WRONG + "[?,3,4,3]." + NODE), path=PATH),
    RestCase("no-rows", "no rows", {"instances": []}, 400,
             'JSON Value: {\n    "instances": []\n} No values in \'instances\' array', path=PATH),
]  # fmt: skip


@each(GRPC)
def test_over_grpc(endpoint, case):
    case.check(endpoint)


@each(REST)
def test_over_rest(endpoint, case):
    case.check(endpoint)
