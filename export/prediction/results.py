"""The files of one prediction: the points, and the frames that they are drawn on."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from export.prediction.batches import Batch
from export.prediction.errors import PredictionError
from export.prediction.map_layer import Sent, blank, blended
from export.prediction.names import names_for
from export.prediction.outputs import DeepLabCutCsv, Json, Npz, TidyCsv, Writer
from export.prediction.overlay import drawn
from export.prediction.overlay_files import OverlayFile
from export.prediction.pixels import as_picture
from export.prediction.replies import Answer, Instances, MapLayers, Peaks, Reply
from export.prediction.sources import Source

if TYPE_CHECKING:
    from PIL.Image import Image


class Results:
    """Takes replies in order. Nothing is written before the first.

    Args:
      source: The frames.
      out: The file, `None` for standard output.
      kind: Its format, one of `export.prediction.outputs.FORMATS`.
      overlay: Where drawn frames go, if anywhere.
      names: Of the channels, if they are given.
      with_maps: Whether maps are drawn.
      sent: Where maps that are sent lie; `None` where they are not sent, or not drawn.

    Attributes:
      done: How many frames are written.
    """

    def __init__(
        self,
        source: Source,
        out: Path | None,
        kind: str,
        *,
        overlay: OverlayFile | None,
        names: tuple[str, ...] | None,
        with_maps: bool = False,
        sent: Sent | None = None,
    ) -> None:
        self.done = 0
        self._source = source
        self._out = out
        self._kind = kind
        self._overlay = overlay
        self._given_names = names
        self._with_maps = with_maps
        self._sent = sent
        self._names: tuple[str, ...] = ()
        self._stream: TextIO | None = None
        self._writer: Writer | None = None
        self._is_broken = False

    def add(self, batch: Batch, answer: Answer) -> None:
        """Writes the frames of a batch; one that is written already, or after a failure, is not.

        Raises:
          PredictionError: They cannot be written or drawn, or there are not as many names as
            channels.
        """
        if self._is_broken or batch.first < self.done:
            return
        self._is_broken = True
        try:
            if self._writer is None:
                self._writer = self._begun(batch, answer.reply)
            self._writer.write(batch.first, answer.reply)
            if self._stream is not None:
                self._stream.flush()
            self.done = batch.first + len(batch.frames)
            self._draw(batch, answer)
        except OSError as error:
            raise self._unwritable(error) from error
        self._is_broken = False

    def _begun(self, batch: Batch, reply: Reply) -> Writer:
        """Opens the file, now that it is known how many channels there are."""
        is_of_peaks = isinstance(reply, Peaks)
        channels = self._last_axis(batch) if is_of_peaks else reply.confidences.shape[-1]
        slots = reply.points.shape[1] if isinstance(reply, Instances) else None
        self._names = names_for(channels, self._given_names)
        if self._kind == "npz" and self._out is not None:
            return Npz(self._out, self._names, self._source.files)
        if self._kind == "slp" and self._out is not None:
            from export.prediction.sleap import Slp

            return Slp(self._out, self._names, self._source)
        if self._out is None:
            self._stream = sys.stdout
        else:
            self._stream = self._out.open("w", encoding="utf-8", newline="")
        if self._kind == "json":
            return Json(self._stream, self._names, self._source.files)
        if self._kind == "dlc":
            return DeepLabCutCsv(self._stream, self._names, slots)
        return TidyCsv(self._stream, self._names, has_instances=slots is not None)

    @staticmethod
    def _last_axis(batch: Batch) -> int:
        return np.asarray(batch.frames[0].data).shape[-1]

    def _draw(self, batch: Batch, answer: Answer) -> None:
        if self._overlay is None:
            return
        for index in range(len(batch.frames)):
            number = batch.first + index
            layers = answer.layers if self._with_maps else None
            picture = self._under_points(batch, index, layers)
            self._overlay.add(number, drawn(picture, answer.reply.marks(index), self._names))

    def _under_points(self, batch: Batch, index: int, layers: MapLayers | None) -> Image:
        """What the points of a frame are drawn on: its picture, and its maps if they are wanted."""
        frame, number, files = batch.frames[index], batch.first + index, self._source.files
        maps, placement = np.asarray(frame.data), self._sent.placement if self._sent else None
        if layers is not None:
            maps, placement = layers.maps[index], layers.placement[index]
        seen = frame.picture
        if seen is None:
            assert self._sent is not None
            seen = blank(maps.shape[:2], self._sent)
        picture = as_picture(seen, str(files[number]) if files else f"frame {number}")
        return picture if placement is None else blended(picture, maps, placement)

    def close(self) -> None:
        """Makes the files whole, with the frames that are done.

        Raises:
          PredictionError: They cannot be written.
        """
        # Once only: what is whole would be made whole twice.
        writer, stream, overlay = self._writer, self._stream, self._overlay
        self._writer = self._stream = self._overlay = None
        try:
            # The last one first; where one fails, the others' files are made whole as well.
            with ExitStack() as stack:
                if overlay is not None:
                    stack.callback(overlay.close)
                if stream is not None:
                    stack.callback(stream.flush if self._out is None else stream.close)
                if writer is not None:
                    stack.callback(writer.close)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> Exception:
        # Who stops reading what is printed is no fault; the command line knows.
        if self._out is None:
            return error
        return PredictionError(f"{self._out}: cannot be written: {error.strerror or error}")

    @property
    def kept(self) -> str:
        """What became of the frames that are done, as the end of a sentence."""
        if not self.done:
            return "no frame was finished, and nothing is written"
        frames = "frame is" if self.done == 1 else f"{self.done} frames are"
        return f"the first {frames} {f'in {self._out}' if self._out else 'printed'}"
