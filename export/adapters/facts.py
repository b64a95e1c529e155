"""What is known about an adapted network, in a file beside it that `export` reads.

Facts are about one network and named as the options of `keypoints`; for a model of two networks
they are renamed. Needs no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signatures.contract import FAMILIES

FACTS_FILE = "peakserve_network.json"
ROLES = ("keypoints", "centroid", "instance")
_FORMAT = 1
_KINDS: dict[str, type | tuple[type, ...]] = {
    "input_scale": (int, float),
    "pad_to": int,
    "input_max": (int, float),
    "grayscale": bool,
    "coordinates": str,
    "refinement": str,
    "window": int,
    "names": str,
    "crop_size": int,
}
# What the facts about a network are called where a model has two.
_IN_TOPDOWN = {
    "instance": {"input_scale": "instance_scale", "pad_to": None},
    "centroid": {
        "input_scale": "centroid_scale",
        "pad_to": "centroid_pad_to",
        "refinement": None,
        "window": None,
        "crop_size": None,
        "names": None,
    },
}


class AdapterError(ValueError):
    """Something that cannot be adapted, in one sentence that says what to do."""


@dataclass(frozen=True)
class NetworkFacts:
    """What `export` should know about a network.

    Attributes:
      framework: Where it comes from, as people write it.
      role: `keypoints` (whole images to landmarks), `centroid` (images to one map of centroids) or
        `instance` (crops to landmarks).
      options: Values by the names of `KeypointOptions`, and `crop_size`.
      notes: What a user should know, a sentence each.
    """

    framework: str
    role: str
    options: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def write(self, folder: Path) -> Path:
        """Writes the file into an existing folder."""
        path = folder / FACTS_FILE
        data = {"format": _FORMAT, **dataclasses.asdict(self)}
        path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        return path


def read_facts(network: Path) -> NetworkFacts | None:
    """The facts beside a network, `None` where there are none.

    Args:
      network: A network's folder or file.

    Raises:
      AdapterError: The file is damaged.
    """
    path = network / FACTS_FILE
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = data["format"] == _FORMAT and data["role"] in ROLES
        facts = NetworkFacts(
            str(data["framework"]), data["role"], dict(data["options"]), tuple(data["notes"])
        )
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise AdapterError(f"{path}: cannot be read: {error}; adapt the network again") from error
    wrong = [
        name
        for name, value in facts.options.items()
        if name not in _KINDS
        or not isinstance(value, _KINDS[name])
        or (isinstance(value, bool) and _KINDS[name] is not bool)
    ]
    if not known or wrong:
        what = f"the option {wrong[0]}" if wrong else f"format {data['format']}, {data['role']}"
        raise AdapterError(f"{path}: {what} is not known or of another type; adapt it again")
    return facts


def with_facts(
    model: str, chosen: Mapping[str, Any], backbone: Path | None, centroid: Path | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Options of a model, with those that were not chosen taken from what its networks say.

    Args:
      model: The family.
      chosen: Options by name, which win.
      backbone: The network, if there is one.
      centroid: The centroid network, if there is one.

    Returns:
      All options, and a line for each file that something was taken from.

    Raises:
      AdapterError: A file is damaged, or a network is another than what it is used as.
    """
    options, lines = dict(chosen), []
    roles = {"instance" if model == "topdown" else "keypoints": backbone, "centroid": centroid}
    said: dict[str, Any] = {}
    for role, network in roles.items():
        facts = read_facts(network) if network else None
        if network is None or facts is None:
            continue
        _check_role(network, facts, role, model)
        found = _renamed(facts, role, model)
        for name in said.keys() & found.keys():
            if said[name] != found[name] and name not in chosen:
                raise AdapterError(
                    f"{network}: expected the other network's {name} {said[name]}, got "
                    f"{found[name]}; both networks of a model take the same images"
                )
        said |= found
        taken = {name: value for name, value in found.items() if name not in chosen}
        options |= taken
        if taken:
            text = as_options(taken)
            lines.append(f"from {network / FACTS_FILE} ({facts.framework}): {text}")
    return options, lines


def window_for(sigma: float) -> int:
    """The smallest odd window of four standard deviations, at most 129.

    >>> window_for(1.5), window_for(5)
    (7, 21)
    """
    return min(max(1, math.ceil(4 * sigma)) // 2 * 2 + 1, 129)


def as_options(values: Mapping[str, Any]) -> str:
    """Options as they are typed; a flag that is not set is not.

    >>> as_options({"input_scale": 0.5, "grayscale": True, "names": "a b,c"})
    "--input-scale 0.5 --grayscale --names 'a b,c'"
    """
    typed = []
    for name, value in values.items():
        typed.append(f"--{name.replace('_', '-')}")
        if not isinstance(value, bool):
            # All digits: a rounded scale can give an image another size.
            text = str(value).removesuffix(".0") if isinstance(value, float) else str(value)
            typed.append(shlex.quote(text))
        elif not value:
            typed.pop()
    return " ".join(typed)


def export_command(facts: NetworkFacts, network: Path, other: str = "FOLDER_OF_THE_OTHER") -> str:
    """The complete command that makes a model of an adapted network.

    Args:
      facts: About the network.
      network: Its folder.
      other: The second network of a model that has two.
    """
    model, place = "keypoints", f"--backbone {shlex.quote(str(network))}"
    if facts.role == "instance":
        model, place = "topdown", f"--centroid {other} {place}"
    elif facts.role == "centroid":
        model, place = "topdown", f"--centroid {shlex.quote(str(network))} --backbone {other}"
    options = _renamed(facts, facts.role, model)
    return f"peakserve export --model {model} {place} {as_options(options)}"


def _check_role(network: Path, facts: NetworkFacts, role: str, model: str) -> None:
    if model != "topdown" or facts.role == role:
        return
    option = "--centroid" if role == "centroid" else "--backbone"
    raise AdapterError(
        f"{option} {network}: expected a network of the role {role}, got {facts.role}, as "
        f"{facts.framework} trained it"
    )


def _renamed(facts: NetworkFacts, role: str, model: str) -> dict[str, Any]:
    """The facts by the names of a family's options; those that it has not are left out."""
    own = {field.name for field in dataclasses.fields(FAMILIES[model].options)}
    names = _IN_TOPDOWN[role] if model == "topdown" else {}
    if "coordinates" not in own and facts.options.get("coordinates", "scaled") != "scaled":
        raise AdapterError(
            f"{facts.framework}: the model {model} has no --coordinates "
            f"{facts.options['coordinates']}; export it as --model keypoints"
        )
    renamed = {names.get(name, name): value for name, value in facts.options.items()}
    return {name: value for name, value in renamed.items() if name in own}
