"""Metrics: the server's monitoring file, what Prometheus scrapes, and when it alerts.

Names of metrics are those that the stock server exports, with their leading colon; latencies are
in microseconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MONITORING_CONFIG = "monitoring.config"
SCRAPE_FILE = "prometheus.yml"
ALERTS_FILE = "alerts.yml"
METRICS_PATH = "/monitoring/prometheus/metrics"
JOB = "peakserve"

_SERVING = ":tensorflow:serving:"
_REQUESTS = f"{_SERVING}request_count"
_LATENCY = f"{_SERVING}request_latency"
_LOADS = ":tensorflow:cc:saved_model:load_attempt_count"
_BATCH_DELAY = f"{_SERVING}batching:batch_delay_us_v2"
_QUEUEING = f"{_SERVING}batching_session:queuing_latency"
# Where the hosted models' names go: the server counts whatever name a request asks for, so that
# anybody could set off an alert.
MODELS = "{models}"
# Ends of requests that say nothing about the server or its model.
_NOT_OURS = "OK|INVALID_ARGUMENT|CANCELLED"


@dataclass(frozen=True)
class Alert:
    """One alerting rule.

    Attributes:
      name: The alert's name.
      metrics: The metrics of the expression, as the server's page names their series.
      expression: PromQL; `MODELS` stands for the selector of the hosted models.
      lasting: How long it must hold.
      severity: `page` or `ticket`.
      summary: What has happened.
      action: What to look at.
    """

    name: str
    metrics: tuple[str, ...]
    expression: str
    lasting: str
    severity: str
    summary: str
    action: str


ALERTS = (
    Alert("ModelServerDown", (), f'up{{job="{JOB}"}} == 0', "1m", "page",
          "a model server does not answer its metrics page",
          "its log: at its start it ends if one model of many cannot be loaded"),
    Alert("ModelRequestsFail", (_REQUESTS,),
          f'sum by (model_name) (rate({_REQUESTS}{{{MODELS},status!~"{_NOT_OURS}"}}[5m]))\n'
          f"  / sum by (model_name) (rate({_REQUESTS}{{{MODELS}}}[5m])) > 0.05",
          "5m", "page", "more than 5% of a model's requests fail, and not by a client's mistake",
          "which status; with NOT_FOUND the model has no version that is ready, or clients ask for "
          "one that has gone"),
    Alert("ClientsSendBadRequests", (_REQUESTS,),
          f'sum by (model_name) (rate({_REQUESTS}{{{MODELS},status="INVALID_ARGUMENT"}}[15m]))\n'
          f"  / sum by (model_name) (rate({_REQUESTS}{{{MODELS}}}[15m])) > 0.05",
          "30m", "ticket", "more than 5% of a model's requests are refused for what they contain",
          "the refusals' sentences at the clients; shapes and dtypes of a version just promoted"),
    Alert("ModelIsSlow", (f"{_LATENCY}_bucket",),
          f"histogram_quantile(0.99, sum by (le, model_name) (rate({_LATENCY}_bucket[5m])))"
          " > 1000000",
          "10m", "ticket", "the slowest 1% of a model's requests take over a second",
          "batch delay, the GPU's load, map-sized requests over REST"),
    Alert("ModelDoesNotLoad", (_LOADS,),
          # A counter that appears with its first failure has not increased: it is new.
          f'({_LOADS}{{status="fail"}} unless {_LOADS}{{status="fail"}} offset 10m)\n'
          f'  or increase({_LOADS}{{status="fail"}}[10m]) > 0', "0m", "ticket",
          "a version could not be loaded; the one before it goes on serving",
          "the label model_path; publish again, or roll back with peakserve versions rollback"),
    Alert("BatchesWait", (f"{_BATCH_DELAY}_bucket",),
          f"histogram_quantile(0.99, sum by (le, op_name) (rate({_BATCH_DELAY}_bucket[5m])))"
          " > 200000",
          "10m", "ticket", "requests wait over 0.2 s for their batch inside the graph",
          "more replicas, or a smaller --batch-timeout"),
    Alert("ServerBatchesWait", (f"{_QUEUEING}_bucket",),
          f"histogram_quantile(0.99, sum by (le) (rate({_QUEUEING}_bucket[5m]))) > 200000",
          "10m", "ticket", "requests wait over 0.2 s in the server's own batcher",
          "more replicas, or a smaller --batch-timeout"),
)  # fmt: skip


def monitoring_config_text() -> str:
    """The file that `--monitoring_config_file` names."""
    return f'prometheus_config {{\n  enable: true\n  path: "{METRICS_PATH}"\n}}\n'


def scrape_config(targets: Sequence[str]) -> dict[str, Any]:
    """Prometheus' configuration: what to scrape, and the file of alerts."""
    return {
        "rule_files": [ALERTS_FILE],
        "scrape_configs": [
            {
                "job_name": JOB,
                "metrics_path": METRICS_PATH,
                "scrape_interval": "15s",
                "static_configs": [{"targets": list(targets)}],
            }
        ],
    }


def alert_rules(models: Sequence[str], alerts: Sequence[Alert] = ALERTS) -> dict[str, Any]:
    """Prometheus' file of alerting rules.

    Args:
      models: Names of the hosted models.
      alerts: The rules.
    """
    selector = _model_selector(models)
    return {
        "groups": [
            {
                "name": JOB,
                "rules": [
                    {
                        "alert": alert.name,
                        "expr": alert.expression.replace(MODELS, selector),
                        "for": alert.lasting,
                        "labels": {"severity": alert.severity},
                        "annotations": {"summary": alert.summary, "action": alert.action},
                    }
                    for alert in alerts
                ],
            }
        ]
    }


def _model_selector(models: Sequence[str]) -> str:
    r"""The selector of a metric that picks models by name.

    >>> print(_model_selector(["keypoints", "a.b"]))
    model_name=~"keypoints|a\\.b"
    """
    pattern = "|".join(re.escape(name).replace(r"\ ", " ") for name in models)
    # PromQL's strings have JSON's escapes.
    return f"model_name=~{json.dumps(pattern, ensure_ascii=False)}"
