"""A fake model on a server, and the command that asks it, in this process."""

from __future__ import annotations

import click.testing
import pytest

from export.cli import main

from .fake_model import FakeModel


@pytest.fixture
def model():
    """A server of the fake model."""
    served = FakeModel()
    yield served
    served.stop()


@pytest.fixture
def predict(model):
    """Runs the command against the fake model."""

    def predict(*arguments, address=model.address):
        words = ["predict", *map(str, arguments), "--address", address]
        return click.testing.CliRunner().invoke(main, words, catch_exceptions=False)

    return predict
