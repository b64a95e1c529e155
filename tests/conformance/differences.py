"""Where the embedded host answers otherwise than the stock server 2.20, on purpose: at most ten.

Each key is a case, `test_file.py::test_name[id]`; the value says what the embedded host does
instead, and why. These cases must fail on the embedded host: one that passes is a stale entry.
"""

from __future__ import annotations

MOST = 10

_DRAIN = (
    "the embedded host finishes the requests in flight before it ends, with exit code 0: "
    "nobody loses an answer when a demo or a test stops its server"
)

DIFFERENCES: dict[str, str] = {
    "test_requests_grpc.py::test_predict[unknown-rank-beside-sizes]": (
        "the embedded host refuses a shape that contradicts itself, as our clients do: it is a "
        "mistake in the request, and guessing would hide it"
    ),
    "test_startup.py::test_signal_ends_it_at_once[sigterm]": _DRAIN,
    "test_startup.py::test_signal_ends_it_at_once[sigint]": _DRAIN,
}
