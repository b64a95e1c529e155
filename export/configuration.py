"""Writes the configuration of a model server: what the command `config` does."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from export.served_models import alone, served_models
from export.store import StoreError
from serving_config.batching import batching_flags
from serving_config.containers import (
    COMPOSE_FILE,
    IMAGE_TAG,
    KSERVE_FILE,
    KUBERNETES_FILE,
    TRIED,
    Deployment,
    compose,
    inference_service,
    kubernetes,
)
from serving_config.launch import SCRIPT, ServerPlan, flags_of, script_text
from serving_config.models_config import MODELS_CONFIG, ServedModel, models_config_text
from serving_config.monitoring import (
    ALERTS_FILE,
    MONITORING_CONFIG,
    SCRAPE_FILE,
    alert_rules,
    monitoring_config_text,
    scrape_config,
)
from serving_config.tls import SSL_CONFIG, ssl_config_text


class ConfigurationError(ValueError):
    """A configuration that cannot be written, in one sentence."""


@dataclass(frozen=True)
class TlsFiles:
    """PEM files of the server.

    Attributes:
      key: Its private key.
      certificate: Its certificate chain.
      authority: What clients must be signed by, `None` for any client.
    """

    key: Path
    certificate: Path
    authority: Path | None = None


@dataclass(frozen=True)
class Written:
    """A file that was written.

    Attributes:
      path: Where.
      purpose: What it is for.
    """

    path: Path
    purpose: str


def write_configuration(
    model_root: Path,
    out: Path,
    plan: ServerPlan,
    *,
    models: Sequence[str] = (),
    image_tag: str = IMAGE_TAG,
    tls: TlsFiles | None = None,
    tell: Callable[[str], object] = lambda line: None,
) -> list[Written]:
    """Writes every file; those that are there already are replaced, each by one rename.

    Args:
      model_root: The folder of all models.
      out: The folder of the configuration.
      plan: How the server is started; whether the server batches is found out.
      models: Names of the models to host; all if none is named.
      image_tag: Of `tensorflow/serving`, for containers.
      tls: What the gRPC port needs to speak TLS.
      tell: Where it is said that another process moves labels, which is waited for.

    Raises:
      StoreError: There is no such model.
      ConfigurationError: A file of TLS is not usable, or a file cannot be written.
    """
    # Without such a model there may be no folder to lock.
    chosen_models(model_root, models)
    with alone(model_root, tell):
        served = chosen_models(model_root, models)
        batching = any(batching_flags(model.base_path) for model in served)
        plan = replace(plan, batching=batching, tls=tls is not None)
        out = out.resolve()
        try:
            texts = list(_texts(model_root.resolve(), out, plan, served, image_tag, tls))
            out.mkdir(parents=True, exist_ok=True)
            return [Written(_write(out / name, text), purpose) for name, text, purpose in texts]
        except OSError as error:
            raise ConfigurationError(
                f"cannot write the configuration: {error.filename}: {error.strerror}"
            ) from error
        except ValueError as error:
            raise ConfigurationError(str(error)) from error


def chosen_models(model_root: Path, names: Sequence[str]) -> list[ServedModel]:
    """The models of a model root, or those that are named.

    Raises:
      StoreError: There is no such model.
    """
    served = served_models(model_root)
    known = [model.name for model in served]
    for name in names:
        if name not in known:
            raise StoreError(f"expected a model of {', '.join(known)} in {model_root}, got {name}")
    return [model for model in served if not names or model.name in names]


def _texts(
    model_root: Path,
    out: Path,
    plan: ServerPlan,
    served: list[ServedModel],
    image_tag: str,
    tls: TlsFiles | None,
) -> Iterator[tuple[str, str, str]]:
    """Name, content and purpose of each file."""
    yield MODELS_CONFIG, models_config_text(served), "which models, versions and labels"
    if tls is not None:
        text = ssl_config_text(tls.key, tls.certificate, tls.authority)
        yield SSL_CONFIG, text, "the server's key and certificate: keep it secret"
    yield SCRIPT, script_text(flags_of(plan, out)), "starts the server here, every flag explained"
    if plan.rest_port:
        yield MONITORING_CONFIG, monitoring_config_text(), "turns the metrics page on"
        names = [model.name for model in served]
        targets = [f"127.0.0.1:{plan.rest_port}"]
        yield SCRAPE_FILE, _yaml(scrape_config(targets)), "Prometheus: what to scrape"
        yield ALERTS_FILE, _yaml(alert_rules(names)), "Prometheus: when to alert"
    deployment = Deployment(plan, tuple(served), image_tag, user=_container_user())
    yield (
        COMPOSE_FILE,
        _yaml(compose(deployment, model_root, out), head=_compose_head(deployment)),
        "Docker Compose: docker compose up",
    )
    # Inside a cluster TLS is the mesh's, and a key belongs into a Secret of the cluster's own.
    clear = replace(deployment, plan=replace(plan, tls=False))
    yield (
        KUBERNETES_FILE,
        _yaml(*kubernetes(clear), head=_tried(deployment)),
        "Kubernetes: kubectl apply",
    )
    yield (
        KSERVE_FILE,
        _yaml(inference_service(clear), head=_tried(deployment)),
        f"KServe, instead of the Deployment; needs the ConfigMap of {KUBERNETES_FILE}",
    )


def _container_user() -> str:
    """Who reads this machine's folders in a container: whoever wrote them, but never root."""
    if os.getuid() == 0:
        return Deployment.user
    return f"{os.getuid()}:{os.getgid()}"


def _compose_head(deployment: Deployment) -> str:
    lines = ["# Stopping takes the whole stop_grace_period, in which requests are finished."]
    if deployment.plan.tls:
        lines.append(
            f"# {SSL_CONFIG} can be read by its owner only: give it to user {deployment.user}."
        )
    return _tried(deployment) + "\n".join(lines) + "\n"


def _tried(deployment: Deployment) -> str:
    lines = [f"# {deployment.image} was not tried with this exporter; compared in every case:"]
    lines += [
        f"#   exporter TensorFlow {exporter}, server {server} ({where})"
        for exporter, server, where in TRIED
    ]
    return "\n".join(lines) + "\n"


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: no anchors, and texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never refers to what was written before."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _yaml(*documents: Any, head: str = "") -> str:
    """Documents as YAML, in the order in which they were written."""
    text: str = yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True
    )
    return head + text


def _write(path: Path, text: str) -> Path:
    """Replaces a file by one rename, so that a server that polls it never reads half of it."""
    staging = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    mode = {SCRIPT: 0o755, SSL_CONFIG: 0o600}.get(path.name, 0o644)
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(staging, path)  # noqa: PTH105 - one rename that replaces
    except OSError as error:
        staging.unlink(missing_ok=True)
        # Writing names no file.
        raise OSError(error.errno, error.strerror, str(path)) from error
    return path
