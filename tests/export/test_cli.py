"""The command line, as users run it: in a subprocess."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from export.cli import main
from export.maps import draw_maps
from serving_config.process import free_ports
from signatures.contract import PEAK_OPS, KeypointOptions, keypoints_contract
from signatures.contract.size_rules import AtMostNumbers, AtMostSamples

ROOT = Path(__file__).parents[2]
TESTED_ALONE = (AtMostNumbers, AtMostSamples)


def peakserve(*arguments, timeout=240, **environment):
    # As users have it: nothing but the command itself keeps TensorFlow quiet.
    users = {name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-m", "export", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=environment.pop("cwd", ROOT),
        env={**users, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **environment},
    )


def test_help_names_every_command():
    done = peakserve("--help")
    assert done.returncode == 0
    for command in ("export", "adapt", "serve", "verify", "bench", "demo"):
        assert f"  {command} " in done.stdout
        assert peakserve(command, "--help").returncode == 0


@pytest.mark.parametrize(
    "module",
    [
        "signatures",
        "signatures.contract",
        "serving_config",
        "serving_config.programs",
        "export.cli",
        "export.adapters.sleap_config",
        "export.adapters.deeplabcut_config",
        "export.adapters.mmpose_config",
    ],
)
def test_importing_without_tensorflow(module):
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["export", "--version", "0"], "0 is not in the range"),
        (["export", "--model", "nope"], "'nope' is not one of 'peak_ops', 'keypoints'"),
        (["serve", "--model-root", "{tmp}/none"], "no version of peak_ops in"),
        (["demo", "--input", "{tmp}/none.npz"], "does not exist"),
        (
            ["demo", "--input", "{tmp}/bad.npz"],
            "expected the key 'confmaps', got maps; save it with",
        ),
        (["verify"], "expected --address of a running server or --model-root, got neither"),
        (["verify", "--address", "nope"], "--address: expected HOST:PORT, got 'nope'"),
        (["accuracy", "--data", "{tmp}/labels.npz"], "numbers of shape [2, 3, 2] as"),
        (["verify", "--rest-address", "127.0.0.1:1"], "--rest-address needs --address"),
        (["inspect", "--model-root", "{tmp}/none"], "no version of peak_ops in"),
        (["export", "--max-window", "4"], "max_window: expected an odd number"),
        (["demo", "--server", "nope"], "expected the server auto, binary, embedded, docker"),
        (
            ["verify", "--address", "127.0.0.1:{port}", "--timeout", "2"],
            "start one with: peakserve serve",
        ),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["bench", "--out", "{tmp}/none/x"], "make it with: mkdir -p {tmp}/none"),
        (["bench", "--plots", "{tmp}/bad.npz/x"], "where {tmp}/bad.npz is a file"),
        (["tune", "--max-latency", "1", "--plot", "{tmp}/none/x"], "expected a file in a folder"),
        (["verify", "--report", "{tmp}"], "is a directory"),
        (["verify", "--report", "{tmp}/none/x"], "make it with: mkdir -p {tmp}/none"),
        (["config", "--out", "{tmp}/bad.npz"], "is a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_sentence(tmp_path, arguments, text):
    np.savez(tmp_path / "bad.npz", maps=np.zeros(3))
    np.savez(tmp_path / "labels.npz", confmaps=draw_maps(2, 4, 4, 3)[0], gt_cm=np.zeros((1, 2, 2)))
    port = free_ports(1)[0]
    done = peakserve(*(a.format(tmp=tmp_path, port=port) for a in arguments))
    assert done.returncode in (1, 2)
    assert text.format(tmp=tmp_path) in done.stderr
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    assert len(done.stderr.splitlines()) <= 5


@pytest.mark.parametrize(("host", "reason"), [("nope.invalid", ""), ("192.0.2.1", "Cannot assign")])
def test_an_interface_that_is_not_here_is_said_before_the_server(tmp_path, host, reason):
    directory = tmp_path / "peak_ops" / "1"
    directory.mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(b"")
    ports = zip(("--port", "--rest-port"), map(str, free_ports(2)), strict=True)
    done = CliRunner().invoke(
        main, ["serve", "--model-root", str(tmp_path), "--server", "embedded", "--host", host,
               *(word for pair in ports for word in pair)],
    )  # fmt: skip
    assert done.exit_code == 1
    start = f"Error: --host: expected a name or an address of this machine, got {host}: {reason}"
    assert done.output.startswith(start)
    assert done.output.endswith("; pass --host 127.0.0.1, or --host 0.0.0.0 for all interfaces\n")


@pytest.mark.parametrize(
    ("model", "reason"),
    [("topdown", "how many instances are in an image"), ("peak_ops", "are never joined")],
)
def test_what_cannot_be_tuned_is_said(model, reason):
    done = CliRunner().invoke(main, ["tune", "--max-latency", "9", "--model", model])
    assert done.exit_code == 2
    assert f"--model: expected keypoints, got {model}, whose " in done.output
    assert reason in " ".join(done.output.split())


def test_a_server_is_asked_before_tensorflow_is_imported(monkeypatch):
    from click.testing import CliRunner

    from export import cli

    monkeypatch.setattr(cli, "import_tensorflow", lambda: pytest.fail("TensorFlow was imported"))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    done = CliRunner().invoke(cli.main, ["verify", "--address", address])
    assert done.exit_code == 1
    assert "start one with: peakserve serve" in done.stderr


NARROW = ["--max-window", 5, "--max-crop-elements", 5000, "--max-sigma", 3]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A model root, and how the export of a model with narrow bounds into it went."""
    root = tmp_path_factory.mktemp("narrow") / "models"
    return root, peakserve("export", "--model-root", root, *NARROW)


def test_export_numbers_versions_and_never_overwrites(narrow):
    root, first = narrow
    assert re.fullmatch(
        r"replayed \d[\d,]+ cases, \d[\d,]+ numbers equal to eager\n"
        r"warm-up of 11 signatures: the slowest first request takes .* ms after it\n"
        rf"published peak_ops version 1: {root}/peak_ops/1\ncontent sha256:[0-9a-f]{{64}}\n",
        first.stdout,
    )
    assert (
        first.stderr
        == "tracing and staging ...\nexamining ...\nreplaying in a fresh process ...\npublishing ...\n"
    )
    again = peakserve("export", "--model-root", root, "--version", 1, *NARROW)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("Error: version 1 exists already in")
    assert [path.name for path in (root / "peak_ops").iterdir()] == ["1"]
    manifest = json.loads((root / "peak_ops/1/assets.extra/peakserve.json").read_text())
    assert manifest["tool"]["name"] == "peakserve"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", manifest["created"])
    assert manifest["model"]["signatures"][0]["name"] == "smooth_imgs"


@pytest.fixture(params=["embedded", "stock"])
def kind(request):
    """Both kinds of server; without a stock binary a visible skip."""
    from serving_config.programs import find_server

    if request.param == "stock" and find_server().kind != "stock":
        pytest.skip("no stock server: no binary on PATH or in PEAKSERVE_MODEL_SERVER")
    return request.param


def environment_for(kind):
    if kind == "stock":
        return {}
    folders = [
        folder
        for folder in os.environ["PATH"].split(os.pathsep)
        if not (Path(folder) / "tensorflow_model_server").exists()
    ]
    return {"PEAKSERVE_MODEL_SERVER": "", "PATH": os.pathsep.join(folders)}


def test_demo(tmp_path, kind):
    np.save(tmp_path / "maps.npy", draw_maps(1, 6, 7, 2)[0] - 0.5)
    done = peakserve(
        "demo", "--input", tmp_path / "maps.npy", cwd=tmp_path, **environment_for(kind)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    of_peak_ops, of_keypoints = done.stdout.split("\n\nreplayed ")
    check_demo(of_peak_ops, PEAK_OPS, tmp_path, kind, transports=2)
    contract = keypoints_contract(KeypointOptions(height=6, width=7, channels=2))
    check_demo(of_keypoints, contract, tmp_path, kind, transports=3)
    *_, server_line, curl_line = of_peak_ops.splitlines()
    assert curl_line.startswith("curl ")
    if kind == "stock":
        run_both(server_line, curl_line)


def check_demo(text, contract, folder, kind, *, transports):
    """What the demo printed about one family."""
    lines = text.splitlines()
    assert f"exported model: {folder / 'models' / contract.name / '1'}" in lines
    assert any(line.startswith("server: ") and kind in line for line in lines)
    table = [line.replace("REST rows", "rows") for line in lines]
    rows = [line.split() for line in table if re.search(" (gRPC|REST|rows) ", line)]
    assert len(rows) == transports * len(contract.signature_keys())
    for row in rows:
        cases, refused, numbers, *_, wrong = row[2:]
        assert int(cases) >= 4
        # What only a very large request breaks is left to the tests of its rule.
        rules = [r for r in contract.signature(row[0]).rules if not isinstance(r, TESTED_ALONE)]
        assert int(refused) >= len(rules)
        assert int(numbers) >= 20
        assert wrong == "0"
    assert lines[-2].startswith("tensorflow_model_server --port=8500")


def run_both(server_line, curl_line):
    """Runs the demo's last two lines as written, but on free ports and with the found binary."""
    from serving_config.programs import find_server

    grpc_port, rest_port = map(str, free_ports(2))
    server_line = server_line.replace("8500", grpc_port).replace("8501", rest_port)
    curl_line = curl_line.replace("8501", rest_port)
    arguments = [*find_server().command, *shlex.split(server_line)[1:]]
    server = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        curl = [
            *shlex.split(curl_line),
            "--retry",
            "60",
            "--retry-delay",
            "1",
            "--retry-all-errors",
        ]
        done = subprocess.run(curl, capture_output=True, text=True, timeout=90, check=True)
        assert json.loads(done.stdout) == {"outputs": [[0.0, 1.25, 1.0, 0.0]]}
    finally:
        server.kill()
        server.wait()


def test_serve_and_verify_within_the_bounds_of_the_manifest(narrow, kind, tmp_path):
    root, exported = narrow
    assert exported.returncode == 0, exported.stderr
    port, rest_port = free_ports(2)
    environment = {**os.environ, **environment_for(kind), "PYTHONPATH": str(ROOT)}
    serve = [sys.executable, "-m", "export", "serve", "--model-root", root]
    server = subprocess.Popen(
        [*map(str, serve), "--port", str(port), "--rest-port", str(rest_port)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr.readline().startswith("hosting peak_ops 1 with ")
        from serving_config.grpc_client import GrpcClient

        with GrpcClient(f"127.0.0.1:{port}") as client:
            wait_until_available(client, server)
        addresses = ["--address", f"127.0.0.1:{port}", "--rest-address", f"127.0.0.1:{rest_port}"]
        report = tmp_path / "report.json"
        done = peakserve("verify", *addresses, "--model-root", root, "--report", report, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(done.stdout)
        assert told["verdict"] == "equal"
        assert json.loads(report.read_text()).keys() == told.keys()
        maps, server_is, written, verdict = filter(None, done.stderr.splitlines())
        assert maps.startswith("maps: drawn")
        assert server_is.startswith("server: the server at 127.0.0.1:")
        assert written == f"report: {report}"
        assert verdict.startswith("equal within the contract")
        missing = peakserve("verify", *addresses, "--version", 9)
        assert missing.returncode == 1
        assert "expected version 9 of peak_ops to be AVAILABLE, got 1 AVAILABLE" in missing.stderr
    finally:
        server.terminate()
        server.communicate(timeout=30)


def test_serve_on_a_gpu_or_not_at_all(published, tmp_path):
    """The embedded host has none; a stock server is not started where the driver shows none."""
    root = published.parents[1]
    done = peakserve("serve", "--model-root", root, "--server", "embedded", "--gpu")
    assert done.returncode == 1
    assert "expected a stock server for --gpu, got the embedded host" in done.stderr
    server = tmp_path / "tensorflow_model_server"
    server.write_text("#!/bin/sh\necho a server\n")
    server.chmod(0o755)
    only = {"PATH": str(tmp_path), "PEAKSERVE_MODEL_SERVER": str(server)}
    done = peakserve("serve", "--model-root", root, "--server", "binary", "--gpu", **only)
    assert done.returncode == 1
    assert "expected a GPU for --gpu, got none from nvidia-smi" in done.stderr
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho GPU 0: a card\n")
    smi.chmod(0o755)
    server.write_text('#!/bin/sh\necho "$TF_ONEDNN_USE_SYSTEM_ALLOCATOR $@"\n')
    port, rest_port = free_ports(2)
    ports = ["--port", port, "--rest-port", rest_port]
    done = peakserve("serve", "--model-root", root, "--server", "binary", "--gpu", *ports, **only)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("true --port=")
    assert "--per_process_gpu_memory_fraction=0.9" in done.stdout
    assert f"--model_config_file={root}/.serving/peak_ops/models.config" in done.stdout


def wait_until_available(client, process):
    from serving_config.errors import ServingError

    for _ in range(600):
        try:
            if any(s.is_available for s in client.status(timeout=1, wait_for_ready=True).values()):
                return
        except ServingError:
            pass
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the server ended: {process.stderr.read()}")
    raise AssertionError("the server did not become available")


def json_of(*arguments):
    """The one document of a command that succeeds."""
    done = peakserve(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_inspect_as_json(published):
    told = json_of("inspect", "--model-root", published.parents[1])
    assert (told["model"], told["version"], told["versions"][0]["version"]) == ("peak_ops", 1, 1)
    assert told["content"].startswith("sha256:")
    assert told["contract"]["default"] == "refine_peaks_local_direction"
    assert told["signatures"]["serving_default"]["curl"].startswith("curl ")


DAMAGE = {
    "not JSON": lambda manifest: "{",
    "a list": lambda manifest: "[]",
    "no model": lambda manifest: json.dumps({**manifest, "model": None}),
    "no content": lambda manifest: json.dumps(
        {k: v for k, v in manifest.items() if k != "content"}
    ),
    "other options": lambda manifest: json.dumps(
        {**manifest, "model": {**manifest["model"], "options": {"max_window": "x"}}}
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_manifest_is_one_sentence(published, tmp_path, damage):
    name = "assets.extra/peakserve.json"
    manifest = tmp_path / "peak_ops" / "1" / name
    manifest.parent.mkdir(parents=True)
    manifest.write_text(damage(json.loads((published / name).read_text())))
    done = peakserve("inspect", "--model-root", tmp_path, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: .*; (use|export) .*\n", done.stderr), done.stderr
    assert "unexpected" not in done.stderr


def test_inspect_needs_no_server_and_shows_everything(published):
    done = peakserve("inspect", "--model-root", published.parents[1])
    assert done.returncode == 0, done.stderr
    for text in (
        "peak_ops version 1",
        "content    sha256:",
        "max_window 129",
        "window_length: int64 []",
        "delta: float32 [], default 0.25",
        "rule    crops at most 67108864 elements",
        "signature serving_default (the same as refine_peaks_local_direction)",
    ):
        assert text in done.stdout
    assert done.stdout.count("curl --silent") == done.stdout.count("with GrpcClient") == 11


def test_verify_finds_a_model_that_differs(tmp_path, kind):
    """A model whose refinement is another function must not pass."""
    from export.builder import write_saved_model
    from serving_config.process import ModelServer
    from serving_config.programs import EMBEDDED_HOST, find_server
    from signatures import PeakOps
    from signatures.contract import PEAK_OPS
    from signatures.guard import body_of
    from signatures.local_direction import refine_peaks_local_direction
    from signatures.tracing import traced

    module = PeakOps()

    def twice(imgs, peaks, delta):
        return body_of(refine_peaks_local_direction)(imgs, peaks, 2 * delta)

    name = "refine_peaks_local_direction"
    module.functions[name] = traced(PEAK_OPS.signature(name), twice)
    directory = tmp_path / "peak_ops" / "1"
    directory.mkdir(parents=True)
    write_saved_model(module, directory)
    program = EMBEDDED_HOST if kind == "embedded" else find_server()
    with ModelServer("peak_ops", directory.parent, program=program) as server:
        done = peakserve("verify", "--address", server.grpc_address)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(
        r"refine_peaks_local_direction over gRPC, case delta_0\.25: output refined_peaks at "
        r"\[\d+, \d\] expected [\d.-]+, got [\d.-]+ \(\d[\de+]* ulps\)",
        done.stderr,
    )
