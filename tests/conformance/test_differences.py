"""The list of differences stays short and true."""

from __future__ import annotations

from pathlib import Path

from .differences import DIFFERENCES, MOST


def test_the_list_is_short_and_says_why():
    assert len(DIFFERENCES) <= MOST
    for case, reason in DIFFERENCES.items():
        assert len(reason.split()) >= 5, f"{case}: say what the host does instead, and why"


def test_every_entry_names_a_case(case_ids):
    # Of a file that is not part of this run it can only be said whether it exists.
    here, collected = Path(__file__).parent, {case.split("::")[0] for case in case_ids}
    unknown = [
        case
        for case in DIFFERENCES
        if case not in case_ids
        and (case.split("::")[0] in collected or not (here / case.split("::")[0]).is_file())
    ]
    assert not unknown, f"stale entries of differences.py: {unknown}"
