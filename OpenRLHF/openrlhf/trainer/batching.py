"""From examples to micro-batches: cut, and balanced over ranks."""

from collections.abc import Sequence

from openrlhf.experience.example import Example, idle_example


def split_over_ranks(
    examples: Sequence[Example],
    world_size: int,
    micro_batch_size: int,
    rows_per_sample: int = 1,
    ranks_per_share: int = 1,
) -> list[list[list[Example]]]:
    """Micro-batches for every rank: the same number on each, of similar numbers of tokens.

    micro_batch_size counts samples, each of which is `rows_per_sample` consecutive examples that stay together. Ranks
    that would have fewer micro-batches get idle ones (rows of weight zero): under ZeRO-3 every rank must take part in
    every gather. ranks_per_share: that many neighbouring ranks get the same micro-batches.
    """
    samples = [examples[i : i + rows_per_sample] for i in range(0, len(examples), rows_per_sample)]
    sizes = [sum(len(e.ids) + len(e.hint) for e in sample) for sample in samples]
    idle = [idle_example(examples[0].columns)] * rows_per_sample
    shares = [
        [[example for index in micro for example in samples[index]] or idle for micro in own]
        for own in deal(sizes, world_size // ranks_per_share, micro_batch_size)
    ]
    return [share for share in shares for _ in range(ranks_per_share)]


def deal(sizes: Sequence[int], world_size: int, micro_batch_size: int) -> list[list[list[int]]]:
    """Indices of `sizes`, by rank and micro-batch; every rank has as many micro-batches, the last ones may be empty.

    Dealt out longest first, forwards then backwards, so that ranks carry similar loads and rows of similar length
    share a micro-batch.
    """
    order = sorted(range(len(sizes)), key=lambda index: sizes[index], reverse=True)
    shares: list[list[int]] = [[] for _ in range(world_size)]
    for start in range(0, len(order), world_size):
        ranks = range(world_size) if (start // world_size) % 2 == 0 else reversed(range(world_size))
        for rank, index in zip(ranks, order[start : start + world_size], strict=False):
            shares[rank].append(index)
    count = -(-max(map(len, shares)) // micro_batch_size)
    return [[share[m * micro_batch_size : (m + 1) * micro_batch_size] for m in range(count)] for share in shares]
