"""An exponential moving average of a network's weights: θ̄ ← d·θ̄ + (1 − d)·θ."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from openrlhf.trainer.shards import Piece


class WeightAverage:
    """Kept in float32, this rank's shard only, since bf16 would swallow small steps."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._names, self._parameters = zip(*network.named_parameters(), strict=True)
        self.tensors = [local(p).detach().float().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self) -> None:
        for parameter, average in zip(self._parameters, self.tensors, strict=True):
            average.lerp_(local(parameter).to(average), 1.0 - self.decay)

    @torch.no_grad()
    def copy_to(self, parameters: Sequence[nn.Parameter]) -> None:
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

    def pieces(self) -> dict[str, Piece]:
        """Live views, by name of the parameter; all of it where it is not sharded."""
        found = {}
        for name, parameter, tensor in zip(self._names, self._parameters, self.tensors, strict=True):
            size = getattr(parameter, "ds_numel", tensor.numel())
            start = min(dist.get_rank() * tensor.numel(), size) if hasattr(parameter, "ds_tensor") else 0
            found[name] = Piece(start, tensor.view(-1)[: size - start])  # the last shard is padded
        return found


def local(parameter: nn.Parameter) -> Tensor:
    """What this rank holds of a parameter: its ZeRO-3 shard, or all of it."""
    return parameter.ds_tensor if hasattr(parameter, "ds_tensor") else parameter.data
