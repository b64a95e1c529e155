"""The report of `doctor`: its page in a browser, and JSON."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from export.cli import main
from export.doctor.findings import CODES, ERROR, INFO, SEVERITIES, WARNING
from export.reporting.doctor_page import doctor_page
from export.reporting.environment import environment


def doctor(*arguments):
    """The command in this process, which has TensorFlow already."""
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)])


def test_the_command_on_a_sound_model(published, tmp_path, check_page):
    report = tmp_path / "report.html"
    done = doctor(published, "--gpu", "--report", report, "--json")
    assert done.exit_code == 0, done.stderr
    assert f"report: {report}" in done.stderr
    told = json.loads(done.stdout)
    assert told["content"].startswith("sha256:")
    assert "refine_peaks_gaussian" in told["signatures"]
    page = check_page(report, "No errors")
    assert "Nothing speaks against serving this model" in page.text
    assert all(text in page.text for text in (str(published), told["content"], "GPU\nexamined"))
    for finding in told["findings"]:
        assert finding["sentence"] in page.text
        assert finding["fix"] in page.text
    assert all(row["signature"] in page.text for row in told["placement"])


def test_the_command_on_a_damaged_model_writes_json(tmp_path):
    (tmp_path / "3").mkdir()
    report = tmp_path / "report.json"
    done = doctor(tmp_path, "--report", report)
    assert done.exit_code == 1
    assert done.stdout.endswith(f"report: {report}\n")
    told = json.loads(report.read_text())
    assert told["counts"]["error"] == 1
    assert (told["content"], told["signatures"], told["gpu"]) == (None, [], False)
    assert told["environment"]["peakserve"]


def finding(code, signature, sentence="<script>alert(1)</script> is wrong", fix="repair it"):
    severity = CODES[code]
    return {"code": code, "severity": severity, "signature": signature, "sentence": sentence,
            "fix": fix}  # fmt: skip


def diagnosis(*findings):
    """Plain data as `as_data` gives it."""
    severities = [found["severity"] for found in findings]
    return {
        "directory": "/models/m/1",
        "content": None,
        "server_version": "2.20",
        "gpu": False,
        "batching": None,
        "started": "2026-01-02T03:04:05+00:00",
        "signatures": ["first", "second_one"],
        "counts": {severity: severities.count(severity) for severity in SEVERITIES},
        "findings": list(findings),
        "placement": [],
        "environment": environment(),
    }


def test_errors_come_first_with_what_to_do(tmp_path, check_page):
    data = diagnosis(
        finding("static-batch", "first"),
        finding("static-batch", "second_one"),
        finding("missing-variables", None, "expected variables, got none", "copy it again"),
        finding("large-reply", "first"),
        finding("single-output", None),
    )
    path = tmp_path / "page.html"
    path.write_text(doctor_page(data))
    page = check_page(path, "3 errors")
    places = [page.text.index(f"\n{word}\n") for word in ("Errors", "Warnings", "Notes")]
    assert places == sorted(places)
    # The same of two signatures is said once, and what a model contains is text.
    errors = page.text[: places[1]]
    assert errors.count("<script>alert(1)</script> is wrong") == 1
    assert "✕ error static-batch in first, second_one" in errors
    assert "What to do: copy it again" in errors
    assert all(code in page.text for code in CODES)


@pytest.mark.parametrize(
    ("codes", "headline", "advice"),
    [
        ([], "Nothing found", "Nothing speaks against"),
        (["single-output"], "No errors", "Found: 1 note. Nothing speaks against"),
        (["large-reply"], "No errors", "Found: 1 warning. Read the warnings"),
        (["static-batch"], "1 error", "Found: 1 error. This model should not be served"),
    ],
    ids=["nothing", INFO, WARNING, ERROR],
)
def test_the_verdict_follows_the_worst(codes, headline, advice):
    page = doctor_page(diagnosis(*(finding(code, None) for code in codes)))
    assert f"</span> {headline}</h1>" in page
    assert advice in page
