"""What is refused before the work, and where a report's form comes from."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from export.cli import main
from export.reporting.files import ReportError, require_pages


@pytest.mark.parametrize("command", ["verify", "doctor"])
def test_other_endings_are_refused(command, tmp_path):
    arguments = [command, "--report", str(tmp_path / "report.pdf")]
    done = CliRunner().invoke(main, [*arguments, *([str(tmp_path)] if command == "doctor" else [])])
    assert done.exit_code == 2
    assert "expected a file that ends in .html or .json" in done.output.replace("\n", " ")


@pytest.mark.parametrize("command", ["verify", "doctor"])
def test_what_makes_pages_is_looked_for_before_the_work(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    report = tmp_path / "report.html"
    arguments = [command, "--report", str(report)]
    done = CliRunner().invoke(main, [*arguments, *([str(tmp_path)] if command == "doctor" else [])])
    assert done.exit_code == 1
    assert "got no Jinja2; pip install 'peakserve[report]'" in done.output
    assert not report.exists()


def test_json_needs_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    require_pages(tmp_path / "report.json")
    require_pages(None)
    with pytest.raises(ReportError, match="got no Jinja2 and no matplotlib; pip install"):
        require_pages(tmp_path / "report.HTML")
