"""The messages that we declare are the official ones: descriptor by descriptor, byte by byte."""

from __future__ import annotations

import pytest
from google.protobuf import message_factory, text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from serving_config import wire_messages

# Whatever else is declared is reachable from these.
ROOTS = {
    root.DESCRIPTOR.full_name: root
    for root in (
        predict_pb2.PredictRequest,
        predict_pb2.PredictResponse,
        get_model_status_pb2.GetModelStatusRequest,
        get_model_status_pb2.GetModelStatusResponse,
        get_model_metadata_pb2.GetModelMetadataRequest,
        get_model_metadata_pb2.GetModelMetadataResponse,
        get_model_metadata_pb2.SignatureDefMap,
        model_management_pb2.ReloadConfigRequest,
        model_management_pb2.ReloadConfigResponse,
    )
}
# What newer servers understand and this project does not send.
UNDECLARED = {
    "tensorflow.serving.PredictRequest": {
        *("predict_streamed_options", "client_id", "request_options"),
    },
    # Sparse and composite tensors, which no request of this project names.
    "tensorflow.TensorInfo": {"coo_sparse", "composite_tensor"},
}


def reachable(descriptor, found=None):
    """A message's descriptor and those of all its fields, by full name; enums as well."""
    found = {} if found is None else found
    if descriptor.full_name not in found:
        found[descriptor.full_name] = descriptor
        for field in descriptor.fields:
            if field.message_type is not None:
                reachable(field.message_type, found)
            elif field.enum_type is not None:
                found[field.enum_type.full_name] = field.enum_type
    return found


def declared(name):
    return wire_messages.pool().FindMessageTypeByName(name)


OFFICIAL, OURS = {}, {}
for root_name, root in ROOTS.items():
    reachable(root.DESCRIPTOR, OFFICIAL)
    reachable(declared(root_name), OURS)
MESSAGES = sorted(name for name in OURS if hasattr(OURS[name], "fields"))
ENUMS = sorted(OURS.keys() - set(MESSAGES))


def facts(field):
    kind = field.message_type or field.enum_type
    oneof = field.containing_oneof
    return {
        "number": field.number,
        "type": field.type,
        "repeated": field.is_repeated,
        "packed": field.is_packed,
        "presence": field.has_presence,
        "type name": kind and kind.full_name,
        "oneof": oneof and oneof.name,
        "map entry": bool(field.message_type and field.message_type.GetOptions().map_entry),
    }


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_are_the_official_ones(name):
    official = OFFICIAL[name].fields_by_name
    ours = OURS[name].fields_by_name
    assert set(official.keys()) - set(ours.keys()) == UNDECLARED.get(name, set())
    for field_name, field in ours.items():
        assert facts(field) == facts(official[field_name]), field_name


@pytest.mark.parametrize("name", ENUMS)
def test_enums_are_the_official_ones(name):
    official = {value.name: value.number for value in OFFICIAL[name].values}
    ours = {value.name: value.number for value in OURS[name].values}
    assert ours.items() <= official.items()
    missing = official.keys() - ours.keys()
    # References, quantised types and those without a number of bits have no NumPy form.
    assert all(member.startswith(("DT_", "DO_NOT_USE")) for member in missing)


def test_nothing_is_declared_that_is_not_used():
    packages = ("google.protobuf", "tensorflow.error", "tensorflow", "tensorflow.serving")
    files = [wire_messages.pool().FindFileByName(f"peakserve/{name}.proto") for name in packages]
    declarations = [message for file in files for message in file.message_types_by_name.values()]
    names = {inner.full_name for outer in declarations for inner in (outer, *outer.nested_types)}
    # Only holds the policy; and what a text file holds, of which the official modules have nothing.
    assert names - OURS.keys() == {
        "tensorflow.serving.FileSystemStoragePathSourceConfig",
        "tensorflow.serving.SSLConfig",
    }


def filled(descriptor, data, depth=0):
    """A drawn official message, every field of which may be set."""
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if not data.draw(st.booleans()):
            continue
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            value = kind.fields_by_name["value"]
            for key in data.draw(st.lists(st.text(max_size=3), max_size=2, unique=True)):
                if value.message_type is not None:
                    inner = filled(value.message_type, data, depth + 1)
                    getattr(message, field.name)[key].CopyFrom(inner)
                else:
                    getattr(message, field.name)[key] = data.draw(scalars(value))
        elif kind is not None:
            if depth < 3:
                target = getattr(message, field.name)
                inner = filled(kind, data, depth + 1)
                target.add().CopyFrom(inner) if field.is_repeated else target.CopyFrom(inner)
        elif field.is_repeated:
            getattr(message, field.name).extend(data.draw(st.lists(scalars(field), max_size=3)))
        else:
            setattr(message, field.name, data.draw(scalars(field)))
    return message


def scalars(field):
    if field.type in (field.TYPE_INT64, field.TYPE_UINT64):
        return st.integers(-(2**63) if field.type == field.TYPE_INT64 else 0, 2**63 - 1)
    if field.type == field.TYPE_ENUM:
        # Also numbers that the enum does not have.
        return st.integers(0, 120)
    return {
        field.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
        field.TYPE_UINT32: st.integers(0, 2**32 - 1),
        field.TYPE_BOOL: st.booleans(),
        field.TYPE_FLOAT: st.floats(width=32),
        field.TYPE_DOUBLE: st.floats(),
        field.TYPE_BYTES: st.binary(max_size=5),
        field.TYPE_STRING: st.text(max_size=5),
    }[field.type]


@pytest.mark.parametrize("name", ROOTS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_filled_official_messages_come_back_byte_for_byte(name, data):
    official = filled(ROOTS[name].DESCRIPTOR, data)
    written = official.SerializeToString(deterministic=True)
    ours = wire_messages.new_message(name.rpartition(".")[2])
    ours.ParseFromString(written)
    assert ours.SerializeToString(deterministic=True) == written


def test_text_of_a_configuration_reads_the_same():
    text = """
    model_config_list { config {
      name: "m" base_path: "/m" model_type: TENSORFLOW model_platform: "tensorflow"
      model_version_policy { specific { versions: 3 versions: 4 } }
      version_labels { key: "stable" value: 3 } version_labels { key: "canary" value: 4 }
      logging_config {
        log_collector_config { type: "file" filename_prefix: "/log" }
        sampling_config { sampling_rate: 0.5 per_task_sampling_configs { task_index: 0 } } } }
      config { name: "n" model_version_policy { latest { num_versions: 2 } } }
      config { name: "o" model_version_policy { all {} } } }
    """
    official = ROOTS["tensorflow.serving.ReloadConfigRequest"]()
    ours = wire_messages.new_message("ReloadConfigRequest")
    for message in (official, ours):
        text_format.Parse(text, message.config)
    assert ours.SerializeToString(deterministic=True) == official.SerializeToString(
        deterministic=True
    )
    assert text_format.MessageToString(ours) == text_format.MessageToString(official)


def test_they_do_not_meet_the_official_ones():
    ours = wire_messages.new_message("ModelSpec", name="m")
    official = ROOTS["tensorflow.serving.PredictRequest"]().model_spec
    assert ours.DESCRIPTOR.file.pool is not official.DESCRIPTOR.file.pool
    assert not isinstance(ours, type(official))


def test_a_name_that_is_not_declared():
    with pytest.raises(KeyError, match="Nope"):
        wire_messages.new_message("Nope")
