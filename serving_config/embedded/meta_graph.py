"""Reading `saved_model.pb`: the graph to serve, or what the stock server says instead."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from serving_config.embedded.failures import StatusError

SERVE_TAG = "serve"
MODEL_FILE = "saved_model.pb"
_VARINT, _FIXED64, _LENGTH, _START_GROUP, _END_GROUP, _FIXED32 = range(6)
_READ_AHEAD = 16
_LONGEST_VARINT = 10


def read_meta_graph(directory: Path) -> meta_graph_pb2.MetaGraphDef:
    """The `serve` graph of a version directory.

    Raises:
      StatusError: There is none that can be read.
    """
    path = directory / MODEL_FILE
    if not path.is_file():
        raise StatusError(
            "NOT_FOUND",
            "Specified file path does not appear to contain a SavedModel bundle (should have a "
            f"file called `{MODEL_FILE}`)\nSpecified file path: {directory}",
        )
    saved_model = saved_model_pb2.SavedModel()
    try:
        content = path.read_bytes()
        saved_model.ParseFromString(content)
    except OSError as error:
        raise StatusError("FAILED_PRECONDITION", f"{path}; {error.strerror}") from error
    except DecodeError as error:
        if ends_early(content):
            raise StatusError("OUT_OF_RANGE", "Read less bytes than requested") from error
        raise StatusError("DATA_LOSS", f"Can't parse {path} as binary proto") from error
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == {SERVE_TAG}:
            return meta_graph
    raise StatusError(
        "NOT_FOUND",
        f"Could not find meta graph def matching supplied tags: {{ {SERVE_TAG} }}. To inspect "
        "available tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
    )


def ends_early(message: bytes) -> bool:
    r"""Whether the runtime reaches the end of a malformed message before it finds the fault.

    That is so of a file that is still being copied, and of a fault in the last few bytes, since
    the runtime's parser reads ahead.

    >>> ends_early(bytes([0x12, 5, 1])), ends_early(b"\xff"), ends_early(b"\xff" * 100)
    (True, True, False)
    """
    position = 0
    try:
        while position < len(message):
            tag, position = _varint(message, position)
            if not tag or tag & 7 == _END_GROUP:
                return False
            if tag & 7 == _LENGTH:
                size, position = _varint(message, position)
                position += size
            elif tag & 7 == _VARINT:
                _, position = _varint(message, position)
            elif tag & 7 in (_FIXED64, _FIXED32):
                position += 8 if tag & 7 == _FIXED64 else 4
            elif tag & 7 != _START_GROUP:
                break
    except IndexError:
        return True
    except ValueError:
        pass
    return position > len(message) or len(message) <= _READ_AHEAD


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        byte = message[position + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, position + place + 1
    raise ValueError("a number of more than ten bytes")
