"""Where Prometheus may read: the stock server's MonitoringConfig text file.

The installed message classes leave this one out; its two messages are declared here.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from serving_config.embedded.text_files import read_message

DEFAULT_PATH = "/monitoring/prometheus/metrics"
_PACKAGE = "peakserve.monitoring"


def prometheus_path(file: str) -> str | None:
    """Where a MonitoringConfig text file wants metrics, `None` if nowhere.

    Raises:
      StatusError: It cannot be read.
    """
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_declaration())
    descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.MonitoringConfig")
    config = read_message(file, message_factory.GetMessageClass(descriptor)()).prometheus_config
    return (config.path or DEFAULT_PATH) if config.enable else None


def _declaration() -> descriptor_pb2.FileDescriptorProto:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="peakserve/monitoring.proto", package=_PACKAGE, syntax="proto3"
    )
    prometheus = file.message_type.add(name="PrometheusConfig")
    optional = field.LABEL_OPTIONAL
    prometheus.field.add(name="enable", number=1, type=field.TYPE_BOOL, label=optional)
    prometheus.field.add(name="path", number=2, type=field.TYPE_STRING, label=optional)
    file.message_type.add(name="MonitoringConfig").field.add(
        name="prometheus_config",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.PrometheusConfig",
        label=optional,
    )
    return file
