"""Starting a server on an exported model, and the lines that tell others how to."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

import click

from export.store import StoreError, VersionStore
from serving_config.programs import BINARY_NAME, STOCK, ServerProgram, find_server, launch_command

GRPC_PORT, REST_PORT = 8500, 8501


def server_line(model: str, base_path: Path) -> str:
    """The command that hosts a model on the stock server."""
    program = ServerProgram(STOCK, (BINARY_NAME,))
    return shlex.join(
        launch_command(
            program,
            model_name=model,
            model_base_path=base_path,
            port=GRPC_PORT,
            rest_api_port=REST_PORT,
        )
    )


def curl_line(model: str, version: int) -> str:
    """A command that refines one peak of a 3x3 map over REST: the answer is [0, 1.25, 1, 0]."""
    body = {
        "inputs": {
            "imgs": [[[[0], [1], [0]], [[1], [4], [1]], [[0], [2], [0]]]],
            "peaks": [[0, 1, 1, 0]],
            "delta": 0.25,
        }
    }
    url = f"http://127.0.0.1:{REST_PORT}/v1/models/{model}/versions/{version}:predict"
    return f"curl --silent {url} --data {shlex.quote(json.dumps(body))}"


def serve_in_place(
    model: str, model_root: Path, *, port: int, rest_port: int, host: str
) -> NoReturn:
    """Replaces this process by a server on the newest version of a model.

    Raises:
      StoreError: There is no version to host.
    """
    store = VersionStore(model_root, model)
    if not store.versions():
        raise StoreError(
            f"no version of {model} in {store.path}; "
            f"run: peakserve export --model-root {shlex.quote(str(model_root))}"
        )
    program = find_server()
    command = launch_command(
        program,
        model_name=model,
        model_base_path=store.path,
        port=port,
        rest_api_port=rest_port,
        extra_flags=() if program.kind == STOCK else (f"--host={host}",),
    )
    click.echo(f"hosting {model} {store.versions()[-1]} with {program.version_text}", err=True)
    click.echo(shlex.join(command), err=True)
    sys.stdout.flush()
    os.execv(command[0], command)
