"""What the host answers, whichever transport asks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.manager import Manager
from serving_config.embedded.metrics import Metrics
from serving_config.embedded.servable import Servable
from serving_config.status import VersionStatus
from serving_config.wire import ModelQuery

_SIGNATURE_DEF = "signature_def"


class Core:
    """Leases, states and counts on top of a manager. Safe to use from many threads.

    Args:
      manager: The hosted models.
      metrics: What is counted.
    """

    def __init__(self, manager: Manager, metrics: Metrics) -> None:
        self.manager = manager
        self.metrics = metrics

    def lease(self, query: ModelQuery | None) -> AbstractContextManager[Servable]:
        """The version that a query means, kept for the length of a `with` block.

        Raises:
          StatusError: With the stock server's code and text.
        """
        if query is None:
            raise invalid_argument("Missing ModelSpec")
        return self.manager.lease(query)

    def statuses(self, query: ModelQuery | None) -> list[tuple[int, VersionStatus]]:
        """Answers a GetModelStatus request: versions with their states, newest first.

        Raises:
          StatusError: With the stock server's code and text.
        """
        if query is None:
            raise invalid_argument("Missing ModelSpec")
        return self.manager.statuses(query)

    def check_metadata_fields(self, fields: Sequence[str]) -> None:
        """Only the signatures can be asked for.

        Raises:
          StatusError: With the stock server's text.
        """
        if not fields:
            raise invalid_argument(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in fields:
            if field != _SIGNATURE_DEF:
                raise invalid_argument(f"Metadata field {field} is not supported")

    @contextmanager
    def counted(self, name: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts the request that the block answers, and how long that took if it succeeded.

        Args:
          name: The model's name, as the request has it.
          api: Such as `"Predict"`.
          entrypoint: `"GRPC"` or `"REST"`.
        """
        begin = time.perf_counter()
        try:
            yield
        except StatusError as error:
            self.metrics.requests.add(name, error.code)
            raise
        self.metrics.requests.add(name, "OK")
        seconds = time.perf_counter() - begin
        self.metrics.request_latency.add(name, api, entrypoint, seconds=seconds)
