"""The list of models that a server hosts: `ModelServerConfig` as protobuf text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format

from serving_config.wire_messages import new_message

MODELS_CONFIG = "models.config"
PLATFORM = "tensorflow"


@dataclass(frozen=True)
class ServedModel:
    """One model of the list.

    Attributes:
      name: The servable's name.
      base_path: The folder of its numbered versions, absolute.
      versions: The versions to load; none for the newest.
      labels: Label to version; each of them among `versions`.
    """

    name: str
    base_path: Path
    versions: tuple[int, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)


def model_names(text: str) -> list[str]:
    """The names in a file that `--model_config_file` names.

    >>> model_names(models_config_text([ServedModel("m", Path("/m"))]))
    ['m']

    Raises:
      ValueError: It is no such file.
    """
    try:
        config = text_format.Parse(text, new_message("ModelServerConfig"))
    except text_format.ParseError as error:
        raise ValueError(str(error)) from error
    return [entry.name for entry in config.model_config_list.config]


def models_config_text(models: Iterable[ServedModel]) -> str:
    """The file that `--model_config_file` names.

    Raises:
      ValueError: A base path is not absolute, or a label names a version that is not loaded.
    """
    config = new_message("ModelServerConfig")
    for model in models:
        if not model.base_path.is_absolute():
            raise ValueError(f"{model.name}: expected an absolute path, got {model.base_path}")
        entry = config.model_config_list.config.add(
            name=model.name, base_path=str(model.base_path), model_platform=PLATFORM
        )
        if model.versions:
            entry.model_version_policy.specific.versions.extend(model.versions)
        for label, version in sorted(model.labels.items()):
            if version not in model.versions:
                raise ValueError(
                    f"{model.name}: expected label {label} on one of the versions "
                    f"{list(model.versions)}, got {version}"
                )
            entry.version_labels[label] = version
    text: str = text_format.MessageToString(config)
    return text
