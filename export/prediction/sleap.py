"""SLEAP's file of predictions, written with sleap-io."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.prediction.errors import PredictionError, import_extra
from export.prediction.outputs import joined
from export.prediction.replies import Points, Reply
from export.prediction.sources import CONFMAPS, Source


class Slp:
    """A `.slp` file with one predicted instance per frame, in memory until it is closed.

    Frames in which nothing was found are left out.

    Args:
      path: The file.
      names: Of the skeleton's nodes.
      source: What the file refers to.
    """

    def __init__(self, path: Path, names: Sequence[str], source: Source) -> None:
        self._sleap = import_sleap(source)
        self._path = path
        self._names = names
        self._source = source
        self._replies: list[Reply] = []

    def write(self, first: int, reply: Reply) -> None:
        """See `export.prediction.outputs.Writer`."""
        self._replies.append(reply)

    def close(self) -> None:
        """See `export.prediction.outputs.Writer`."""
        whole = joined(self._replies)
        assert isinstance(whole, Points)
        skeleton = self._sleap.Skeleton(nodes=list(self._names))
        # Whoever opens the file may be in another folder.
        files = [str(file.absolute()) for file in self._source.files]
        video = self._sleap.Video.from_filename(files or str(self._source.path.absolute()))
        frames = []
        for number in np.flatnonzero(whole.valid.any(axis=1)):
            valid = whole.valid[number]
            instance = self._sleap.PredictedInstance.from_numpy(
                whole.points[number],
                skeleton=skeleton,
                point_scores=whole.confidences[number],
                score=float(whole.confidences[number][valid].mean()),
            )
            frames.append(
                self._sleap.LabeledFrame(video=video, frame_idx=int(number), instances=[instance])
            )
        labels = self._sleap.Labels(frames, videos=[video], skeletons=[skeleton])
        labels.save(str(self._path), embed=False)


def import_sleap(source: Source) -> Any:
    """The package sleap-io, where the frames are some that its files can refer to.

    Raises:
      PredictionError: They are maps or images without a file of their own.
      MissingPackageError: It is not installed.
    """
    if CONFMAPS in source.sends or not (source.files or source.rate):
        raise PredictionError(
            f"{source.path}: expected a video or pictures for a .slp file, which refers to them, "
            f"got {source.kind}; choose another ending of --out"
        )
    return import_extra("sleap_io", "writing a .slp file")
