"""One request on which served output is compared with the eager result.

What it should give, the eager function says; whether it should be refused, the contract's rules
say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Inputs = dict[str, np.ndarray]

# Bytes of a refused request; a larger one is left to the tests of its rule: it only takes time.
LARGEST_REFUSED = 2**20


def bytes_of(inputs: Inputs) -> int:
    """What the elements of all inputs take on the wire, pictures and other strings included.

    >>> bytes_of({"maps": np.zeros((2, 3), np.float32), "pictures": np.array([b"abc"], object)})
    27
    """
    return sum(
        sum(map(len, array.flat)) if array.dtype == object else array.nbytes
        for array in inputs.values()
    )


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
      signature: The signature's key.
      name: Readable and unique within the signature.
      inputs: Name to array; inputs with a default may be missing.
      refused: Whether a rule of the guard refuses the inputs.
    """

    signature: str
    name: str
    inputs: Inputs
    refused: bool = False

    @property
    def id(self) -> str:
        """Unique within a set of cases."""
        return f"{self.signature}-{self.name}"
