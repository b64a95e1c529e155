"""What changes for clients between two versions: additive, numeric, or breaking.

Compares the contracts in two manifests and the content identities, as plain data: a version of
an older format, whose contract cannot be made again, can still be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.manifest import ManifestError, read_manifest
from signatures.contract import DEFAULT_SIGNATURE

ADDITIVE, NUMERIC, BREAKING = "additive", "numeric", "breaking"
# Options that change no answer.
_NO_NUMBERS = ("names", "with_maps")

# Fields of a rule that a larger number loosens, and those that it tightens.
_UPPER, _LOWER = ("high", "limit", "widest"), ("low",)

Plain = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
      kind: `additive` (all old requests are answered as before), `numeric` (answered with other
        numbers) or `breaking` (refused, or answered in another form).
      where: The signature, and the tensor if it is about one.
      text: What was and what is.
    """

    kind: str
    where: str
    text: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.kind:8}  {self.where}: {self.text}"


class BreakingChangeError(RuntimeError):
    """A version that clients of the one before it cannot use.

    Attributes:
      changes: What breaks.
    """

    def __init__(self, before: int, changes: list[Change]) -> None:
        self.changes = changes
        lines = [
            f"not published: {len(changes)} changes break clients of version {before}; publish it "
            "all the same with --allow-breaking"
        ]
        super().__init__("\n".join([*lines, *(f"  {change}" for change in changes)]))


def differences_of(before: Path, after: Path) -> list[Change]:
    """What changes for clients from one version's directory to another's.

    Raises:
      ManifestError: One of them was not exported by peakserve.
    """
    manifests = read_manifest(before), read_manifest(after)
    try:
        return list(_manifests(*manifests))
    except (KeyError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"expected the contracts of {before} and {after} as peakserve writes them, got one "
            "that was changed; export that version again"
        ) from error


def breaking(changes: list[Change]) -> list[Change]:
    """Those that break clients."""
    return [change for change in changes if change.kind == BREAKING]


def _manifests(before: Plain, after: Plain) -> Iterator[Change]:
    old, new = _signatures(before["model"]), _signatures(after["model"])
    for key in old:
        if key not in new:
            yield Change(BREAKING, key, "the signature is gone")
        else:
            yield from _signature(key, old[key], new[key])
    for key in new:
        if key not in old:
            yield Change(ADDITIVE, key, "a new signature")
    yield from _options(before["model"]["options"], after["model"]["options"])
    if before["content"] != after["content"] and before["model"] == after["model"]:
        yield Change(NUMERIC, "model", "other weights, constants or functions")


def _signatures(model: Plain) -> dict[str, Plain]:
    """Signature key to contract, `serving_default` included."""
    signatures = {signature["name"]: signature for signature in model["signatures"]}
    return {**signatures, DEFAULT_SIGNATURE: signatures[model["default"]]}


def _signature(key: str, old: Plain, new: Plain) -> Iterator[Change]:
    yield from _inputs(key, old, new)
    yield from _outputs(key, old, new)
    yield from _rules(key, old["rules"], new["rules"])
    if old["tolerance"] != new["tolerance"]:
        yield Change(
            NUMERIC, key, f"tolerance {_limit(old['tolerance'])}, now {_limit(new['tolerance'])}"
        )
    if old["batched"] != new["batched"]:
        words = {True: "joined with others", False: "answered alone"}
        yield Change(NUMERIC, key, f"requests were {words[old['batched']]}, now "
                     f"{words[new['batched']]}")  # fmt: skip


def _inputs(key: str, old: Plain, new: Plain) -> Iterator[Change]:
    before, after = _tensors(old["inputs"]), _tensors(new["inputs"])
    for name, tensor in before.items():
        where = f"{key} input {name}"
        if name not in after:
            yield Change(BREAKING, where, "the input is gone")
            continue
        yield from _tensor(where, tensor, after[name], loosens=True)
        was, now = tensor["default"], after[name]["default"]
        if was != now:
            kind = BREAKING if now is None else ADDITIVE if was is None else NUMERIC
            yield Change(kind, where, f"default {was}, now {now}")
    for name, tensor in after.items():
        if name not in before:
            required = tensor["default"] is None
            kind = BREAKING if required else ADDITIVE
            text = "a new input without default" if required else "a new input with a default"
            yield Change(kind, f"{key} input {name}", text)


def _outputs(key: str, old: Plain, new: Plain) -> Iterator[Change]:
    before, after = _tensors(old["outputs"]), _tensors(new["outputs"])
    for name, tensor in before.items():
        where = f"{key} output {name}"
        if name not in after:
            yield Change(BREAKING, where, "the output is gone")
        else:
            yield from _tensor(where, tensor, after[name], loosens=False)
    added = [name for name in after if name not in before]
    for name in added:
        if len(before) == 1:
            # Over REST a single output has no name: with a second one the reply is an object.
            text = "a second output: replies over REST get another form"
            yield Change(BREAKING, f"{key} output {name}", text)
        else:
            yield Change(ADDITIVE, f"{key} output {name}", "a new output")


def _tensor(where: str, old: Plain, new: Plain, *, loosens: bool) -> Iterator[Change]:
    """One tensor's form.

    Args:
      where: The signature and the tensor.
      old: Its contract before.
      new: Its contract after.
      loosens: Whether a free dimension accepts what a fixed one did, as in an input.
    """
    for what in ("dtype", "axes", "units"):
        if old[what] != new[what]:
            yield Change(BREAKING, where, f"{what} {old[what]!r}, now {new[what]!r}")
    was, now = list(old["shape"]), list(new["shape"])
    if was == now:
        return
    fits = len(was) == len(now) and all(
        a == b or (loosens and isinstance(b, str)) or (isinstance(a, str) and isinstance(b, str))
        for a, b in zip(was, now, strict=True)
    )
    # An output of a size that was free before is still of some size.
    if not loosens and len(was) == len(now):
        fits = all(a == b or isinstance(a, str) for a, b in zip(was, now, strict=True))
    yield Change(ADDITIVE if fits else BREAKING, where, f"shape {_shape(was)}, now {_shape(now)}")


def _rules(key: str, old: list[Plain], new: list[Plain]) -> Iterator[Change]:
    """Bounds of requests: a wider one is additive, a narrower or new one breaks."""
    before, after = _by_subject(old), _by_subject(new)
    for subject, rule in before.items():
        if subject not in after:
            yield Change(ADDITIVE, key, f"no longer refused: {_rule(rule)}")
        elif rule != after[subject]:
            kind = ADDITIVE if _loosened(rule, after[subject]) else BREAKING
            yield Change(kind, key, f"refusal {_rule(rule)}, now {_rule(after[subject])}")
    for subject, rule in after.items():
        if subject not in before:
            yield Change(BREAKING, key, f"now refused: {_rule(rule)}")


def _by_subject(rules: list[Plain]) -> dict[tuple[Any, ...], Plain]:
    """Each rule under what it is about: everything but its bounds."""
    return {
        tuple((name, value) for name, value in rule.items() if name not in (*_UPPER, *_LOWER)): rule
        for rule in rules
    }


def _loosened(old: Plain, new: Plain) -> bool:
    return all(new[name] >= old[name] for name in _UPPER if name in old) and all(
        new[name] <= old[name] for name in _LOWER if name in old
    )


def _options(old: Plain, new: Plain) -> Iterator[Change]:
    """What was chosen at export; what it does to a contract stands with the signatures."""
    for name in {**old, **new}:
        was, now = old.get(name), new.get(name)
        if was != now:
            kind = ADDITIVE if name in _NO_NUMBERS else NUMERIC
            yield Change(kind, "options", f"{name} {_chosen(was)}, now {_chosen(now)}")


def _chosen(value: Any) -> Any:
    return "none" if value in (None, "") else value


def _tensors(tensors: list[Plain]) -> dict[str, Plain]:
    return {tensor["name"]: tensor for tensor in tensors}


def _shape(shape: list[Any]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _limit(tolerance: Plain | None) -> str:
    return "0" if tolerance is None else f"{tolerance['limit']:g} {tolerance['unit']}"


def _rule(rule: Plain) -> str:
    fields = ", ".join(f"{name} {value}" for name, value in rule.items() if name != "kind")
    return f"{rule['kind']} ({fields})"
