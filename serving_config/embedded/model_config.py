"""Which models are hosted: the stock server's configuration messages, checked with its texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from serving_config.embedded.failures import StatusError, invalid_argument
from serving_config.embedded.text_files import read_message

PLATFORM = "tensorflow"
_LATEST, _ALL, _SPECIFIC = "latest", "all", "specific"


@dataclass(frozen=True)
class VersionPolicy:
    """Which of the versions on disk are wanted.

    Attributes:
      kind: `"latest"`, `"all"` or `"specific"`.
      count: How many of the latest.
      versions: The specific ones.
    """

    kind: str = _LATEST
    count: int = 1
    versions: tuple[int, ...] = ()

    def wanted(self, found: Mapping[int, Path]) -> dict[int, Path]:
        """The wanted ones of the versions that were found.

        >>> found = {version: Path(f"/m/{version}") for version in (1, 2, 10)}
        >>> [sorted(VersionPolicy(*p).wanted(found)) for p in (
        ...     (), ("latest", 2), ("all",), ("specific", 1, (2, 9)))]
        [[10], [2, 10], [1, 2, 10], [2]]
        """
        chosen = set(found)
        if self.kind == _LATEST:
            chosen = set(sorted(found)[-self.count :])
        elif self.kind == _SPECIFIC:
            chosen &= set(self.versions)
        return {version: found[version] for version in chosen}


@dataclass(frozen=True)
class ModelEntry:
    """One model of a configuration.

    Attributes:
      name: The servable's name.
      base_path: The directory with the numbered versions.
      platform: Always `"tensorflow"` once it was accepted.
      policy: Which versions are wanted.
      labels: Label to version.
    """

    name: str
    base_path: str
    platform: str = PLATFORM
    policy: VersionPolicy = VersionPolicy()
    labels: Mapping[str, int] = field(default_factory=dict)


def read_model_config(path: str) -> list[ModelEntry] | None:
    """The models of a ModelServerConfig text file; `None` for a file that configures nothing.

    Raises:
      StatusError: It cannot be read, or a model's platform is missing.
    """
    config = read_message(path, model_server_config_pb2.ModelServerConfig())
    return entries_of(config)


def entries_of(config: Any) -> list[ModelEntry] | None:
    """The models of a `ModelServerConfig` message; `None` if it configures nothing.

    Raises:
      StatusError: It asks for something other than a list of models.
    """
    choice = config.WhichOneof("config")
    if choice is None:
        return None
    if choice != "model_config_list":
        raise StatusError("UNIMPLEMENTED", "a custom model config is not supported")
    return [_entry(model) for model in config.model_config_list.config]


def check_entries(entries: Sequence[ModelEntry]) -> None:
    """What the stock server demands before it looks at what is hosted now.

    Raises:
      StatusError: Two models of one name, or a relative path.
    """
    names: set[str] = set()
    for entry in entries:
        if entry.name in names:
            raise invalid_argument(
                f"Illegal to list model {entry.name} multiple times in config list"
            )
        names.add(entry.name)
    for entry in entries:
        if "://" not in entry.base_path and not Path(entry.base_path).is_absolute():
            raise invalid_argument(
                f"Expected model {entry.name} to have an absolute path or URI; "
                f"got base_path()={entry.base_path}"
            )


def check_platforms(old: Sequence[ModelEntry], new: Sequence[ModelEntry]) -> None:
    """A model's platform cannot change.

    Raises:
      StatusError: It would.
    """
    platforms = {entry.name: entry.platform for entry in old}
    for entry in new:
        before = platforms.get(entry.name)
        if before is None:
            continue
        check_platform_is_named(entry)
        if before != entry.platform:
            raise invalid_argument(
                f"Illegal to change a model's platform. For model {entry.name} platform was "
                f"{before} and new platform requested is {entry.platform}"
            )


def check_platform_is_named(entry: ModelEntry) -> None:
    """An empty platform is refused.

    Raises:
      StatusError: It is empty.
    """
    if not entry.platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {entry.name}"
        )


def check_platform_is_ours(entry: ModelEntry) -> None:
    """Only one platform can be hosted.

    Raises:
      StatusError: The model asks for another one, or for none.
    """
    check_platform_is_named(entry)
    if entry.platform != PLATFORM:
        raise invalid_argument(f"Model {entry.name} requests unsupported platform {entry.platform}")


def _entry(model: Any) -> ModelEntry:
    platform = model.model_platform
    if model.model_type and platform:
        raise invalid_argument(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            f"ModelServerConfig::model_platform, model name is {model.name}"
        )
    if model.model_type:
        if model.model_type != model_server_config_pb2.TENSORFLOW:
            raise invalid_argument(
                f"ModelServerConfig::model_type choice {model.model_type} not supported."
            )
        platform = PLATFORM
    return ModelEntry(
        name=model.name,
        base_path=model.base_path,
        platform=platform,
        policy=_policy(model.model_version_policy),
        labels=dict(model.version_labels),
    )


def _policy(policy: Any) -> VersionPolicy:
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy(_ALL)
    if choice == "specific":
        return VersionPolicy(_SPECIFIC, versions=tuple(policy.specific.versions))
    return VersionPolicy(_LATEST, count=max(policy.latest.num_versions, 1))
