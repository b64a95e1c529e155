"""The page of `doctor`, in a browser: findings first, each with its fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.doctor import examine
from export.doctor.findings import CODES
from export.doctor.report import as_data
from export.reporting.doctor_page import doctor_page

from ...conftest import load_module

MODELS = load_module(Path(__file__).parents[1] / "broken_models.py")


@pytest.fixture
def page_of(tmp_path):
    def page(directory, **options):
        path = tmp_path / "page.html"
        content = as_data(examine(directory, **options))
        path.write_text(doctor_page(content))
        return path, content

    return page


def test_the_page_of_a_sound_model(tmp_path, page_of, check_page):
    MODELS.good(tmp_path)
    path, content = page_of(tmp_path, gpu=True)
    assert content["counts"]["error"] == 0
    page = check_page(path, "No errors" if sum(content["counts"].values()) else "Nothing found")
    assert all(signature in page.text for signature in content["signatures"])
    assert str(tmp_path) in page.text
    # Also what was looked for and not found: a reader has to know what the verdict rests on.
    assert all(code in page.text for code in CODES)


def test_the_page_of_a_faulty_model(tmp_path, page_of, check_page):
    MODELS.without_variables(tmp_path / "model")
    path, content = page_of(tmp_path / "model")
    page = check_page(path, "1 error")
    (finding,) = [found for found in content["findings"] if found["severity"] == "error"]
    found, signatures = page.text.index(finding["sentence"]), page.text.index("\nSignatures")
    assert found < page.text.index(finding["fix"]) < signatures
    assert page.text.index("missing-variables") < found
    assert "should not be served" in page.text
