"""The stock server in containers: Docker Compose, Kubernetes, KServe.

The server has no handler for SIGTERM: as any process it ends at once and requests in flight are
lost, but as the first process of a container it is not touched (measured: it went on answering),
and ends when the grace period does. So it is the first process everywhere, and the grace period
is the time in which requests are finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving_config.launch import Flag, ServerPlan, flags_of
from serving_config.models_config import MODELS_CONFIG, ServedModel, models_config_text
from serving_config.monitoring import MONITORING_CONFIG, monitoring_config_text
from serving_config.probes import probe_command
from serving_config.programs import BINARY_NAME, ENVIRONMENT, IMAGE

COMPOSE_FILE = "compose.yaml"
KUBERNETES_FILE = "kubernetes.yaml"
KSERVE_FILE = "inferenceservice.yaml"

IMAGE_TAG = "2.19.1"
NAME = "peakserve"
CLAIM = "peakserve-models"
_NOBODY = 65534
_CONFIG_MOUNT, _MODELS_MOUNT = "/config", "/models"
_DRAIN_SECONDS = 15
# Longest request that is still finished after the endpoint has gone.
_FINISH_SECONDS = 30
# A busy server answered its health check after up to 0.6 s; one second is Kubernetes' default.
_PROBE_SECONDS = 5
# A client resolves the headless Service again when a connection ends; without an age it would
# never see a pod that was added.
_CONNECTION_AGE = Flag(
    "grpc_channel_arguments",
    "grpc.max_connection_age_ms=300000,grpc.max_connection_age_grace_ms=60000",
    "Clients connect again every five minutes, and so find pods that were added.",
)

# Exporter and server versions of which every case was compared, and where.
TRIED = (("2.21.0", "2.20.0", "CPU, a local build of the stock server"),)


@dataclass(frozen=True)
class Deployment:
    """What is put into containers.

    Attributes:
      plan: How the server is started.
      models: What it hosts; their base paths are those of this machine.
      image_tag: Of `tensorflow/serving`, without `-gpu`.
      replicas: Pods.
      user: `UID:GID` in Docker Compose, which mounts folders of this machine: must be able to
        read them.
    """

    plan: ServerPlan
    models: tuple[ServedModel, ...]
    image_tag: str = IMAGE_TAG
    replicas: int = 2
    user: str = f"{_NOBODY}:{_NOBODY}"

    @property
    def image(self) -> str:
        """The image, that for GPUs if the plan asks for one."""
        return f"{IMAGE}:{self.image_tag}{'-gpu' if self.plan.gpu else ''}"


def compose(deployment: Deployment, model_root: Path, config_dir: Path) -> dict[str, Any]:
    """A Compose file; folders keep their paths inside, so that one models.config fits both."""
    plan = deployment.plan
    probe = probe_command(deployment.models, plan.port, plan.rest_port)
    paths = [_for_compose(str(path)) for path in (model_root, config_dir)]
    service: dict[str, Any] = {
        "image": deployment.image,
        "entrypoint": [BINARY_NAME],
        "command": [_for_compose(str(flag)) for flag in flags_of(plan, config_dir)],
        "environment": dict(ENVIRONMENT),
        "ports": [f"{port}:{port}" for port in (plan.port, plan.rest_port) if port],
        "volumes": [
            {"type": "bind", "source": path, "target": path, "read_only": True} for path in paths
        ],
        "user": deployment.user,
        "read_only": True,
        "tmpfs": ["/tmp"],
        # No init process: it would pass SIGTERM on, and requests in flight would be lost.
        "init": False,
        "restart": "unless-stopped",
        "stop_grace_period": f"{_FINISH_SECONDS}s",
        "healthcheck": {
            "test": ["CMD", *map(_for_compose, probe)],
            "interval": "10s",
            "timeout": f"{_PROBE_SECONDS}s",
            "retries": 3,
            "start_period": "120s",
        },
    }
    if plan.gpu:
        device = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    return {"name": NAME, "services": {"model-server": service}}


def kubernetes(deployment: Deployment) -> list[dict[str, Any]]:
    """A ConfigMap, a Deployment and a headless Service.

    The models are in the PersistentVolumeClaim `peakserve-models`, mounted at `/models` as a
    model root. The Service is headless: a gRPC connection carries all of a client's requests, so
    that clients balance themselves, by resolving `dns:///peakserve:8500` with round_robin.
    """
    labels = {"app.kubernetes.io/name": NAME}
    config = {
        MODELS_CONFIG: models_config_text(_mounted(deployment.models)),
        MONITORING_CONFIG: monitoring_config_text(),
    }
    pod = _pod(deployment)
    ports = [{"name": "grpc", "port": deployment.plan.port, "targetPort": "grpc"}]
    if deployment.plan.rest_port:
        ports.append({"name": "rest", "port": deployment.plan.rest_port, "targetPort": "rest"})
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{NAME}-config", "labels": labels},
            "data": config,
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "labels": labels},
            "spec": {
                "replicas": deployment.replicas,
                "selector": {"matchLabels": labels},
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME, "labels": labels},
            "spec": {"clusterIP": "None", "selector": labels, "ports": ports},
        },
    ]


def inference_service(deployment: Deployment) -> dict[str, Any]:
    """A KServe InferenceService with a container of its own.

    KServe's own runtime for TensorFlow sets no flags for concurrency, labels or batching, hence
    the container. It reads the ConfigMap and the claim of the Deployment.
    """
    pod = _pod(deployment)
    (container,) = pod["containers"]
    container["name"] = "kserve-container"
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": NAME,
            "annotations": {"serving.kserve.io/deploymentMode": "RawDeployment"},
        },
        "spec": {
            "predictor": {
                "minReplicas": deployment.replicas,
                "maxReplicas": deployment.replicas * 2,
                **pod,
            }
        },
    }


def _pod(deployment: Deployment) -> dict[str, Any]:
    plan = deployment.plan
    ports = [{"name": "grpc", "containerPort": plan.port}]
    if plan.rest_port:
        ports.append({"name": "rest", "containerPort": plan.rest_port})
    container: dict[str, Any] = {
        "name": "model-server",
        "image": deployment.image,
        "command": [BINARY_NAME],
        "args": [str(flag) for flag in _flags(deployment)],
        "env": [{"name": name, "value": value} for name, value in ENVIRONMENT.items()],
        "ports": ports,
        # Answered by an overloaded server too, whose requests are refused.
        "livenessProbe": {
            "grpc": {"port": plan.port},
            "periodSeconds": 10,
            "timeoutSeconds": _PROBE_SECONDS,
            "failureThreshold": 6,
        },
        "startupProbe": {"grpc": {"port": plan.port}, "periodSeconds": 5, "failureThreshold": 60},
        "lifecycle": {
            # The endpoint goes away while the server still answers.
            "preStop": {"exec": {"command": ["sleep", str(_DRAIN_SECONDS)]}}
        },
        "resources": {"requests": {"cpu": "2", "memory": "4Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "models", "mountPath": _MODELS_MOUNT, "readOnly": True},
            {"name": "config", "mountPath": _CONFIG_MOUNT, "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},
        ],
    }
    if plan.rest_port:
        container["readinessProbe"] = {
            "exec": {"command": probe_command(deployment.models, plan.port, plan.rest_port)},
        }
    else:
        container["readinessProbe"] = {"grpc": {"port": plan.port}}
    container["readinessProbe"] |= {"periodSeconds": 5, "timeoutSeconds": _PROBE_SECONDS}
    if plan.gpu:
        container["resources"]["limits"] = {"nvidia.com/gpu": 1}
    return {
        "securityContext": {"runAsNonRoot": True, "runAsUser": _NOBODY, "runAsGroup": _NOBODY},
        "terminationGracePeriodSeconds": _DRAIN_SECONDS + _FINISH_SECONDS,
        "containers": [container],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": CLAIM, "readOnly": True}},
            {"name": "config", "configMap": {"name": f"{NAME}-config"}},
            {"name": "scratch", "emptyDir": {}},
        ],
    }


def _flags(deployment: Deployment) -> list[Flag]:
    """The flags inside a pod; what was asked for comes last and wins."""
    plan = deployment.plan
    extra = len(plan.extra)
    flags = flags_of(plan, _CONFIG_MOUNT)
    return [*flags[: len(flags) - extra], _CONNECTION_AGE, *flags[len(flags) - extra :]]


def _mounted(models: Sequence[ServedModel]) -> list[ServedModel]:
    """The models with their base paths inside a pod."""
    return [
        ServedModel(model.name, Path(_MODELS_MOUNT) / model.name, model.versions, model.labels)
        for model in models
    ]


def _for_compose(text: str) -> str:
    """Compose replaces `$NAME`; a doubled sign stands for itself."""
    return text.replace("$", "$$")
