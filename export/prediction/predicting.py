"""The command `predict`: frames to a running server, points to a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from export.exit_codes import DONE, INTERRUPTED, INTERRUPTED_LINE
from export.maps import MapsError
from export.prediction.batches import Batch, batches_of
from export.prediction.errors import PredictionError
from export.prediction.interruption import Interruption
from export.prediction.map_layer import placed_by
from export.prediction.names import read_names
from export.prediction.outputs import ONE_PER_LANDMARK, format_of
from export.prediction.overlay_files import open_overlay
from export.prediction.progress import Shown, shown
from export.prediction.results import Results
from export.prediction.running import Asking, Window
from export.prediction.served import Chosen, choose, contract_in, signatures_of
from export.prediction.sources import CONFMAPS, Source, open_source
from serving_config.errors import ServingError
from serving_config.grpc_client import GrpcClient
from serving_config.metadata import SignatureSpec
from serving_config.tls import ClientTls
from signatures.contract import InvalidInputError, ModelContract


@dataclass(frozen=True)
class Server:
    """Which model is asked, and where.

    Attributes:
      addresses: `HOST:PORT`, one or several.
      model: The servable.
      signature: The signature's key, `None` for the natural one.
      model_root: Where its manifest is, if that is at hand.
      version: The version, `None` for the latest.
      label: A version's label instead.
      timeout: Seconds for one request.
      retry_for: Seconds that a lost server is waited for.
      tls: How it is spoken to.
    """

    addresses: tuple[str, ...]
    model: str
    signature: str | None
    model_root: Path | None
    version: int | None
    label: str | None
    timeout: float
    retry_for: float
    tls: ClientTls | None

    @property
    def which(self) -> dict[str, Any]:
        """The version or label, as the client takes them."""
        return {"version": self.version, "label": self.label}


@dataclass(frozen=True)
class Task:
    """What is predicted, and what becomes of it.

    Attributes:
      given: INPUT.
      batch: Frames of one request.
      in_flight: Requests at a time.
      out: The file of points, `None` for standard output.
      kind: Its format, `None` for what its ending says.
      overlay: Where drawn frames go, if anywhere.
      names: Of the channels, joined by commas, or a file of them; `None` for those of the
        manifest, and else `node0` and so on.
      maps: Whether confidence maps are blended into the overlay.
    """

    given: str
    batch: int
    in_flight: int
    out: Path | None
    kind: str | None
    overlay: Path | None
    names: str | None
    maps: bool = False


def predict_and_tell(task: Task, server: Server) -> int:
    """Predicts every frame of INPUT.

    Args:
      task: The frames and the files.
      server: Who is asked.

    Returns:
      The exit code: 0, or 130 after Ctrl-C.

    Raises:
      PredictionError: Frames cannot be read or sent, or points cannot be written.
      MapsError: A file of arrays holds no maps or images.
      MissingPackageError: What decodes or encodes them is not installed.
      StoreError: There is no such version in `server.model_root`.
      ManifestError: That version has no manifest that can be read.
      InvalidInputError: Frames do not fit the manifest's contract.
      ServingError: The server refuses, or is not there.
    """
    with Interruption() as interruption:
        try:
            return _predict(task, server, interruption)
        except KeyboardInterrupt:
            # Before the first request, or for a second time.
            click.echo(INTERRUPTED_LINE, err=True)
            return INTERRUPTED


def _predict(task: Task, server: Server, interruption: Interruption) -> int:
    kind = format_of(task.out, task.kind)
    names = read_names(task.names) if task.names is not None else None
    source = open_source(task.given)
    _check_paths(source, task.out)
    with ExitStack() as stack:
        contract = _contract(server)
        client = stack.enter_context(_client(server, contract))
        names = names or _names_in(contract)
        signatures = _signatures(client, server, contract)
        chosen = choose(source, signatures, server.signature, with_maps=task.maps)
        _check_format(kind, chosen, source)
        # Maps that are sent need not be answered, but placed as the model places their points.
        sends_maps = task.maps and chosen.sent_as == CONFMAPS
        sent = placed_by(contract) if sends_maps else None
        overlay = open_overlay(task.overlay, source) if task.overlay is not None else None
        results = Results(
            source, task.out, kind, overlay=overlay, names=names, with_maps=task.maps, sent=sent
        )
        progress = stack.enter_context(shown(source.count, prints_rows=task.out is None))
        asking = Asking(
            client,
            chosen,
            retry_for=server.retry_for,
            has_answered=contract is None,
            tell=progress.tell,
            which=server.which,
        )
        window = Window(asking, task.in_flight)
        stack.callback(window.close)
        needs_pictures = overlay is not None and not sends_maps
        batches = batches_of(source, chosen, task.batch, needs_pictures=needs_pictures)
        return _run(window, batches, results, progress, interruption)


def _contract(server: Server) -> ModelContract | None:
    if server.model_root is None:
        return None
    return contract_in(server.model_root, server.model, server.version, server.label)


def _names_in(contract: ModelContract | None) -> tuple[str, ...] | None:
    """What the model's channels are called, if its manifest says so."""
    named = dict(contract.options).get("names") if contract is not None else None
    return tuple(named.split(",")) if named else None


def _client(server: Server, contract: ModelContract | None) -> GrpcClient:
    addresses = server.addresses
    return GrpcClient(
        addresses[0] if len(addresses) == 1 else addresses,
        model=server.model,
        timeout=server.timeout,
        contracts={server.model: contract} if contract is not None else {},
        tls=server.tls,
    )


def _signatures(
    client: GrpcClient, server: Server, contract: ModelContract | None
) -> dict[str, SignatureSpec]:
    if contract is not None:
        return signatures_of(contract)
    return client.signatures(**server.which)


def _check_paths(source: Source, out: Path | None) -> None:
    """Says before the work what would be said after it."""
    if out is None:
        return
    if not out.absolute().parent.is_dir():
        raise PredictionError(
            f"--out: expected a file in a folder that is there, got {out}; make it with: "
            f"mkdir -p {out.parent}"
        )
    if out.resolve() == source.path.resolve():
        raise PredictionError(f"--out: expected another file than the frames', got {out}")


def _check_format(kind: str, chosen: Chosen, source: Source) -> None:
    if kind in ONE_PER_LANDMARK and chosen.has_peaks:
        raise PredictionError(
            f"--format {kind}: expected one point for each landmark of a frame, got any number of "
            f"them from the signature {chosen.signature}; choose csv, json or npz"
        )
    if kind == "slp":
        from export.prediction.sleap import import_sleap

        import_sleap(source)


def _run(
    window: Window,
    batches: Iterator[Batch],
    results: Results,
    progress: Shown,
    interruption: Interruption,
) -> int:
    """Writes the answers as they come; what is done is kept, whatever happens."""
    start = time.monotonic()
    try:
        for batch, answer in window.answers(batches):
            with interruption.shielded():
                results.add(batch, answer)
                progress.advance(len(batch.frames))
    except KeyboardInterrupt:
        _keep(window, results)
        progress.tell(f"interrupted: {results.kept}")
        return INTERRUPTED
    except (PredictionError, ServingError, MapsError, InvalidInputError) as error:
        _keep(window, results)
        if not results.done:
            raise
        raise PredictionError(f"{error}; {results.kept}") from error
    except OSError:
        # Who read what is printed went away: drawn frames are kept nevertheless.
        with suppress(OSError):
            results.close()
        raise
    with interruption.shielded():
        results.close()
    seconds = time.monotonic() - start
    frames = "1 frame" if results.done == 1 else f"{results.done} frames"
    progress.tell(f"{frames} in {seconds:.1f} s, {results.done / seconds:.1f} frames/s")
    return DONE


def _keep(window: Window, results: Results) -> None:
    """Adds what is answered already, and makes the files whole."""
    for batch, answer in window.finished():
        results.add(batch, answer)
    results.close()
