"""What the benchmark asks of a server, and the ways to ask it.

Legend: `N` samples, `H` height, `W` width, `C` channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from export.benchmark.load import Ask
from export.benchmark.result import size_of
from export.hosting import Host
from export.image_cases import draw_images, jpeg
from export.keypoint_cases import as_input
from export.maps import draw_maps
from serving_config import wire
from serving_config.addresses import target_of
from serving_config.channel import open_channel
from serving_config.grpc_client import GrpcClient
from serving_config.rest_client import HTTPS, RestClient
from serving_config.rest_json import predict_body
from signatures.contract import ModelContract, image_options


@dataclass(frozen=True)
class Question:
    """One request.

    Attributes:
      model: The servable's name.
      contract: Its contract.
      signature: The signature's key.
      inputs: Name to array, all of them.
      eager: The same function in this process, `None` where there is none.
    """

    model: str
    contract: ModelContract
    signature: str
    inputs: Mapping[str, np.ndarray]
    eager: Callable[..., Any] | None = None

    def __str__(self) -> str:
        """The signature, and the shape of its first input."""
        first = next(iter(self.inputs.values()))
        return f"{self.signature} {size_of(first.shape)}"

    def grpc_client(self, host: Host, timeout: float) -> GrpcClient:
        """A client with a connection of its own."""
        return GrpcClient(
            host.grpc_address,
            model=self.model,
            timeout=timeout,
            contracts={self.model: self.contract},
            tls=host.tls,
        )

    def rest_client(self, host: Host, timeout: float) -> RestClient:
        """A client with a connection of its own; the host has REST."""
        return RestClient(
            host.rest_address or "",
            model=self.model,
            timeout=timeout,
            contracts={self.model: self.contract},
            tls=host.tls if (host.rest_address or "").startswith(HTTPS) else None,
        )

    def grpc_bytes(self) -> bytes:
        """The request as it travels over gRPC."""
        query = wire.ModelQuery(self.model, signature=self.signature)
        return wire.predict_request(query, self.inputs)


def inputs_of(
    contract: ModelContract, signature: str, shape: tuple[int, int, int, int]
) -> dict[str, np.ndarray]:
    """A drawn request.

    Args:
      contract: The model family and its options.
      signature: One whose only input without a default is maps, images or pictures.
      shape: [N, H, W, C] of maps; what the contract fixes is as it says.
    """
    (tensor,) = (one for one in contract.signature(signature).inputs if one.default is None)
    if tensor.name not in ("images", "encoded_images"):
        fixed = zip(tensor.static_shape, shape, strict=True)
        maps = draw_maps(*(size or wanted for size, wanted in fixed))[0]
        return {tensor.name: as_input(maps, tensor.dtype)}
    images = draw_images(shape[0], image_options(contract))
    if tensor.name == "images":
        return {tensor.name: images}
    pictures = np.empty(len(images), object)
    pictures[:] = [jpeg(image) for image in images]
    return {tensor.name: pictures}


def ask_client(client: GrpcClient | RestClient, question: Question) -> Ask:
    """From NumPy to NumPy, as users ask."""
    return lambda: client.predict(question.signature, question.inputs)


def ask_raw_grpc(stack: ExitStack, host: Host, question: Question, timeout: float) -> Ask:
    """Bytes that were built before, over a connection of its own; the reply is thrown away."""
    channel = open_channel(target_of(host.grpc_address), host.tls)
    stack.callback(channel.close)
    method = channel.unary_unary(wire.PREDICT_METHOD)
    request = question.grpc_bytes()
    return lambda: method(request, timeout=timeout)


def ask_raw_rest(stack: ExitStack, host: Host, question: Question, timeout: float) -> Ask:
    """A body that was written before, over a connection of its own; the reply is thrown away."""
    address = host.rest_address or ""
    base = address if address.startswith(HTTPS) else f"http://{address}"
    verify = host.tls.context() if host.tls and address.startswith(HTTPS) else False
    client = stack.enter_context(
        httpx.Client(base_url=base, trust_env=False, timeout=timeout, verify=verify)
    )
    body = predict_body(question.signature, question.inputs)
    path = f"/v1/models/{question.model}:predict"
    return lambda: client.post(path, content=body).raise_for_status()


def ask_eager(question: Question) -> Ask:
    """The function in this process, NumPy out."""
    eager = question.eager
    if eager is None:
        raise ValueError(f"{question}: no eager function")

    def ask() -> object:
        results = eager(**question.inputs)
        several = results if isinstance(results, list | tuple) else [results]
        return [result.numpy() for result in several]

    return ask
