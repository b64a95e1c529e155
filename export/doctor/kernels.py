"""Which kernels the installed TensorFlow registers for a GPU. Needs no GPU."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from tensorflow.core.framework import types_pb2
from tensorflow.python.framework import kernels, op_def_registry

from export.doctor.nodes import ARGUMENT, attribute, input_types, output_types

# `DEFAULT` kernels serve every device that has none of its own.
_GPU = ("GPU", "DEFAULT")


@dataclass(frozen=True)
class GpuKernel:
    """What a kernel on a GPU wants to find in host memory.

    Attributes:
      host_inputs: For each data input, whether it is read from host memory.
      host_outputs: For each output, whether it is written to host memory.
      host_arguments: The names of these arguments.
    """

    host_inputs: tuple[bool, ...]
    host_outputs: tuple[bool, ...]
    host_arguments: tuple[str, ...]

    @property
    def is_host_only(self) -> bool:
        """Whether nothing that it reads or writes is in the GPU's memory."""
        return all(self.host_inputs) and all(self.host_outputs)


@functools.cache
def _registered(op: str) -> tuple[Any, ...]:
    return tuple(
        kernel
        for kernel in kernels.get_registered_kernels_for_op(op).kernel
        if kernel.device_type in _GPU
    )


def registry_has_gpu() -> bool:
    """Whether this TensorFlow was built with GPU kernels; a CPU-only wheel was not."""
    return any(
        kernel.device_type == "GPU"
        for kernel in kernels.get_registered_kernels_for_op("MatMul").kernel
    )


def is_known(op: str) -> bool:
    """Whether the installed TensorFlow has the op."""
    return op == ARGUMENT or op_def_registry.get(op) is not None


# A model has thousands of nodes of a few kinds: a kind's kernel is looked for once.
_OF_KIND: dict[tuple[str, ...], GpuKernel | None] = {}


def gpu_kernel(node: Any) -> GpuKernel | None:
    """The kernel that would run a node on a GPU, `None` if there is none for its dtypes."""
    kind = (node.op, *(str(attribute(node, name)) for name in _telling(node.op)))
    if kind not in _OF_KIND:
        _OF_KIND[kind] = _chosen(node)
    return _OF_KIND[kind]


@functools.cache
def _telling(op: str) -> tuple[str, ...]:
    """The attributes that tell nodes of an op apart: its label, its dtypes, how many tensors."""
    names = {"_kernel"}
    names.update(constraint.name for k in _registered(op) for constraint in k.constraint)
    definition = op_def_registry.get(op)
    for argument in (*definition.input_arg, *definition.output_arg) if definition else ():
        names.update((argument.type_attr, argument.number_attr, argument.type_list_attr))
    return tuple(sorted(names - {""}))


def _chosen(node: Any) -> GpuKernel | None:
    """As the runtime chooses."""
    fitting = [kernel for kernel in _registered(node.op) if _fits(kernel, node)]
    if not fitting:
        return None
    # The device's own kernel before the default one.
    kernel = min(fitting, key=lambda kernel: (-kernel.priority, kernel.device_type != "GPU"))
    host = set(kernel.host_memory_arg)
    inputs, outputs = input_types(node), output_types(node)
    return GpuKernel(
        tuple(name in host for name, _ in inputs),
        tuple(name in host for name, _ in outputs),
        tuple(dict.fromkeys(name for name, _ in (*inputs, *outputs) if name in host)),
    )


@functools.cache
def merge_is_on_host(dtype: int) -> bool:
    """Whether the value that leaves a branch or a loop on a GPU is in host memory."""
    for kernel in _registered("Merge"):
        allowed = [c.allowed_values.list.type for c in kernel.constraint if c.name == "T"]
        if all(dtype in types for types in allowed):
            return "output" in kernel.host_memory_arg
    return True


def _fits(kernel: Any, node: Any) -> bool:
    label = node.attr["_kernel"].s.decode() if "_kernel" in node.attr else ""
    if kernel.label != label:
        return False
    for constraint in kernel.constraint:
        # Constraints on other things than dtypes tell variants of one kernel apart.
        allowed = constraint.allowed_values.list.type
        value = attribute(node, constraint.name)
        if not allowed or value is None:
            continue
        dtypes = list(value.list.type) or ([value.type] if value.type else [])
        if not all(dtype in allowed for dtype in dtypes):
            return False
    return True


def dtype_name(dtype: int) -> str:
    """`float` for `DT_FLOAT`, as kernels are listed."""
    name: str = types_pb2.DataType.Name(dtype)
    return name.removeprefix("DT_").lower()
