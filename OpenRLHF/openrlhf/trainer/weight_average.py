"""An exponential moving average of a network's weights: θ̄ ← d·θ̄ + (1 − d)·θ."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn


class WeightAverage:
    """Kept in float32, this rank's shard only, since bf16 would swallow small steps."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = list(network.parameters())
        self.tensors = [local(p).detach().float().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        for parameter, average in zip(self._parameters, self.tensors, strict=True):
            average.lerp_(local(parameter).to(average), 1.0 - self.decay)

    @torch.no_grad()
    def copy_to(self, parameters: list[nn.Parameter]) -> None:
        for parameter, average in zip(parameters, self.tensors, strict=True):
            local(parameter).copy_(average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the averaged weights inside of the block, and its own again behind it."""
        own = [local(p).detach().clone() for p in self._parameters]
        self.copy_to(self._parameters)
        yield
        with torch.no_grad():
            for parameter, tensor in zip(self._parameters, own, strict=True):
                local(parameter).copy_(tensor)

    def save(self, file: Path) -> None:
        from safetensors.torch import save_file

        save_file({str(i): tensor.contiguous() for i, tensor in enumerate(self.tensors)}, file)

    def load(self, file: Path) -> None:
        from safetensors.torch import load_file

        stored = load_file(file)
        for i, tensor in enumerate(self.tensors):
            tensor.copy_(stored[str(i)])


def local(parameter: nn.Parameter) -> Tensor:
    """What this rank holds of a parameter: its ZeRO-3 shard, or all of it."""
    return parameter.ds_tensor if hasattr(parameter, "ds_tensor") else parameter.data
