"""The typed errors of this room, and how status codes and texts of a server are read."""

from __future__ import annotations

from collections.abc import Sequence

from signatures.contract import sentence_of_assertion

# The stock server's own mapping.
HTTP_STATUS_OF_CODE = {
    "OK": 200,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

_ASSERTION = "assertion failed: "
_GRAPH_PREFIX = "Graph execution error:"
_NODE_TAIL = "\n\t [["
_LONGEST_SENTENCE = 600


def code_of_http_status(status: int) -> str:
    """The canonical status name behind an HTTP status; where several share one, the commonest.

    >>> code_of_http_status(400), code_of_http_status(404), code_of_http_status(418)
    ('INVALID_ARGUMENT', 'NOT_FOUND', 'UNKNOWN')
    """
    for code, http_status in HTTP_STATUS_OF_CODE.items():
        if http_status == status:
            return code
    return "UNKNOWN"


def sentence_of_server_text(text: str) -> str:
    r"""One sentence out of a server's text: no node names, no prefixes, no brackets.

    >>> sentence_of_server_text("assertion failed: [k: odd; got] [4]\n\t [[{{node Assert}}]]")
    'k: odd; got 4'
    >>> sentence_of_server_text("Servable not found for request: Latest(nope)")
    'Servable not found for request: Latest(nope)'
    """
    head = text.split(_NODE_TAIL, 1)[0].strip()
    if head.startswith(_GRAPH_PREFIX):
        # Python runtimes put where the node was defined between the prefix and the message.
        lines = head.removeprefix(_GRAPH_PREFIX).strip().splitlines()
        head = lines[-1] if lines else ""
    if head.startswith(_ASSERTION):
        head = sentence_of_assertion(head.removeprefix(_ASSERTION))
    sentence = " ".join(head.split()) or "the server gave no reason"
    if len(sentence) > _LONGEST_SENTENCE:
        return f"{sentence[:_LONGEST_SENTENCE]}..."
    return sentence


class ServingError(RuntimeError):
    """A request that was not answered: what the server (or the transport) said.

    `str()` is one sentence with the signature, the transport and the code in front.

    Attributes:
      code: Canonical status name, such as `"INVALID_ARGUMENT"`. Over REST it is read from the
        HTTP status, so that FAILED_PRECONDITION arrives as INVALID_ARGUMENT.
      http_status: The HTTP status, `None` over gRPC and where no reply came.
      server_text: The server's text, unchanged.
      sentence: The text as one sentence, without the runtime's wrapping, and what the client has
        to add.
      transport: `"gRPC"` or `"REST"`.
      signature: The signature that was asked for; empty for a status request.
    """

    def __init__(
        self,
        server_text: str,
        *,
        code: str,
        transport: str,
        signature: str = "",
        http_status: int | None = None,
        note: str = "",
    ) -> None:
        self.code = code
        self.http_status = http_status
        self.server_text = server_text
        sentence = sentence_of_server_text(server_text)
        self.sentence = f"{sentence} ({note})" if note else sentence
        self.transport = transport
        self.signature = signature
        subject = signature or "status"
        super().__init__(f"{subject} over {transport}: {code}: {self.sentence}")


class InvalidReplyError(ServingError):
    """A reply with status OK that is not what the contract promises: names, dtypes, shapes."""

    def __init__(
        self, fault: str, *, transport: str, signature: str = "", http_status: int | None = None
    ) -> None:
        super().__init__(
            fault,
            code="DATA_LOSS",
            transport=transport,
            signature=signature,
            http_status=http_status,
        )


class ServerStartError(RuntimeError):
    """A server process that could not be found, did not start or did not become available.

    Attributes:
      reason: One sentence.
      command: The command line, empty if none was run.
      log_tail: The last lines that the process wrote.
    """

    def __init__(self, reason: str, *, command: Sequence[str] = (), log_tail: str = "") -> None:
        self.reason = reason
        self.command = tuple(command)
        self.log_tail = log_tail
        parts = [reason]
        if command:
            parts.append(f"command: {' '.join(command)}")
        if log_tail:
            parts.append(f"end of its log:\n{log_tail}")
        super().__init__("\n".join(parts))
