"""Protocol-buffer messages in text files, with the stock server's texts about what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format

from serving_config.embedded.failures import StatusError, invalid_argument


def read_message(path: str, message: Any) -> Any:
    """The given empty message, filled from a text file.

    Raises:
      StatusError: The file cannot be read, or does not hold such a message.
    """
    try:
        text = Path(path).read_text()
    except FileNotFoundError as error:
        raise StatusError("NOT_FOUND", f"{path}; No such file or directory") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StatusError("FAILED_PRECONDITION", f"{path}; {error}") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise invalid_argument(f"Invalid protobuf file: '{path}'") from error
