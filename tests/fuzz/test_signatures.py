"""Every signature over both transports: what eager refuses is refused, what it answers is equal.

Short: a few hundred inputs each. `--long`: 100,000 per transport.
"""

from __future__ import annotations

import pytest

from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.rest_client import RestClient
from signatures.contract import InvalidInputError

from ..families import CONTRACTS, KEYS
from .conftest import DEADLINE
from .draws import draw
from .tally import fire

SHORT, LONG = 300, 100_000


@pytest.mark.parametrize("transport", ["gRPC", "REST"])
def test_signatures(watched, oracles, transport, tell, long_run):
    kind, json = (GrpcClient, False) if transport == "gRPC" else (RestClient, True)
    server = watched.server
    address = server.grpc_address if transport == "gRPC" else server.rest_address
    with (
        # Without contracts whatever is given is sent.
        kind(address, contracts={}, timeout=DEADLINE) as raw,
        # JSON does not say dtypes and sizes: a reply is read with the contract.
        kind(address, contracts=CONTRACTS, timeout=DEADLINE) as knowing,
    ):

        def shoot(random):
            model, key = KEYS[random.integers(len(KEYS))]
            oracle = oracles[model]
            drawn = draw(random, CONTRACTS[model].signature(key), key, json=json)
            refusal = oracle.refusal(drawn)
            client = knowing if drawn.fits else raw
            try:
                outputs = client.predict(key, drawn.inputs, model=model)
            except InvalidInputError as error:
                return "not sent", f"{drawn}: {error}" if drawn.fits else ""
            except ServingError as error:
                return error.code, "" if _is_right(error, refusal) else f"{drawn}: {error}"
            if refusal is not None:
                return "answered", f"{drawn}: answered, eager refuses: {refusal or 'the form'}"
            exact = watched.kind == "embedded"
            return "answered", "; ".join(
                f"{drawn}: {fault}" for fault in oracle.faults(drawn, outputs, exact=exact)
            )

        fire(watched, f"signatures over {transport}", LONG if long_run else SHORT, shoot, tell)


def _is_right(error: ServingError, refusal: str | None) -> bool:
    """Whether a refusal is due, and in our own words where they are ours."""
    if refusal is None or error.code != "INVALID_ARGUMENT":
        return False
    return not refusal or error.sentence == refusal
