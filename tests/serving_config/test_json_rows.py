"""The row form without a server: arrays in, texts out, complaints in the stock server's words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from serving_config.embedded.failures import StatusError
from serving_config.embedded.json_rows import row_inputs, row_reply
from serving_config.embedded.servable import InputSlot, Signature
from serving_config.tensor_types import TENSOR_TYPES

NUMBERS = {kind.name: kind.number for kind in TENSOR_TYPES}
F32 = np.float32
ELEMENT = "Failed to process element: "


def signature(**types):
    slots = {alias: InputSlot(f"s_{alias}:0", NUMBERS[name]) for alias, name in types.items()}
    return Signature("s", slots, {}, {})


ONE, TWO = signature(x="float"), signature(a="float", b="int64")


@pytest.mark.parametrize(
    ("wanted", "rows", "arrays"),
    [
        (ONE, [1, 2], {"x": F32([1, 2])}),
        (ONE, [[1, 2], [3, 4]], {"x": F32([[1, 2], [3, 4]])}),
        (ONE, [[]], {"x": np.zeros((1, 0), F32)}),
        (ONE, [{"x": [1]}, {"x": [2]}], {"x": F32([[1], [2]])}),
        (TWO, [{"a": 2, "b": 3}], {"a": F32([2]), "b": np.int64([3])}),
        (TWO, [{"b": [3], "a": [[1]]}] * 2, {"a": F32([[[1]]] * 2), "b": np.int64([[3]] * 2)}),
        (signature(t="string"), ["a", {"b64": "YQ=="}], {"t": np.array([b"a", b"a"], object)}),
        (signature(t="bool"), [[True], [False]], {"t": np.array([[True], [False]])}),
        (signature(t="uint8"), [256, -1], {"t": np.uint8([0, 255])}),
    ],
)
def test_rows_to_arrays(wanted, rows, arrays):
    got = row_inputs(wanted, rows)
    assert sorted(got) == sorted(arrays)
    for alias, array in arrays.items():
        assert got[alias].dtype == array.dtype
        assert got[alias].shape == array.shape
        assert got[alias].tolist() == array.tolist()


@pytest.mark.parametrize(
    ("wanted", "rows", "text"),
    [
        (TWO, [[1]],
         "instances is a plain list, but expecting list of objects as multiple input tensors "
         "required as per tensorinfo_map"),
        (TWO, [{"a": 1}],
         ELEMENT + '0 of \'instances\' list. JSON object: {\n    "a": 1\n} keys must be equal to: a,b'),
        (TWO, [{"a": 1, "b": 2}, {"a": 1}],
         ELEMENT + '1 of \'instances\' list. JSON object: {\n    "a": 1\n} keys must be equal to: a,b'),
        (TWO, [{"a": 1, "b": 2, "c": 3}],
         ELEMENT + "0 key: c of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not "
         "have named input: c"),
        (TWO, [{"a": 1, "b": 2}, 3], "Expecting object but got list at item 1 of input list"),
        (TWO, [{"a": [1, 2, 3], "b": 2}, {"a": [1, 2], "b": 2}],
         ELEMENT + "1 key: a of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: "
         "3 but got: 2"),
        (ONE, [1, {"x": 1}], "Expecting value/list but got object at item 1 of input list"),
        (ONE, [{}],
         ELEMENT + "0 of 'instances' list. JSON object: {} keys must be equal to: x"),
        (ONE, [[[1, 2]], [[1], [2]]],
         ELEMENT + "1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [1,2] but "
         "got: [2,1]"),
        (ONE, [1, [2]],
         ELEMENT + "1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [] but got: [1]"),
        (ONE, [[[1, 2], [1]]],
         ELEMENT + "0 of 'instances' list. Error: INVALID_ARGUMENT: Encountered list at unexpected "
         "size: 1 at level: 1 expected size: 2"),
        (ONE, [[1, [2]]],
         ELEMENT + "0 of 'instances' list. Error: INVALID_ARGUMENT: Encountered list at unexpected "
         "level: 1 expected < 1"),
        (ONE, [[[1], 2]],
         ELEMENT + "0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 2 found at "
         "incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        (ONE, ["a"],
         ELEMENT + "0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"a\" Type: String "
         "is not of expected type: float"),
        (ONE, [None],
         ELEMENT + "0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: null Type: Null "
         "is not of expected type: float"),
        (signature(x="half"), [1],
         ELEMENT + "0 of 'instances' list. Error: UNIMPLEMENTED: Conversion of JSON Value: 1 to "
         "type: half"),
        (signature(n="int64"), [1.0],
         ELEMENT + "0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 1.0 Type: Number "
         "is not of expected type: int64"),
        (signature(t="string"), [{"b64": "!"}],
         ELEMENT + "0 of 'instances' list. Error: INVALID_ARGUMENT: Unable to base64 decode"),
    ],
)  # fmt: skip
def test_rows_that_are_refused(wanted, rows, text):
    with pytest.raises(StatusError) as caught:
        row_inputs(wanted, rows)
    assert (caught.value.code, caught.value.text) == ("INVALID_ARGUMENT", text)


def lines(*texts):
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"y": F32([6])}, lines("{", '    "predictions": [6.0', "    ]", "}")),
        ({"y": F32([[1, 0.970742822], [2, 3]])},
         lines("{", '    "predictions": [[1.0, 0.970742822], [2.0, 3.0]', "    ]", "}")),
        ({"y": np.zeros((2, 0), F32)}, lines("{", '    "predictions": [[], []', "    ]", "}")),
        ({"y": np.zeros((0, 3), F32)}, lines("{", '    "predictions": []', "}")),
        ({"y": F32([[1, 2]]), "z": np.int64([8])},
         lines("{", '    "predictions": [', "        {", '            "y": [1.0, 2.0],',
               '            "z": 8', "        }", "    ]", "}")),
        ({"y": F32([1, 2]), "z": F32([3, 4])},
         lines("{", '    "predictions": [', "        {", '            "y": 1.0,',
               '            "z": 3.0', "        },", "        {", '            "y": 2.0,',
               '            "z": 4.0', "        }", "    ]", "}")),
        ({"t_bytes": np.array([b"a", b"b"], object)},
         lines("{", '    "predictions": [{', '            "b64": "YQ=="', "        }, {",
               '            "b64": "Yg=="', "        }", "    ]", "}")),
        ({"t": np.array([b"a"], object), "t_bytes": np.array([b"a"], object)},
         lines("{", '    "predictions": [', "        {", '            "t": "a",',
               '            "t_bytes": {', '                "b64": "YQ=="', "            }",
               "        }", "    ]", "}")),
        ({"t": np.array([b"100%s"], object)}, lines("{", '    "predictions": ["100%s"', "    ]", "}")),
    ],
    ids=["scalars", "rows", "empty rows", "no rows", "two outputs", "two rows", "bytes",
         "bytes beside text", "percent"],
)  # fmt: skip
def test_replies(outputs, text):
    assert row_reply(outputs).decode() == text
    assert "predictions" in json.loads(text)


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"y": F32(3)}, "Tensor name: y has no shape information "),
        ({"y": F32([1, 2]), "z": F32([1])},
         "Tensor name: z has inconsistent batch size: 1 expecting: 2"),
        ({"y": np.float16([1])}, "Failed to write JSON value for tensor type: half"),
    ],
)  # fmt: skip
def test_replies_that_cannot_be_written(outputs, text):
    with pytest.raises(StatusError) as caught:
        row_reply(outputs)
    assert (caught.value.code, caught.value.text) == ("INVALID_ARGUMENT", text)
