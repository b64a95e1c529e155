"""Metrics: the server's monitoring file, what Prometheus scrapes, and when it alerts.

Names of metrics are those that the stock server exports, with their leading colon; latencies are
in microseconds.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class Alert:
    """One alerting rule.

    Attributes:
      name: The alert's name.
      metrics: The metrics of the expression, as the server's page names their series.
      expression: PromQL.
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
          f'sum by (model_name) (rate({_REQUESTS}{{status!="OK"}}[5m]))\n'
          f"  / sum by (model_name) (rate({_REQUESTS}[5m])) > 0.05",
          "5m", "page", "more than 5% of a model's requests fail",
          "which status; INVALID_ARGUMENT is a client's mistake"),
    Alert("ModelIsSlow", (f"{_LATENCY}_bucket",),
          f"histogram_quantile(0.99, sum by (le, model_name) (rate({_LATENCY}_bucket[5m])))"
          " > 1000000",
          "10m", "ticket", "the slowest 1% of a model's requests take over a second",
          "batch delay, the GPU's load, map-sized requests over REST"),
    Alert("ModelDoesNotLoad", (_LOADS,),
          f'increase({_LOADS}{{status="fail"}}[10m]) > 0', "0m", "ticket",
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


def alert_rules(alerts: Sequence[Alert] = ALERTS) -> dict[str, Any]:
    """Prometheus' file of alerting rules."""
    return {
        "groups": [
            {
                "name": JOB,
                "rules": [
                    {
                        "alert": alert.name,
                        "expr": alert.expression,
                        "for": alert.lasting,
                        "labels": {"severity": alert.severity},
                        "annotations": {"summary": alert.summary, "action": alert.action},
                    }
                    for alert in alerts
                ],
            }
        ]
    }
