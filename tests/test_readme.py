"""The README says what the contracts and the command line say."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

from export.snippets import curl_snippet, python_snippet, signature_table
from signatures.contract import (
    PEAK_OPS,
    KeypointOptions,
    TopdownOptions,
    keypoints_contract,
    topdown_contract,
)

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_signature_table_is_made_from_the_contracts():
    assert f"\n\n{signature_table(PEAK_OPS)}\n\n" in README


def test_the_table_of_keypoints_is_made_from_the_contracts():
    options = KeypointOptions(backbone=True, with_maps=True)
    assert f"\n\n{signature_table(keypoints_contract(options))}\n\n" in README


def test_every_option_of_keypoints_is_explained():
    section = README.split("## The model family `keypoints`")[1].split("\n## ")[0]
    derived = {"backbone", "input_height", "input_width"}
    for field in dataclasses.fields(KeypointOptions):
        assert field.name in derived or f"--{field.name.replace('_', '-')}" in section, field.name


def test_top_down_models_are_explained():
    assert f"\n\n{signature_table(topdown_contract(TopdownOptions()))}\n\n" in README
    section = README.split("## Top-down models")[1].split("\n## ")[0]
    derived = {"centroid_height", "centroid_width"}
    for field in dataclasses.fields(TopdownOptions):
        assert field.name in derived or f"--{field.name.replace('_', '-')}" in section, field.name


def test_the_ci_script_runs_the_readmes_test_command():
    pattern = re.search(r"grep --max-count=1 -- \"(.*)\" README.md", (ROOT / ".ci/run").read_text())
    (line,) = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert line.endswith(".venv/bin/pytest")


def test_python_examples_parse():
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        ast.parse(block)


def code_after(heading, language):
    section = README.split(f"### {heading}\n")[1]
    return re.search(rf"```{language}\n(.*?)```", section, re.S)[1].strip()


def test_the_examples_are_made_from_the_contracts():
    assert code_after("gRPC", "python") == python_snippet(PEAK_OPS, PEAK_OPS.default).strip()
    assert code_after("REST", "sh") == curl_snippet(PEAK_OPS, PEAK_OPS.default)


def test_the_grpc_example_prints_what_the_readme_shows(server, capsys):
    example = code_after("gRPC", "python").replace("127.0.0.1:8500", server.grpc_address)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == code_after("gRPC", "text")


def test_the_rest_example_prints_what_the_readme_shows(server):
    import subprocess

    example = code_after("REST", "sh").replace("127.0.0.1:8501", server.rest_address)
    done = subprocess.run(["bash", "-c", example], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == code_after("REST", "text")
