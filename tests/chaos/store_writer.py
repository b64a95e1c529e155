"""One of several processes that publish, promote, roll back and prune until they are killed.

Arguments: the model root, the folder of the configuration, a seed.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from export.rollout import Rollout
from export.store import StoreError
from export.version_labels import VersionLabels, labels_in

MODEL = "m"
PIECES = 256
FILES = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")
LABELS = ("stable", "canary")


def write_version(staging: Path) -> None:
    """A version of several files, written in pieces."""
    for name in FILES:
        path = staging / name
        path.parent.mkdir(exist_ok=True)
        with path.open("wb", buffering=0) as file:
            for _ in range(4):
                file.write(name.encode() * (PIECES // 4))


def act(labels: VersionLabels, rollout: Rollout, draw: random.Random) -> None:
    """One change of the store."""
    chosen = draw.randrange(6)
    if chosen < 2:
        labels.store.publish(write_version)
    elif chosen < 4:
        rollout.promote(draw.choice(LABELS), draw.choice(labels.store.versions()))
    elif chosen == 4:
        rollout.roll_back(draw.choice(LABELS))
    else:
        labels.prune(draw.randrange(1, 6))


def main(root: Path, config_dir: Path, seed: int) -> None:
    """Writes without end."""
    labels = labels_in(root, MODEL)
    rollout = Rollout(root, MODEL, [], config_dir, 1.0, lambda line: None)
    draw = random.Random(seed)
    print("ready", flush=True)
    while True:
        try:
            act(labels, rollout, draw)
        except StoreError as error:
            # What another writer pruned, or a label without a past; anything else ends the writer.
            if not str(error).startswith("expected a version"):
                raise


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
