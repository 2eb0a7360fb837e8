"""Checksums that can be compared between a trainer's full tensors and an engine's fused, sharded ones."""

from collections.abc import Iterator, Mapping, Sequence

import torch

# Fused in vLLM, apart in a checkpoint. A model of vLLM's says this itself (`packed_modules_mapping`).
Names = tuple[str, ...]


def bit_sum(tensor: torch.Tensor) -> int:
    """The sum of all elements' bit patterns, read as integers: exact, and the same in any order.

    Being a sum, it adds up over shards and over fused parameters, and padding with zeros does not change it.
    """
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return int(tensor.detach().contiguous().view(whole).sum(dtype=torch.int64))


def engine_checksums(model: torch.nn.Module, dtype: torch.dtype) -> dict[Names, int]:
    """For each parameter that can be compared, the checkpoint names that it consists of, and its sum.

    Left out are parameters of another type than `dtype`, which is that of what is sent, and those that vLLM
    on the CPU has moved into its kernels' own format (all matrices but the embedding).
    """
    fused: Mapping[str, Sequence[str]] = getattr(model, "packed_modules_mapping", {})
    return {
        tuple(_checkpoint_names(name, fused)): bit_sum(parameter)
        for name, parameter in model.named_parameters()
        if parameter.numel() > 0 and parameter.dtype == dtype
    }


def _checkpoint_names(name: str, fused: Mapping[str, Sequence[str]]) -> Iterator[str]:
    parts = name.split(".")
    for at, part in enumerate(parts):
        if part in fused:
            for single in fused[part]:
                yield ".".join([*parts[:at], single, *parts[at + 1 :]])
            return
    yield name


def first_difference(sent: Mapping[str, int], ranks: Sequence[Mapping[Names, int]]) -> Names | None:
    """The first parameter of an engine whose checksum is not that of what was sent; None where all agree.

    ranks: the checksums of the engine's tensor-parallel ranks. A replicated parameter must agree on each
    rank, a sharded one must add up over the ranks. What was not sent (a tied output layer) is left out.
    """
    for names in ranks[0]:
        if not all(name in sent for name in names):
            continue
        expected = sum(sent[name] for name in names)
        own = [rank[names] for rank in ranks]
        if any(value != expected for value in own) and sum(own) != expected:
            return names
    return None
