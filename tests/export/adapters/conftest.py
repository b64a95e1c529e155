"""What the tests of adapters share."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from export.adapters.facts import with_facts
from export.backbone import load_network
from export.cli import main
from export.geometry import options_with
from export.network_source import NetworkSource
from signatures.keypoints import Keypoints


@pytest.fixture
def peakserve():
    """Runs a command line."""

    def run(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def adapted(peakserve):
    """Runs `adapt` and gives what it printed."""

    def run(*arguments):
        result = peakserve("adapt", *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def refusal(peakserve):
    """What a command line that fails says, in one sentence."""

    def run(*arguments):
        result = peakserve(*arguments)
        assert result.exit_code == 1, result.output
        assert result.stderr.count("\n") == 1, result.stderr
        return result.stderr

    return run


@pytest.fixture
def model_of():
    """The `keypoints` model of an adapted network, as `export` would make it."""

    def make(folder, **chosen):
        options, _ = with_facts("keypoints", {"batching": "none", **chosen}, folder)
        channels = 1 if options.get("grayscale") else 3
        network = load_network(NetworkSource(folder), channels=channels)
        return Keypoints(options_with(network, options), network)

    return make


@pytest.fixture
def answers(model_of):
    """Points and confidences of images, by that model."""

    def ask(folder, images, **chosen):
        module = model_of(folder, threshold=-1e9, **chosen)
        points, confidences, valid = module.stages["images"].whole(tf.constant(images))
        assert np.all(valid)
        return points.numpy(), confidences.numpy()

    return ask
