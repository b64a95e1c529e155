"""SLEAP's file of predictions, written with sleap-io."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.prediction.errors import PredictionError, import_extra
from export.prediction.outputs import joined
from export.prediction.replies import Instances, Points, Reply
from export.prediction.sources import CONFMAPS, Source


class Slp:
    """A `.slp` file with the predicted instances of each frame, in memory until it is closed.

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
        assert isinstance(whole, Points | Instances)
        skeleton = self._sleap.Skeleton(nodes=list(self._names))
        # Whoever opens the file may be in another folder.
        files = [str(file.absolute()) for file in self._source.files]
        video = self._sleap.Video.from_filename(files or str(self._source.path.absolute()))
        frames = []
        for number in range(len(whole.points)):
            instances = [
                self._sleap.PredictedInstance.from_numpy(
                    points, skeleton=skeleton, point_scores=confidences, score=score
                )
                for points, confidences, score in _found_in(whole, number)
            ]
            if instances:
                frames.append(
                    self._sleap.LabeledFrame(video=video, frame_idx=number, instances=instances)
                )
        labels = self._sleap.Labels(frames, videos=[video], skeletons=[skeleton])
        labels.save(str(self._path), format="slp", embed=False)


def _found_in(
    whole: Points | Instances, number: int
) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Points [C, 2], confidences [C] and score of each instance of a frame with a valid node."""
    if isinstance(whole, Instances):
        for slot in whole.present(number):
            if whole.valid[number, slot].any():
                score = float(whole.instance_confidences[number, slot])
                yield whole.points[number, slot], whole.confidences[number, slot], score
    elif (valid := whole.valid[number]).any():
        confidences = whole.confidences[number]
        yield whole.points[number], confidences, float(confidences[valid].mean())


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
