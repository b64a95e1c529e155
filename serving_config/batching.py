"""The model server's own batcher: the file that a version carries, and the flags that honour it.

Only models whose version directory holds the file are batched, so that models of both kinds can
stand in one server.
"""

from __future__ import annotations

from pathlib import Path

BATCHING_FILE = "batching_params.pbtxt"
BATCHING_FLAGS = ("--enable_batching", "--enable_per_model_batching_parameters")

_TEMPLATE = """\
max_batch_size {{ value: {max_batch} }}
batch_timeout_micros {{ value: {timeout_micros} }}
max_enqueued_batches {{ value: {max_enqueued} }}
num_batch_threads {{ value: {threads} }}
"""


def write_batching_file(
    directory: Path, *, max_batch: int, timeout_micros: int, max_enqueued: int, threads: int
) -> Path:
    """Writes a version's batching parameters (`BatchingParameters` as protobuf text).

    Args:
      directory: The version's directory.
      max_batch: Most samples of one batch; the server refuses larger requests.
      timeout_micros: Longest wait for a batch to fill.
      max_enqueued: Batches that may wait; beyond, the server answers UNAVAILABLE.
      threads: Batches that run at a time.
    """
    path = directory / BATCHING_FILE
    path.write_text(
        _TEMPLATE.format(
            max_batch=max_batch,
            timeout_micros=timeout_micros,
            max_enqueued=max_enqueued,
            threads=threads,
        ),
        encoding="utf-8",
    )
    return path


def batching_flags(base_path: Path) -> tuple[str, ...]:
    """The flags that a server needs to batch the versions of a model, none if none asks for it."""
    return BATCHING_FLAGS if any(base_path.glob(f"[0-9]*/{BATCHING_FILE}")) else ()
