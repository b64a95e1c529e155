"""The stock server in containers: Docker Compose, Kubernetes, KServe.

The server ends at once when it is told to, and requests in flight are lost: traffic must be
taken away first. Its image has no HTTP client, so that probes speak HTTP through bash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from serving_config.launch import Flag, ServerPlan, flags_of
from serving_config.models_config import MODELS_CONFIG, ServedModel, models_config_text
from serving_config.monitoring import MONITORING_CONFIG, monitoring_config_text
from serving_config.programs import BINARY_NAME, IMAGE

COMPOSE_FILE = "compose.yaml"
KUBERNETES_FILE = "kubernetes.yaml"
KSERVE_FILE = "inferenceservice.yaml"

IMAGE_TAG = "2.19.1"
NAME = "peakserve"
CLAIM = "peakserve-models"
_NOBODY = 65534
_CONFIG_MOUNT, _MODELS_MOUNT = "/config", "/models"
_DRAIN_SECONDS = 15

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
    """

    plan: ServerPlan
    models: tuple[ServedModel, ...]
    image_tag: str = IMAGE_TAG
    replicas: int = 2

    @property
    def image(self) -> str:
        """The image, that for GPUs if the plan asks for one."""
        return f"{IMAGE}:{self.image_tag}{'-gpu' if self.plan.gpu else ''}"


def probe_command(models: Sequence[ServedModel], rest_port: int) -> list[str]:
    """A command that succeeds when every model has an available version."""
    # The whole state: the error code of a version that failed may be UNAVAILABLE.
    checks = [
        f"exec 3<>/dev/tcp/127.0.0.1/{rest_port} && "
        f"printf 'GET %s HTTP/1.0\\r\\n\\r\\n' '/v1/models/{quote(model.name, safe='')}' >&3 && "
        'grep --quiet \'"state": "AVAILABLE"\' <&3'
        for model in models
    ]
    return ["bash", "-c", " && ".join(checks)]


def compose(deployment: Deployment, model_root: Path, config_dir: Path) -> dict[str, Any]:
    """A Compose file; folders keep their paths inside, so that one models.config fits both."""
    plan = deployment.plan
    service: dict[str, Any] = {
        "image": deployment.image,
        "entrypoint": [BINARY_NAME],
        "command": [str(flag) for flag in flags_of(plan, config_dir)],
        "ports": [f"{port}:{port}" for port in (plan.port, plan.rest_port) if port],
        "volumes": [
            {"type": "bind", "source": str(path), "target": str(path), "read_only": True}
            for path in (model_root, config_dir)
        ],
        "user": f"{_NOBODY}:{_NOBODY}",
        "read_only": True,
        "tmpfs": ["/tmp"],
        "init": True,
        "restart": "unless-stopped",
        "stop_grace_period": "30s",
    }
    if plan.rest_port:
        service["healthcheck"] = {
            "test": ["CMD", *_for_compose(probe_command(deployment.models, plan.rest_port))],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "120s",
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
    pod["terminationGracePeriodSeconds"] = _DRAIN_SECONDS + 30
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
        "ports": ports,
        "livenessProbe": {"grpc": {"port": plan.port}, "periodSeconds": 10, "failureThreshold": 6},
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
            "exec": {"command": probe_command(deployment.models, plan.rest_port)},
            "periodSeconds": 5,
        }
    else:
        container["readinessProbe"] = {"grpc": {"port": plan.port}, "periodSeconds": 5}
    if plan.gpu:
        container["resources"]["limits"] = {"nvidia.com/gpu": 1}
    return {
        "securityContext": {"runAsNonRoot": True, "runAsUser": _NOBODY, "runAsGroup": _NOBODY},
        "containers": [container],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": CLAIM, "readOnly": True}},
            {"name": "config", "configMap": {"name": f"{NAME}-config"}},
            {"name": "scratch", "emptyDir": {}},
        ],
    }


def _flags(deployment: Deployment) -> list[Flag]:
    return flags_of(deployment.plan, _CONFIG_MOUNT)


def _mounted(models: Sequence[ServedModel]) -> list[ServedModel]:
    """The models with their base paths inside a pod."""
    return [
        ServedModel(model.name, Path(_MODELS_MOUNT) / model.name, model.versions, model.labels)
        for model in models
    ]


def _for_compose(command: Sequence[str]) -> list[str]:
    """Compose replaces `$NAME`; a doubled sign stands for itself."""
    return [word.replace("$", "$$") for word in command]
