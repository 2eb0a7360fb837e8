"""What a rank's optimiser holds, the same for every ZeRO stage: master weights, their moments, and the steps taken.

DeepSpeed keeps them in flat tensors that each stage cuts up in its own way. Here they are pieces of named parameters,
so that a checkpoint does not depend on ranks and stages, and none has to be unpickled.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from openrlhf.models.parameters import Network
from openrlhf.trainer.shards import Piece

MOMENTS = ("exp_avg", "exp_avg_sq")


class _Owned(NamedTuple):
    """`size` numbers of a parameter, from `start` of it, lie from `at` of the flattened `master`."""

    name: str
    parameter: Tensor
    master: Tensor
    at: int
    start: int
    size: int


class OptimizerState:
    """Of the trainable parameters of `network`, around which `engine` is."""

    def __init__(self, engine: Any, network: Network) -> None:
        self._optimizer = engine.optimizer
        self._adam = getattr(engine.optimizer, "optimizer", engine.optimizer)
        self._network = network
        # The same on every rank, so that one of them writes it.
        self.replicated = not engine.zero_optimization()
        self._steps_at_start = self._steps()

    def pieces(self) -> dict[str, Piece]:
        """Live views, by kind and name of the parameter. After they were written to: `publish`."""
        found = {}
        for own in self._owned():
            tensors = {"master": own.master, **{name: self._state(own.master)[name] for name in MOMENTS}}
            for kind, flat in tensors.items():
                view = flat.detach().view(-1).narrow(0, own.at, own.size)
                found[f"{kind}/{own.name}"] = Piece(own.start, view)
        return found

    @property
    def steps(self) -> int:
        """Optimiser steps taken; some of DeepSpeed's optimisers take one while they are built, which does not count."""
        return self._steps() - self._steps_at_start

    @steps.setter
    def steps(self, number: int) -> None:
        for master in self._masters():
            state = self._state(master)
            if isinstance(state["step"], Tensor):
                state["step"].fill_(number + self._steps_at_start)
            else:
                state["step"] = number + self._steps_at_start

    def tensors(self) -> list[Tensor]:
        """Everything but the number of steps, padding included."""
        return [tensor for m in self._masters() for tensor in (m, *(self._state(m)[name] for name in MOMENTS))]

    @torch.no_grad()
    def publish(self) -> None:
        """Collective: the network computes with the master weights from now on."""
        optimizer = self._optimizer
        if hasattr(optimizer, "fp32_partitioned_groups_flat"):  # stage 3
            for own in self._owned():
                own.parameter.ds_tensor.view(-1)[: own.size].copy_(  # type: ignore[attr-defined]
                    own.master.view(-1).narrow(0, own.at, own.size)
                )
            if small := optimizer.persistent_parameters:  # they stay gathered
                small[0].partition(small)
                small[0].all_gather(small)
        elif hasattr(optimizer, "update_lp_params"):  # stages 1 and 2
            optimizer.update_lp_params()
        else:
            for own in self._owned():
                if own.master is not own.parameter:
                    own.parameter.copy_(own.master)

    def _owned(self) -> Iterator[_Owned]:
        optimizer = self._optimizer
        copies: dict[Tensor, Tensor] = {}
        if hasattr(optimizer, "fp32_groups"):  # stage 0 in 16 bits
            for low, high in zip(optimizer.fp16_groups, optimizer.fp32_groups, strict=True):
                copies.update(zip(low, high, strict=True))
        for name, p in self._network.named_parameters():
            if not p.requires_grad:
                continue
            if hasattr(p, "ds_numel"):
                group, at, size = optimizer.grad_position[optimizer.get_param_id(p)]
                start = min(dist.get_rank() * size, p.ds_numel)
                count = min(size, p.ds_numel - start)  # the last shard is padded
                yield _Owned(name, p, optimizer.fp32_partitioned_groups_flat[group], at, start, count)
            elif not hasattr(p, "_hp_mapping"):
                yield _Owned(name, p, copies.get(p, p), 0, 0, p.numel())
            elif (part := p._hp_mapping) is not None:
                here, there = part.hp_fragment_address, part.lp_fragment_address
                yield _Owned(name, p, self._masters()[part.param_group_index], here.start, there.start, here.numel)

    def _masters(self) -> list[Tensor]:
        for name in ("fp32_partitioned_groups_flat", "single_partition_of_fp32_groups", "fp32_groups_flat_partition"):
            if hasattr(self._optimizer, name):
                return getattr(self._optimizer, name)
        return [p for group in self._adam.param_groups for p in group["params"]]

    def _state(self, master: Tensor) -> dict[str, Any]:
        """Adam's, made as Adam makes it where there was no step yet."""
        state = self._adam.state[master]
        if not state:
            fused = bool(self._adam.defaults.get("fused"))
            step: Any = torch.zeros((), dtype=torch.float32, device=master.device if fused else "cpu")
            state["step"] = step if isinstance(self._adam, torch.optim.AdamW) else 0
            state.update({name: torch.zeros_like(master, requires_grad=False) for name in MOMENTS})
        return state

    def _steps(self) -> int:
        state = self._adam.state.get(self._masters()[0])
        return int(state["step"]) if state else 0
