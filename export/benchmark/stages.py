"""A server for the benchmark: one that it starts on models of its own, or one that runs.

Legend: `N` samples, `H` height, `W` width, `C` channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from export.benchmark.questions import Question, inputs_of
from export.benchmark.served import Stage
from export.builder import Exportable, write_saved_model
from export.eager import eager_functions, module_of, needs_network
from export.hosting import Host, hosted, served_contract, wait_for_version
from export.maps import draw_maps
from serving_config.batching import BATCHING_FLAGS
from serving_config.launch import ServerPlan
from serving_config.models_config import MODELS_CONFIG, ServedModel, models_config_text
from serving_config.process import ModelServer
from serving_config.programs import EMBEDDED, find_server, split_addresses
from serving_config.tls import ClientTls
from signatures.contract import PEAK_OPS, KeypointOptions, ModelContract
from signatures.keypoints import Keypoints
from signatures.peak_ops import PeakOps

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class ServedSizes:
    """How large requests are.

    Attributes:
      small: [N, H, W, C] of one frame.
      large: [N, H, W, C] of many megabytes.
    """

    small: Shape = (1, 64, 64, 17)
    large: Shape = (9, 256, 256, 13)


def served_sizes(*, quick: bool) -> ServedSizes:
    """Small ones to try the command."""
    return ServedSizes((1, 16, 16, 3), (2, 32, 32, 3)) if quick else ServedSizes()


def stage_of(
    server: str,
    sizes: ServedSizes,
    timeout: float,
    *,
    model: str,
    model_root: Path | None,
    tls: ClientTls | None,
) -> AbstractContextManager[Stage]:
    """What a `--server` option names.

    Raises:
      ServerStartError: On entering: there is no such server.
    """
    if split_addresses(server):
        return running_stage(server, model, model_root, sizes, timeout, tls)
    return own_stage(server, sizes, timeout)


@dataclass(frozen=True)
class Written:
    """A model to write for a server.

    Attributes:
      module: What is served.
      warmup_shapes: Shapes of maps to warm up with.
    """

    module: Exportable
    warmup_shapes: Sequence[Shape] = ()


@contextmanager
def models_hosted(server: str, models: Mapping[str, Written]) -> Iterator[Host]:
    """A server on models that are written for it, neither replayed nor published.

    Args:
      server: What to start: `auto`, `binary`, `docker:TAG` or `embedded`.
      models: By servable name.

    Raises:
      ServerStartError: There is no such server, or it does not become available.
    """
    program = find_server(server)
    with ExitStack() as stack:
        root = Path(stack.enter_context(TemporaryDirectory(prefix="peakserve-bench-")))
        served = []
        for name, model in models.items():
            directory = root / name / "1"
            directory.mkdir(parents=True)
            write_saved_model(model.module, directory, model.warmup_shapes)
            served.append(ServedModel(name, root / name))
        # A container reads it as another user.
        root.chmod(0o755)
        config = root / MODELS_CONFIG
        config.write_text(models_config_text(served))
        flags = [
            f"--model_config_file={config}",
            "--max_num_load_retries=0",
            # As `config` has it: by default a stock server refuses more than four calls a core.
            f"--grpc_max_threads={ServerPlan.concurrency}",
            *BATCHING_FLAGS,
        ]
        first, *others = models
        process = stack.enter_context(
            ModelServer(first, root / first, program=program, extra_flags=flags, folders=[root])
        )
        for name in others:
            wait_for_version(process.grpc_address, name, 1, seconds=process.start_timeout)
        yield Host(
            process.grpc_address,
            process.rest_address,
            f"{process.version_text} ({process.kind})",
            process.kind == EMBEDDED,
        )


@contextmanager
def own_stage(server: str, sizes: ServedSizes, timeout: float) -> Iterator[Stage]:
    """A server on models of the benchmark's own.

    Raises:
      ServerStartError: There is no such server, or it does not become available.
    """
    _, height, width, channels = sizes.small
    plain, joined = (
        Keypoints(KeypointOptions(height=height, width=width, channels=channels, batching=kind))
        for kind in ("none", "in-graph")
    )
    # Two of its signatures are asked; to trace, write and load the others takes longer than they.
    asked = tuple(map(PEAK_OPS.signature, ("find_global_peaks", "smooth_imgs")))
    flat = PeakOps(replace(PEAK_OPS, signatures=asked, default=asked[0].name))
    models = {
        "keypoints": Written(plain, [sizes.small]),
        "keypoints_batched": Written(joined, [sizes.small]),
        "peak_ops": Written(flat),
    }
    maps, large = draw_maps(*sizes.small)[0], draw_maps(*sizes.large)[0]
    eager = eager_functions(plain.contract, plain)["keypoints"]
    with models_hosted(server, models) as host:
        yield Stage(
            host,
            Question("keypoints", plain.contract, "keypoints", {"confmaps": maps}, eager),
            batched=Question("keypoints_batched", joined.contract, "keypoints", {"confmaps": maps}),
            batch_timeout=joined.options.batch_timeout,
            large=(
                Question("peak_ops", flat.contract, "find_global_peaks", {"imgs": large}),
                Question(
                    "peak_ops",
                    flat.contract,
                    "smooth_imgs",
                    flat.contract.signature("smooth_imgs").with_defaults({"imgs": large}),
                ),
            ),
            timeout=timeout,
        )


@contextmanager
def running_stage(
    server: str,
    model: str,
    model_root: Path | None,
    sizes: ServedSizes,
    timeout: float,
    tls: ClientTls | None,
) -> Iterator[Stage]:
    """A server that runs, and what it hosts.

    Args:
      server: Its addresses.
      model: The servable, a family's name.
      model_root: Where it was exported, for its contract.
      sizes: Of maps, where the model fixes none.
      timeout: Seconds that one request may take.
      tls: How it is spoken to.

    Raises:
      StoreError: The model root has no version.
      InvalidInputError: Without a model root the contract is not known.
      ServingError: The server does not have the model.
    """
    contract = served_contract(model, model_root)
    with hosted(server, model, None, None, tls) as host:
        yield Stage(host, question_of(contract, sizes.small), timeout=timeout)


def question_of(contract: ModelContract, shape: Shape) -> Question:
    """A request of one frame: of images to a model with a network, of maps to others.

    Args:
      contract: The model family and its options.
      shape: Of the maps, where the options fix none.
    """
    signature = "find_global_peaks"
    if needs_network(contract):
        signature = "images"
    elif contract.name == "keypoints":
        signature = "keypoints"
    eager = None
    if not needs_network(contract):
        eager = eager_functions(contract, module_of(contract))[signature]
    inputs = inputs_of(contract, signature, shape)
    return Question(contract.name, contract, signature, inputs, eager)
