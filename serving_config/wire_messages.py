"""The messages of TensorFlow Serving that this room reads and writes, without TensorFlow.

The official `tensorflow_serving.apis` modules import all of TensorFlow and come only with it. What
is needed of them is declared here a second time, in a pool of its own: in the common pool the same
names from two sources would be refused. Fields that are not declared survive as unknown ones.
Nothing is built before the first message is asked for.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from serving_config.status import CODE_NUMBERS
from serving_config.tensor_types import TENSOR_TYPES

# A line is a package, a message or an enum of it (nested ones by their path), or a field as a
# .proto file declares it; the name after `in` is its oneof. Names of types are looked up from
# the inside to the outside, as there. Keys of maps are strings.
_SCHEMA = """
package google.protobuf
message Any
  string type_url = 1
  bytes value = 2
message Int64Value
  int64 value = 1

package tensorflow.error
enum Code

package tensorflow
enum DataType
message TensorShapeProto
  repeated Dim dim = 2
  bool unknown_rank = 3
message TensorShapeProto.Dim
  int64 size = 1
  string name = 2
message ResourceHandleProto
  string device = 1
  string container = 2
  string name = 3
  uint64 hash_code = 4
  string maybe_type_name = 5
  repeated DtypeAndShape dtypes_and_shapes = 6
message ResourceHandleProto.DtypeAndShape
  DataType dtype = 1
  TensorShapeProto shape = 2
message VariantTensorDataProto
  string type_name = 1
  bytes metadata = 2
  repeated TensorProto tensors = 3
message TensorProto
  DataType dtype = 1
  TensorShapeProto tensor_shape = 2
  int32 version_number = 3
  bytes tensor_content = 4
  repeated float float_val = 5
  repeated double double_val = 6
  repeated int32 int_val = 7
  repeated bytes string_val = 8
  repeated float scomplex_val = 9
  repeated int64 int64_val = 10
  repeated bool bool_val = 11
  repeated double dcomplex_val = 12
  repeated int32 half_val = 13
  repeated ResourceHandleProto resource_handle_val = 14
  repeated VariantTensorDataProto variant_val = 15
  repeated uint32 uint32_val = 16
  repeated uint64 uint64_val = 17
  bytes float8_val = 18
message TensorInfo
  string name = 1 in encoding
  DataType dtype = 2
  TensorShapeProto tensor_shape = 3
message SignatureDef
  map TensorInfo inputs = 1
  map TensorInfo outputs = 2
  string method_name = 3
  map TensorProto defaults = 4

package tensorflow.serving
enum ModelType
  MODEL_TYPE_UNSPECIFIED = 0
  TENSORFLOW = 1
  OTHER = 2
message ModelSpec
  string name = 1
  google.protobuf.Int64Value version = 2 in version_choice
  string version_label = 4 in version_choice
  string signature_name = 3
message PredictRequest
  ModelSpec model_spec = 1
  map TensorProto inputs = 2
  repeated string output_filter = 3
message PredictResponse
  map TensorProto outputs = 1
  ModelSpec model_spec = 2
message GetModelMetadataRequest
  ModelSpec model_spec = 1
  repeated string metadata_field = 2
message GetModelMetadataResponse
  ModelSpec model_spec = 1
  map google.protobuf.Any metadata = 2
message SignatureDefMap
  map tensorflow.SignatureDef signature_def = 1
message StatusProto
  tensorflow.error.Code error_code = 1
  string error_message = 2
message GetModelStatusRequest
  ModelSpec model_spec = 1
message GetModelStatusResponse
  repeated ModelVersionStatus model_version_status = 1
message ModelVersionStatus
  int64 version = 1
  State state = 2
  StatusProto status = 3
enum ModelVersionStatus.State
  UNKNOWN = 0
  START = 10
  LOADING = 20
  AVAILABLE = 30
  UNLOADING = 40
  END = 50
message ReloadConfigRequest
  ModelServerConfig config = 1
  repeated string metric_names = 2
message ReloadConfigResponse
  StatusProto status = 1
  repeated Metric metric = 2
message Metric
  string name = 1
  int64 int64_value_increase = 2 in value_increase
message ModelServerConfig
  ModelConfigList model_config_list = 1 in config
  google.protobuf.Any custom_model_config = 2 in config
message ModelConfigList
  repeated ModelConfig config = 1
message ModelConfig
  string name = 1
  string base_path = 2
  ModelType model_type = 3
  string model_platform = 4
  LoggingConfig logging_config = 6
  FileSystemStoragePathSourceConfig.ServableVersionPolicy model_version_policy = 7
  map int64 version_labels = 8
message FileSystemStoragePathSourceConfig
message FileSystemStoragePathSourceConfig.ServableVersionPolicy
  Latest latest = 100 in policy_choice
  All all = 101 in policy_choice
  Specific specific = 102 in policy_choice
message FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest
  uint32 num_versions = 1
message FileSystemStoragePathSourceConfig.ServableVersionPolicy.All
message FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific
  repeated int64 versions = 1
message SSLConfig
  string server_key = 1
  string server_cert = 2
  string custom_ca = 3
  bool client_verify = 4
message LoggingConfig
  LogCollectorConfig log_collector_config = 1
  SamplingConfig sampling_config = 2
  google.protobuf.Any custom_logging_config = 3
message LogCollectorConfig
  string type = 1
  string filename_prefix = 2
message SamplingConfig
  double sampling_rate = 1
  int32 attributes = 2
  repeated PerTaskSamplingConfig per_task_sampling_configs = 3
message PerTaskSamplingConfig
  string dc = 1
  optional int32 task_index = 2
  double sampling_rate = 3
"""

# Enums whose members are known elsewhere.
_MEMBERS = {
    "tensorflow.error.Code": CODE_NUMBERS,
    "tensorflow.DataType": {
        "DT_INVALID": 0,
        **{f"DT_{kind.name.upper()}": kind.number for kind in TENSOR_TYPES},
    },
}


def new_message(name: str, /, **fields: Any) -> Any:
    """A message of the package `tensorflow.serving`, with some of its fields set.

    >>> new_message("ModelSpec", name="m").SerializeToString().hex()
    '0a016d'

    Raises:
      KeyError: No such message is declared.
    """
    return _message_class(f"tensorflow.serving.{name}")(**fields)


def new_tensor() -> Any:
    """An empty `TensorProto`."""
    return _message_class("tensorflow.TensorProto")()


@cache
def _message_class(name: str) -> Any:
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


@cache
def pool() -> Any:
    """The descriptor pool of these messages."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    private = descriptor_pool.DescriptorPool()
    written: list[str] = []
    for section in _SCHEMA.split("package ")[1:]:
        package, *lines = section.splitlines()
        file = descriptor_pb2.FileDescriptorProto(
            name=f"peakserve/{package}.proto", package=package, syntax="proto3", dependency=written
        )
        _declare(file, [line.split() for line in lines if line])
        private.AddSerializedFile(file.SerializeToString())
        written.append(file.name)
    return private


def _declare(file: Any, lines: list[list[str]]) -> None:
    """Fills a file's descriptor from the words of each line."""
    messages: dict[str, Any] = {"": file}
    message: Any = None
    enum: Any = None
    for words in lines:
        outer, _, name = words[1].rpartition(".")
        if words[0] == "message":
            holder = messages[outer]
            message = (holder.nested_type if outer else holder.message_type).add(name=name)
            messages[words[1]] = message
        elif words[0] == "enum":
            enum = messages[outer].enum_type.add(name=name)
            for member, number in _MEMBERS.get(f"{file.package}.{words[1]}", {}).items():
                enum.value.add(name=member, number=number)
        elif words[1] == "=":
            enum.value.add(name=words[0], number=int(words[2]))
        else:
            _declare_field(message, words)


def _declare_field(message: Any, words: list[str]) -> None:
    """Adds the field that a line declares to its message's descriptor."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

    *form, kind, name, _, number = words if "in" not in words else words[:-2]
    oneof = words[-1] if "in" in words else ""
    label = Field.LABEL_REPEATED if form in (["repeated"], ["map"]) else Field.LABEL_OPTIONAL
    field = message.field.add(name=name, number=int(number), label=label)
    if form == ["map"]:
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _declare_field(entry, ["string", "key", "=", "1"])
        _declare_field(entry, [kind, "value", "=", "2"])
        kind = entry.name
    if form == ["optional"]:
        field.proto3_optional, oneof = True, f"_{name}"
    if oneof:
        names = [declared.name for declared in message.oneof_decl]
        if oneof not in names:
            message.oneof_decl.add(name=oneof)
            names.append(oneof)
        field.oneof_index = names.index(oneof)
    scalar = f"TYPE_{kind.upper()}"
    if scalar in Field.Type.keys():  # noqa: SIM118
        field.type = Field.Type.Value(scalar)
    else:
        # Whether it is a message or an enum the pool finds out.
        field.type_name = kind
