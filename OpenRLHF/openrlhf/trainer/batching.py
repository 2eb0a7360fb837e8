"""From examples to micro-batches: cut, and balanced over ranks."""

from collections.abc import Sequence

from openrlhf.experience.example import Example, idle_example

# In a sequence of this many tokens attention costs a layer about as much as its matrices (10 × width, at 1,536).
ATTENTION_TOKENS = 16384


def split_over_ranks(
    examples: Sequence[Example],
    world_size: int,
    micro_batch_size: int,
    rows_per_sample: int = 1,
    ranks_per_share: int = 1,
    max_tokens: int = 0,
) -> list[list[list[Example]]]:
    """Micro-batches for every rank: the same number on each, of similar numbers of tokens.

    micro_batch_size counts samples (max_tokens: see `deal`), each of which is `rows_per_sample` consecutive examples
    that stay together. Ranks that would have fewer micro-batches get idle ones (rows of weight zero): under ZeRO-3
    every rank must take part in every gather. ranks_per_share: that many neighbouring ranks get the same micro-batches.
    """
    samples = [examples[i : i + rows_per_sample] for i in range(0, len(examples), rows_per_sample)]
    sizes = [sum(e.size for e in sample) for sample in samples]
    idle = [idle_example(examples[0].columns)] * rows_per_sample
    shares = [
        [[example for index in micro for example in samples[index]] or idle for micro in own]
        for own in deal(sizes, world_size // ranks_per_share, micro_batch_size, max_tokens)
    ]
    return [share for share in shares for _ in range(ranks_per_share)]


def deal(sizes: Sequence[int], world_size: int, micro_batch_size: int, max_tokens: int = 0) -> list[list[list[int]]]:
    """Indices of `sizes`, by rank and micro-batch; every rank has as many micro-batches, the last ones may be empty.

    Dealt out longest first, forwards then backwards, so that ranks carry similar loads and rows of similar length
    share a micro-batch. With `max_tokens` each goes to the rank with the least to compute so far, and a micro-batch
    holds what fits into so many tokens (or one row that does not).
    """
    order = sorted(range(len(sizes)), key=lambda index: sizes[index], reverse=True)
    shares: list[list[int]] = [[] for _ in range(world_size)]
    if max_tokens:
        loads = [0.0] * world_size
        for index in order:
            rank = loads.index(min(loads))
            shares[rank].append(index)
            loads[rank] += sizes[index] * (1 + sizes[index] / ATTENTION_TOKENS)
        filled = [_filled(share, sizes, max_tokens) for share in shares]
    else:
        for start in range(0, len(order), world_size):
            ranks = range(world_size) if (start // world_size) % 2 == 0 else reversed(range(world_size))
            for rank, index in zip(ranks, order[start : start + world_size], strict=False):
                shares[rank].append(index)
        filled = [[own[i : i + micro_batch_size] for i in range(0, len(own), micro_batch_size)] for own in shares]
    count = max(map(len, filled))
    return [own + [[]] * (count - len(own)) for own in filled]


def _filled(share: Sequence[int], sizes: Sequence[int], max_tokens: int) -> list[list[int]]:
    """First fit, longest first: at most 11/9 as many bins as there must be (Johnson 1973)."""
    bins: list[list[int]] = []
    room: list[int] = []
    for index in share:
        place = next((i for i, left in enumerate(room) if sizes[index] <= left), len(bins))
        if place == len(bins):
            bins.append([])
            room.append(max_tokens)
        bins[place].append(index)
        room[place] -= sizes[index]
    return bins
