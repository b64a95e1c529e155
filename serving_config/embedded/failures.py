"""How the host refuses: a canonical code and the stock server's text."""

from __future__ import annotations


class StatusError(Exception):
    """A request or a load that ends with a status other than OK.

    Attributes:
      code: Canonical status name, such as `"NOT_FOUND"`.
      text: What the client is told.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def invalid_argument(text: str) -> StatusError:
    """The commonest refusal."""
    return StatusError("INVALID_ARGUMENT", text)
