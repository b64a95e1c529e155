"""The page of a verification: its data arranged for the template.

The verdict comes first, then what differs, then each signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from export.reporting.page import count, render, short
from export.reporting.pictured import Pictured
from export.reporting.pictures import EAGER, picture_context
from export.reporting.plots import latency_plot, span
from signatures.contract import DEFAULT_SIGNATURE, ModelContract, SignatureContract

# Of one signature, before the list of all.
_SHOWN = 4
_ADDRESSES = (("gRPC", "grpc"), ("REST", "rest"))


def verification_page(
    content: dict[str, Any], contract: ModelContract, pictured: Sequence[Pictured]
) -> str:
    """A page.

    Args:
      content: See `report_of`.
      contract: The model family.
      pictured: Cases whose points are drawn.
    """
    return render("verification.html", verification_context(content, contract, pictured))


def verification_context(
    content: dict[str, Any], contract: ModelContract, pictured: Sequence[Pictured]
) -> dict[str, Any]:
    """What the template shows."""
    pictures: dict[str, list[dict[str, Any]]] = {}
    for shown in pictured:
        pictures.setdefault(shown.signature, []).append(picture_context(shown, contract))
    every = [case["eager_ms"] for case in content["cases"]]
    every += [served["ms"] for case in content["cases"] for served in case["served"]]
    times = [number for number in every if number is not None]
    limits = span(times) if times else (1.0, 10.0)
    signatures = [
        _signature(key, content, contract, limits, pictures.get(key, []))
        for key in dict.fromkeys(case["signature"] for case in content["cases"])
    ]
    good = content["verdict"] == "equal"
    model = content["model"]
    named = model["name"] + ("" if model["version"] is None else f" {model['version']}")
    return {
        "command": "verify",
        "good": good,
        "headline": "Served equals eager" if good else "Served differs from eager",
        "title": f"{'equal' if good else 'different'}: {named}, peakserve verify",
        "lede": _lede(content, signatures),
        "facts": _facts(content),
        "faults": [_first_faults(signature) for signature in signatures if signature["faults"]],
        "advice": _advice(signatures, content["transports"]),
        "signatures": signatures,
        "ways": [EAGER, *(row["transport"] for row in content["transports"])],
        "options": contract.options,
        "environment_note": "The side that called the eager functions and sent the requests.",
        **{
            key: content[key]
            for key in ("model", "started", "transports", "undecided", "environment")
        },
    }


def _lede(content: dict[str, Any], signatures: list[dict[str, Any]]) -> str:
    transports = _listed(row["transport"] for row in content["transports"])
    cases = f"{count(content['distinct_cases'])} cases over {transports}"
    if content["verdict"] == "equal":
        numbers = count(sum(row["numbers"] for row in content["transports"]))
        how = (
            "are equal to the last bit wherever the contract promises it"
            if content["equal_bits_required"]
            else "are equal within the contract"
        )
        return f"{numbers} numbers of {cases} {how}."
    wrong = sum(signature["wrong"] for signature in signatures)
    bad = [signature for signature in signatures if signature["wrong"]]
    if not wrong:
        return "Nothing was compared of a signature: that proves nothing."
    of = f"{len(bad)} of {len(signatures)} signatures"
    return (
        f"{count(wrong)} {'answer differs' if wrong == 1 else 'answers differ'}, in {of}, among "
        f"{cases}: {_listed(signature['key'] for signature in bad)}."
    )


def _advice(signatures: list[dict[str, Any]], transports: list[dict[str, Any]]) -> str:
    """Where to look first, by how far the differences spread.

    >>> _advice([{"wrong": 0}, {"wrong": 2}], [{"transport": "gRPC", "wrong_outputs": 2}])[:42]
    'Other signatures are equal: look first at '
    """
    wrong = [row["transport"] for row in transports if row["wrong_outputs"]]
    if not wrong:
        return ""
    if len(wrong) < len(transports):
        return (
            f"Answers differ only over {_listed(wrong)}: look first at what lies between the "
            "server and this machine, such as a proxy."
        )
    if all(signature["wrong"] for signature in signatures):
        return (
            "Every signature differs, over every transport: look first whether the server hosts "
            "the model and version that are named above."
        )
    return (
        "Other signatures are equal: look first at what these have in common, such as a device "
        "or a network."
    )


def _facts(content: dict[str, Any]) -> list[tuple[str, str]]:
    model, server, maps = content["model"], content["server"], content["maps"]
    samples, height, width, channels = maps["shape"]
    source = "drawn Gaussians with noise" if maps["source"] == "drawn" else maps["source"]
    asked = [f"{way} at {server[key]}" for way, key in _ADDRESSES if server[key]]
    # A running server is called by its address.
    is_running = any(server[key] and server[key] in server["name"] for _, key in _ADDRESSES)
    name = "" if is_running else f"{server['name']}; "
    version = "" if model["version"] is None else f" version {model['version']}"
    return [
        ("model", f"{model['name']}{version}"),
        ("content", model["content"] or "not known: the version is not in a --model-root here"),
        ("server", f"{name}{_listed(asked)}"),
        (
            "maps",
            f"{source}: {samples} samples, {height} x {width} pixels, {channels} channels",
        ),
        ("took", f"{content['seconds']:.1f} s"),
    ]


def _signature(
    key: str,
    content: dict[str, Any],
    contract: ModelContract,
    limits: tuple[float, float],
    pictures: list[dict[str, Any]],
) -> dict[str, Any]:
    """One section."""
    promised = contract.signature(key)
    of_key = [case for case in content["cases"] if case["signature"] == key]
    rows = [
        {"largest_difference": 0.0, "largest_ulps": 0.0, "allowed": "0", **row}
        for row in (*content["float_outputs"], *content["discrete_outputs"])
        if row["signature"] == key
    ]
    cases = [_case(case) for case in of_key]
    ways = [row["transport"] for row in rows]
    faults = _grouped(fault for fault in content["mismatches"] if fault["signature"] == key)
    times = _latencies(of_key)
    same_as = promised.name if key == DEFAULT_SIGNATURE else None
    anchor = _anchor(key)
    return {
        "key": key,
        "anchor": anchor,
        "same_as": same_as and {"key": same_as, "anchor": _anchor(same_as)},
        "summary": promised.summary,
        "promise": _promise(promised, exact=content["equal_bits_required"]),
        "wrong": sum(row["wrong_outputs"] for row in rows) or len(faults),
        "faults": faults,
        "difference": max(case["difference"] for case in cases),
        "ulps": max(served["largest_ulps"] for case in of_key for served in case["served"]),
        "allowed": rows[0]["allowed"].removesuffix(" of the largest output").replace("0 ulps", "0"),
        "transports": rows,
        "ways": ways,
        "medians": {way: float(np.median(numbers)) for way, numbers in times.items()},
        "plot": Markup(latency_plot(times, limits, anchor, _spoken(key, times))) if times else "",
        "margins": [row for row in content["decision_margins"] if row["signature"] == key],
        # What differs is shown with the verdict.
        "pictures": [shown for shown in pictures if not (faults and shown["differs"])],
        "differing_pictures": [shown for shown in pictures if shown["differs"]],
        "cases": sorted(cases, key=lambda case: not case["wrong"]),
        "tensors": [
            *(("input", tensor) for tensor in promised.inputs),
            *(("output", tensor) for tensor in promised.outputs),
        ],
        "rules": [rule.describe() for rule in promised.rules],
    }


def _promise(promised: SignatureContract, *, exact: bool) -> str:
    """What may differ, and why."""
    tolerance = promised.tolerance
    if tolerance is None:
        return "Outputs must be equal to the last bit."
    if exact and tolerance.exact_on_same_build:
        why = "the server is of the same build, or that was asked"
        return f"Outputs must be equal to the last bit: {why}."
    return f"Outputs may differ by {tolerance}: {tolerance.reason}."


def _case(case: dict[str, Any]) -> dict[str, Any]:
    served = case["served"]
    return {
        "name": case["case"],
        "inputs": case["inputs"],
        "refused": case["refused"],
        "eager": case["eager_ms"],
        "served": [row["ms"] for row in served],
        "difference": max(row["largest_difference"] for row in served),
        "wrong": sum(row["wrong_outputs"] for row in served),
    }


def _latencies(cases: Iterable[dict[str, Any]]) -> dict[str, list[float]]:
    """Eager and each transport to milliseconds of their answers."""
    times: dict[str, list[float]] = {}
    for case in cases:
        ways = [
            (EAGER, case["eager_ms"]),
            *((row["transport"], row["ms"]) for row in case["served"]),
        ]
        for way, number in ways:
            if number is not None:
                times.setdefault(way, []).append(number)
    return times


def _spoken(key: str, times: dict[str, list[float]]) -> str:
    medians = "; ".join(
        f"{way}, {len(numbers)} requests, median {short(float(np.median(numbers)))} ms, from "
        f"{short(min(numbers))} to {short(max(numbers))} ms"
        for way, numbers in times.items()
    )
    return f"Latencies of {key}. {medians}."


def _grouped(faults: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mismatches that are the same over several transports, once each."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for fault in faults:
        index = tuple(fault["index"])
        about = (fault["case"], fault["output"], index, fault["expected"], fault["got"])
        groups.setdefault((*about, fault["ulps"]), []).append(fault["transport"])
    return [
        {
            "case": case,
            "output": output,
            "position": str(list(index)) if index else "",
            "expected": expected,
            "got": got,
            "apart": _apart(expected, got),
            "ulps": distance,
            "transports": _listed(transports),
        }
        for (case, output, index, expected, got, distance), transports in groups.items()
    ]


def _apart(expected: str, got: str) -> float | None:
    """How far two numbers are apart; `None` of what is no number.

    >>> _apart("136.25", "144"), _apart("NaN", "1"), _apart("True", "False")
    (7.75, None, None)
    """
    try:
        difference = abs(float(expected) - float(got))
    except ValueError:
        return None
    return difference if np.isfinite(difference) else None


def _first_faults(signature: dict[str, Any]) -> dict[str, Any]:
    faults = signature["faults"]
    return {
        "signature": signature["key"],
        "anchor": signature["anchor"],
        "wrong": signature["wrong"],
        "shown": faults[:_SHOWN],
        "more": len(faults[_SHOWN:]),
        "pictures": signature["differing_pictures"],
    }


def _anchor(key: str) -> str:
    """The name of a section; no key has other characters than a name may have."""
    return f"signature-{key}"


def _listed(words: Iterable[str]) -> str:
    """Words for a sentence.

    >>> _listed(["gRPC", "REST", "REST rows"])
    'gRPC, REST and REST rows'
    """
    *first, last = list(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last
