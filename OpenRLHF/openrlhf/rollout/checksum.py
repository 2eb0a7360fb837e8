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

    Where there are more tensor-parallel ranks than key-value heads, several ranks hold the same head beside query heads
    of their own: such a fused parameter is two entries, so that each is either sharded or held by several ranks.

    Left out are parameters of another type than `dtype`, which is that of what is sent, and those that vLLM
    on the CPU has moved into its kernels' own format (all matrices but the embedding).
    """
    fused: Mapping[str, Sequence[str]] = getattr(model, "packed_modules_mapping", {})
    layers = dict(model.named_modules())
    found: dict[Names, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.numel() > 0 and parameter.dtype == dtype:
            names = tuple(_checkpoint_names(name, fused))
            own = _own_rows(layers[name.rpartition(".")[0]], names)
            if own is None:
                found[names] = bit_sum(parameter)
            else:
                found[names[:1]], found[names[1:]] = bit_sum(parameter[:own]), bit_sum(parameter[own:])
    return found


def _own_rows(layer: torch.nn.Module, names: Names) -> int | None:
    """Rows of queries at the front of a fused parameter whose keys and values other ranks hold too; None for others.

    The attributes are those of vLLM's `QKVParallelLinear`.
    """
    if len(names) != 3 or getattr(layer, "num_kv_head_replicas", 1) == 1:
        return None
    return layer.num_heads * layer.head_size  # type: ignore[operator, return-value]


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
    rank, a sharded one must add up over the ranks, one that is sharded over fewer than all of them must add up over
    each set of ranks that hold it together. What was not sent (a tied output layer) is left out.
    """
    for names in ranks[0]:
        if not all(name in sent for name in names):
            continue
        expected = sum(sent[name] for name in names)
        if not _adds_up([rank[names] for rank in ranks], expected):
            return names
    return None


def _adds_up(own: list[int], expected: int) -> bool:
    """Whether the ranks hold what was sent a whole number of times: rank r has piece r // copies of it.

    This is vLLM's order: with 2 heads on 4 ranks, ranks 0 and 1 hold head 0, ranks 2 and 3 head 1.
    """
    sizes = [copies for copies in range(1, len(own) + 1) if len(own) % copies == 0]
    return any(all(sum(own[first::copies]) == expected for first in range(copies)) for copies in sizes)
