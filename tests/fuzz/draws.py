"""Requests drawn at random from the contracts: most of them nearly right, some far off.

A request is a function of its surface's seed and its number, so that a failing one can be drawn
again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from export.image_cases import jpeg, png
from signatures.contract import SignatureContract, TensorContract

SUBNORMAL = np.float32(1e-40)
VALUES = np.float32(
    [0, -0.0, np.nan, np.inf, -np.inf, 1e-45, SUBNORMAL, 1.17549435e-38, 1e30, -3.4e38, 1, 0.5, -1]
)
PLACES = np.float32(
    [
        *(0, 0.4, 0.5, 0.6, 1, 1.5, 2, 2.5, -0.4, -0.5, -0.6, -1, -2, 7, 8, 9, 1e9, -1e9, 1e30),
        *(16777217, np.nan, np.inf, -np.inf, SUBNORMAL),
    ]
)
WHOLE = np.int64(
    [
        -(2**63),
        -(2**31),
        -1,
        0,
        1,
        2,
        3,
        4,
        5,
        7,
        8,
        21,
        22,
        127,
        128,
        129,
        130,
        2**31,
        2**62,
        2**63 - 1,
    ]
)
SCALES = np.float32(
    [1, 0.25, 0.3, 1e-3, 9.9e-4, 1e6, 1.1e6, 0, -1, np.nan, np.inf, SUBNORMAL, 3e38]
)
SIZES = (0, 1, 1, 2, 3, 5, 8)
OTHER_DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool", "float16")


@dataclass(frozen=True)
class Drawn:
    """One request.

    Attributes:
      signature: The signature's key.
      inputs: Name to array.
      fits: Whether dtypes, ranks and fixed sizes are those of the contract.
    """

    signature: str
    inputs: dict[str, np.ndarray] = field(repr=False)
    fits: bool

    def __repr__(self) -> str:
        """Short, with what matters of the inputs."""
        about = {
            name: f"{value.dtype}{list(value.shape)} {value.reshape(-1)[:6].tolist()!r:.120}"
            for name, value in self.inputs.items()
        }
        return f"{self.signature} {about} fits={self.fits}"


def draw(
    random: np.random.Generator, contract: SignatureContract, key: str, *, json: bool
) -> Drawn:
    """One request of a signature.

    Args:
      random: Where chance comes from.
      contract: The signature's.
      key: The signature's key, `serving_default` for the default one.
      json: Whether it must have a JSON form that keeps it: no empty tensors, no subnormals, and
        no dtypes that JSON does not tell apart.
    """
    sizes: dict[str, int] = {}
    inputs = {
        tensor.name: draw_array(random, tensor, sizes, json=json) for tensor in contract.inputs
    }
    fits = True
    if random.random() < 0.15:
        tensor = contract.inputs[random.integers(len(contract.inputs))]
        value = inputs[tensor.name]
        change = random.integers(3 if json else 4)
        if change == 0:
            value = value[None]
        elif change == 1 and tensor.rank and len(value):
            value = value[0] if tensor.rank > 1 or not value.dtype.hasobject else value[None]
        elif change == 2 and tensor.rank:
            value = np.concatenate([value, value], axis=random.integers(tensor.rank))
        elif change == 3:
            dtype = OTHER_DTYPES[random.integers(len(OTHER_DTYPES))]
            value = np.zeros(value.shape, dtype) if value.dtype.hasobject else cast(value, dtype)
        inputs[tensor.name] = np.asarray(value)
        fits = has_form(tensor, inputs[tensor.name])
    return Drawn(key, inputs, fits)


def cast(value: np.ndarray, dtype: str) -> np.ndarray:
    """Any values of another dtype."""
    with np.errstate(all="ignore"):
        return value.astype(dtype)


def has_form(tensor: TensorContract, value: np.ndarray) -> bool:
    """Whether dtype, rank and fixed sizes are the contract's."""
    return (
        value.dtype == tensor.numpy_dtype
        and value.ndim == tensor.rank
        and all(
            want in (None, got) for want, got in zip(tensor.static_shape, value.shape, strict=True)
        )
    )


def draw_array(
    random: np.random.Generator, tensor: TensorContract, sizes: dict[str, int], *, json: bool
) -> np.ndarray:
    """Values of one input with its rank and fixed sizes; named sizes agree between inputs."""

    def size_of(dimension: int | str) -> int:
        if isinstance(dimension, int):
            return dimension
        drawn = SIZES[random.integers(2 if json else 0, len(SIZES))]
        return sizes.setdefault(dimension, drawn)

    shape = tuple(size_of(dimension) for dimension in tensor.shape)
    if tensor.dtype == "string":
        return _pictures(random, shape)
    if tensor.dtype == "uint8":
        return random.integers(0, random.choice([1, 2, 256]), shape).astype(np.uint8)
    if tensor.dtype == "int64":
        return np.asarray(_one_of(random, WHOLE, np.int64([3, 5])), np.int64)
    if tensor.is_scalar:
        return _kept(np.asarray(_one_of(random, SCALES, np.float32([1, 0.5])), np.float32), json)
    if tensor.shape[1:] == (4,):
        return _kept(_rows(random, shape[0], sizes), json)
    return _kept(_maps(random, shape), json)


def _kept(values: np.ndarray, json: bool) -> np.ndarray:
    """Without subnormal numbers, which JSON servers flush."""
    if not json:
        return values
    small = (np.abs(values) < np.finfo(np.float32).tiny) & (values != 0)
    return np.where(small, np.float32(0), values).astype(np.float32)


def _one_of(random: np.random.Generator, edges: np.ndarray, usual: np.ndarray) -> object:
    return random.choice(usual if random.random() < 0.6 else edges)


def _maps(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    kind = random.integers(5)
    if kind == 0:
        return random.choice(VALUES, shape)
    if kind == 1:
        return np.full(shape, random.choice(VALUES), np.float32)
    if kind == 2:
        return random.integers(0, 4, shape).astype(np.float32) / np.float32(3)
    values = random.standard_normal(shape).astype(np.float32)
    if kind == 3 and values.size:
        values.reshape(-1)[random.integers(values.size, size=3)] = random.choice(VALUES, 3)
    return values


def _rows(random: np.random.Generator, count: int, sizes: dict[str, int]) -> np.ndarray:
    """Rows [sample, row, col, channel]: on the image or at its edges, few of them outside."""
    rows = np.zeros((count, 4), np.float32)
    for axis, name in enumerate(("samples", "height", "width", "channels")):
        size = sizes.get(name, 1)
        if axis in (1, 2):
            near = random.uniform(-2, size + 2, count)
            rows[:, axis] = np.where(random.random(count) < 0.3, random.choice(PLACES, count), near)
        elif size:
            rows[:, axis] = random.integers(0, size, count)
    if count and random.random() < 0.3:
        rows[random.integers(count), random.choice([0, 3])] = random.choice(PLACES)
    return rows


def _pictures(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    files = np.empty(shape, object)
    files.reshape(-1)[:] = [_picture(random) for _ in range(files.size)]
    return files


def _picture(random: np.random.Generator) -> bytes:
    """A small picture, changed in some way; or bytes that were never one."""
    side = int(random.integers(1, 12))
    image = random.integers(0, 256, (side, side, 3)).astype(np.uint8)
    good = (png if random.random() < 0.5 else jpeg)(image)
    kind = random.integers(7)
    if kind < 2:
        return good
    if kind == 2:
        return good[: random.integers(len(good))]
    if kind == 3:
        return random.bytes(int(random.integers(0, 200)))
    if kind == 4:
        return _MAGIC[random.integers(len(_MAGIC))] + random.bytes(60)
    if kind == 5:
        # A PNG's header announces any size at all.
        width, height = random.choice([1, 2, 9, 1000, 2**16, 2**31 - 1], 2)
        return (
            good[:16] + int(width).to_bytes(4, "big") + int(height).to_bytes(4, "big") + good[24:]
        )
    return mutated(random, good)


def mutated(random: np.random.Generator, data: bytes) -> bytes:
    """A few bytes changed, left out, doubled or put in."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 5)):
        at, kind = int(random.integers(len(changed) + 1)), random.integers(5)
        length = int(random.integers(1, 9))
        if kind == 0 and at < len(changed):
            changed[at] = random.integers(256)
        elif kind == 1:
            del changed[at : at + length]
        elif kind == 2:
            changed[at:at] = changed[at : at + length]
        elif kind == 3:
            changed[at:at] = random.bytes(length)
        else:
            changed[at:at] = _TOKENS[random.integers(len(_TOKENS))]
    return bytes(changed)


_MAGIC = (b"GIF89a", b"GIF87a", b"BM", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
# What breaks parsers: lengths without end, and what JSON and HTTP are made of.
_TOKENS: list[bytes] = [
    *(
        b"\xff" * 9 + b"\x01",
        b"\x80\x80\x80\x80\x08",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x00",
        b"\x7f",
    ),
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b",",
        b":",
        b"-",
        b"1e999",
        b"NaN",
        b"null",
        b"\\u0000",
        b"\\ud800",
    ),
    *(b"[" * 64, b"9" * 400, b"0.", b"/*", b"\xc3", b"\xed\xa0\x80", b'"b64"', b'"inputs":'),
    *(b"%", b"%00", b"..%2f", b"/", b":", b"?", b"#", b" ", b"\r\n", b"\r\n\r\n", b"versions/-1"),
]
