"""What the command `export` does, and what it prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from export.backbone import load_network, load_networks
from export.builder import Exported, export_model
from export.eager import Module, module_of
from export.geometry import options_with, topdown_options_with
from export.network_source import NetworkSource
from export.warmup import Shape
from export.writing import print_json
from serving_config.batching import BATCHING_FLAGS
from signatures.contract import ImageOptions, KeypointOptions, TopdownOptions, contract_with
from signatures.keypoints import Keypoints
from signatures.network import Network, TwoNetworks
from signatures.topdown import Topdown


def export_and_tell(
    model: str,
    model_root: Path,
    *,
    version: int | None = None,
    force: bool = False,
    options: Mapping[str, Any],
    source: NetworkSource | None = None,
    warmup_shapes: Sequence[Shape] | None = None,
    allow_breaking: bool = False,
    as_json: bool = False,
) -> Exported:
    """Exports a model family and prints what came of it, as text or as JSON.

    Raises:
      StoreError: The version exists, or the folder cannot be written.
      ReplayError: The exported model does not answer as eager does.
      InvalidInputError: Impossible options.
      BackboneError: A network that cannot be used.
      BreakingChangeError: Clients of the newest version could not use this one.
    """
    module: Module
    if source is None:
        module = module_of(contract_with(model, options))
    elif source.centroid is not None:
        module = _with_two_networks(source, options, notes_to_stderr=as_json)
    else:
        module = _with_network(source, options, notes_to_stderr=as_json)
    exported = export_model(
        model_root,
        module,
        version=version,
        force=force,
        source=source,
        warmup_shapes=warmup_shapes,
        allow_breaking=allow_breaking,
        progress=lambda step: click.echo(f"{step} ...", err=True),
    )
    name = module.contract.name
    if isinstance(module, Keypoints | Topdown):
        for line in _about_batching(module.options):
            click.echo(line, err=as_json)
    if as_json:
        print_json(export_data(name, exported))
    else:
        click.echo("\n".join(_summary(name, exported)))
    return exported


def export_data(name: str, exported: Exported) -> dict[str, Any]:
    """What came of an export, as plain data."""
    counts = exported.replayed
    return {
        "model": name,
        "version": exported.version,
        "directory": str(exported.directory),
        "content": exported.content,
        "published": exported.published,
        "replayed": None
        if counts is None
        else {
            "cases": counts.cases,
            "numbers": counts.elements,
            "warmup_seconds": {
                key: {"first": first, "next": later}
                for key, (first, later) in counts.warmup.items()
            },
        },
    }


def _summary(name: str, exported: Exported) -> Iterator[str]:
    """What came of an export, in lines."""
    if exported.replayed:
        counts = exported.replayed
        yield f"replayed {counts.cases:,} cases, {counts.elements:,} numbers equal to eager"
        if counts.warmup:
            first, later = (max(times) for times in zip(*counts.warmup.values(), strict=True))
            yield (
                f"warm-up of {len(counts.warmup)} signatures: the slowest first request takes "
                f"{first * 1000:,.0f} ms without it, {later * 1000:,.1f} ms after it"
            )
        yield f"published {name} version {exported.version}: {exported.directory}"
    else:
        yield (
            f"unchanged: {name} version {exported.version} has this content already, nothing was "
            f"published (--force publishes anyway): {exported.directory}"
        )
    yield f"content {exported.content}"


def _with_network(
    source: NetworkSource, chosen: Mapping[str, Any], *, notes_to_stderr: bool
) -> Keypoints:
    """A `keypoints` model with a network; says what was found out about it."""
    channels = 1 if chosen.get("grayscale") else 3
    network = load_network(source, channels=channels)
    options = options_with(network, chosen)
    size = "any size"
    if options.input_height:
        size = f"{options.input_height} x {options.input_width}"
    click.echo(
        f"network: {source.path}, input {size} x {network.channels}, maps of "
        f"{options.channels} channels, stride {options.output_stride:g}",
        err=notes_to_stderr,
    )
    return Keypoints(options, network)


def _with_two_networks(
    source: NetworkSource, chosen: Mapping[str, Any], *, notes_to_stderr: bool
) -> Topdown:
    """A `topdown` model; says what was found out about its networks."""
    networks = load_networks(source, channels=1 if chosen.get("grayscale") else 3)
    assert isinstance(networks, TwoNetworks)
    options = topdown_options_with(networks, chosen)
    click.echo(
        f"centroid network: {source.centroid}, scale {options.centroid_scale:g}, stride "
        f"{options.centroid_stride:g}",
        err=notes_to_stderr,
    )
    click.echo(
        f"instance network: {source.path}, crops of {options.crop_size} x {options.crop_size}, "
        f"scale {options.instance_scale:g}, maps of {options.channels} channels, stride "
        f"{options.instance_stride:g}",
        err=notes_to_stderr,
    )
    return Topdown(options, networks)


def options_and_network(
    source: NetworkSource | None, chosen: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], tuple[KeypointOptions, Network | None]]:
    """Makes variants of a `keypoints` model, of which all share one network.

    Args:
      source: Where the network comes from, if there is one.
      chosen: Options that all variants have.

    Returns:
      From further options to all options and the network.

    Raises:
      BackboneError: A network that cannot be used.
    """
    if source is None:
        return lambda more: (KeypointOptions(**{**chosen, **more}), None)
    network = load_network(source, channels=1 if chosen.get("grayscale") else 3)
    return lambda more: (options_with(network, {**chosen, **more}), network)


def _about_batching(options: ImageOptions) -> Iterator[str]:
    """Why signatures are not batched, and what the server's batcher risks."""
    if options.batching == "none":
        yield "not batched: as asked"
        return
    if options.batching == "server":
        yield (
            "batched by the server: start it with " + " ".join(BATCHING_FLAGS) + "; one client's "
            "request of a wrong shape or dtype fails the requests that it is joined with, an empty "
            "one waits for others, and one of more than --max-batch samples is refused "
            "(in-graph batching has none of these)"
        )
        return
    if isinstance(options, TopdownOptions):
        if not options.has_fixed_images:
            yield (
                "not batched: images of different sizes cannot be joined; fix --image-height and "
                "--image-width"
            )
    elif not options.has_fixed_maps:
        fix = (
            "--image-height and --image-width"
            if options.backbone
            else ("--height, --width and --channels")
        )
        yield f"not batched: requests of different shapes cannot be joined; fix {fix}"
    elif options.backbone and not options.has_fixed_images:
        yield (
            "images are not batched: images of different sizes cannot be joined; fix "
            "--image-height and --image-width"
        )
