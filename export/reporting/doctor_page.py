"""The page of a diagnosis: its data arranged for the template."""

from __future__ import annotations

from collections import Counter
from typing import Any

from export.doctor.findings import CODES, ERROR, INFO, SEVERITIES, WARNING
from export.reporting.page import render

# The word of each severity, and the sign before it, which tells it without a colour.
_WORDS = {ERROR: ("error", "errors"), WARNING: ("warning", "warnings"), INFO: ("note", "notes")}
_SIGNS = {ERROR: "✕", WARNING: "!", INFO: "i"}
_MEANINGS = {
    ERROR: "fails requests, loading, or other clients",
    WARNING: "a trap that needs a certain request, client or load",
    INFO: "worth knowing",
}
_MODEL = "the model"


def doctor_page(content: dict[str, Any]) -> str:
    """A page of what `as_data` gives."""
    return render("doctor.html", doctor_context(content))


def doctor_context(content: dict[str, Any]) -> dict[str, Any]:
    """What the template shows."""
    counts = content["counts"]
    good = not counts[ERROR]
    said = [_counted(counts[severity], severity) for severity in SEVERITIES if counts[severity]]
    if good:
        headline = "No errors" if counts[WARNING] or counts[INFO] else "Nothing found"
    else:
        headline = _counted(counts[ERROR], ERROR)
    return {
        "command": "doctor",
        "started": content["started"],
        "good": good,
        "headline": headline,
        "title": f"{headline}: {content['directory']}, peakserve doctor",
        "lede": _lede(said, counts),
        "facts": _facts(content),
        "groups": [_group(severity, content["findings"]) for severity in SEVERITIES],
        "signatures": _signatures(content),
        "severities": [(severity, _WORDS[severity][1]) for severity in SEVERITIES],
        "placement": content["placement"],
        "looked_for": _looked_for(content["findings"]),
        "environment": content["environment"],
        "environment_note": "Where the model was examined. Nothing of it was run.",
    }


def _lede(said: list[str], counts: dict[str, int]) -> str:
    """What the findings together mean."""
    found = ", ".join(said) if said else "nothing"
    if counts[ERROR]:
        return f"Found: {found}. This model should not be served as it is."
    if counts[WARNING]:
        return f"Found: {found}. Read the warnings before this model is served."
    return f"Found: {found}. Nothing speaks against serving this model."


def _facts(content: dict[str, Any]) -> list[tuple[str, str]]:
    batching = content["batching"] or "as the directory shows"
    return [
        ("directory", content["directory"]),
        ("content", content["content"] or "not exported by peakserve, or not readable"),
        ("signatures", ", ".join(content["signatures"]) or "none that can be read"),
        ("assumed server", f"TensorFlow Serving {content['server_version']}"),
        ("GPU", "examined" if content["gpu"] else "not asked: --gpu"),
        ("batching", batching),
    ]


def _group(severity: str, findings: list[dict[str, Any]]) -> dict[str, Any]:
    """The findings of one severity; those that differ in their signature only are one."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for found in findings:
        if found["severity"] == severity:
            key = (found["code"], found["sentence"], found["fix"])
            rows.setdefault(key, []).append(found["signature"] or _MODEL)
    return {
        "severity": severity,
        "word": _WORDS[severity][0],
        "title": _WORDS[severity][1].capitalize(),
        "sign": _SIGNS[severity],
        "meaning": _MEANINGS[severity],
        "findings": [
            {"code": code, "sentence": sentence, "fix": fix, "where": where}
            for (code, sentence, fix), where in rows.items()
        ],
    }


def _signatures(content: dict[str, Any]) -> list[dict[str, Any]]:
    """How much was found of the model, and of each signature."""
    counts = Counter(
        (found["signature"] or _MODEL, found["severity"]) for found in content["findings"]
    )
    named = [found["signature"] for found in content["findings"] if found["signature"]]
    keys = dict.fromkeys([_MODEL, *content["signatures"], *named])
    return [
        {"key": key, "counts": [counts[key, severity] for severity in SEVERITIES]} for key in keys
    ]


def _looked_for(findings: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """Every code, its severity, and how often it was found."""
    counts = Counter(found["code"] for found in findings)
    return [(code, _WORDS[severity][0], counts[code]) for code, severity in CODES.items()]


def _counted(number: int, severity: str) -> str:
    """A number with its word.

    >>> _counted(1, "info"), _counted(2, "error")
    ('1 note', '2 errors')
    """
    return f"{number} {_WORDS[severity][number != 1]}"
