"""From examples to micro-batches: cut, balance over ranks, and put on a device."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from openrlhf.models.ragged import RaggedRows


@dataclass(frozen=True)
class Example:
    """One row to train on or to score.

    ids: all tokens. scored: positions of the tokens that are trained on, each ≥ 1.
    weight: the factor of each scored token's loss; already normalised over the global batch.
    hint, hint_at: tokens that the posterior's row has in addition, and the position where they are put in.
    seed: of the candidates drawn for this row.
    label: a number that belongs to the whole row; its meaning is the objective's.
    columns: numbers that belong to the scored tokens, one for each, by name ("advantage", "old_logprob", …).
    """

    ids: tuple[int, ...]
    scored: tuple[int, ...]
    weight: float
    hint: tuple[int, ...] = ()
    hint_at: int = 0
    seed: int = 0
    label: float = 0.0
    columns: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def with_hint(self) -> tuple[list[int], list[int]]:
        """The posterior's row and its scored positions, which hold the same tokens as `scored` does here."""
        ids = [*self.ids[: self.hint_at], *self.hint, *self.ids[self.hint_at :]]
        return ids, [p + len(self.hint) if p >= self.hint_at else p for p in self.scored]


@dataclass(frozen=True)
class MicroBatch:
    """Examples of one forward and backward pass, as tensors on the device: R rows, T scored tokens in all.

    posterior_rows: the answer-conditioned rows, None for objectives without a posterior.
    token_weights: float32 [T]; 0 for rows that are only there to keep this rank busy. token_rows: int64 [T], the
    row of each scored token. row_weights, labels: float32 [R]. uniforms: float32 [T, n]. columns: float32 [T] each.
    """

    rows: RaggedRows
    posterior_rows: RaggedRows | None
    token_weights: Tensor
    token_rows: Tensor
    row_weights: Tensor
    labels: Tensor
    uniforms: Tensor | None
    columns: dict[str, Tensor]

    @property
    def tokens(self) -> int:
        return sum(self.rows.lengths)

    @property
    def real(self) -> Tensor:
        """bool [T]: tokens that count."""
        return self.token_weights > 0

    def row_sums(self, values: Tensor) -> Tensor:
        """[R]: the sum of a number per scored token [T] over each row; differentiable."""
        return values.new_zeros(len(self.rows.lengths)).index_add(0, self.token_rows, values)

    def row_means(self, values: Tensor) -> Tensor:
        """[R]: likewise the mean over each row's scored tokens."""
        return self.row_sums(values) / self.row_sums(torch.ones_like(values))


def collate(
    examples: Sequence[Example],
    device: torch.device,
    *,
    num_candidates: int = 0,
    with_posterior: bool = False,
) -> MicroBatch:
    """Puts examples on the device. Uniform numbers are drawn row by row from each row's own seed.

    Raises:
        ValueError: a row lacks a column that another one has.
    """
    posterior_rows = None
    if with_posterior:
        hinted = [example.with_hint() for example in examples]
        posterior_rows = RaggedRows.build([ids for ids, _ in hinted], [scored for _, scored in hinted], device)
    uniforms = None
    if num_candidates:
        uniforms = torch.cat([_uniforms(e.seed, len(e.scored), num_candidates) for e in examples]).to(device)

    def floats(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    names = {name for example in examples for name in example.columns}
    return MicroBatch(
        rows=RaggedRows.build([e.ids for e in examples], [e.scored for e in examples], device),
        posterior_rows=posterior_rows,
        token_weights=floats([e.weight for e in examples for _ in e.scored]),
        token_rows=torch.tensor([r for r, e in enumerate(examples) for _ in e.scored], device=device),
        row_weights=floats([e.weight for e in examples]),
        labels=floats([e.label for e in examples]),
        uniforms=uniforms,
        columns={name: floats([value for e in examples for value in _column(e, name)]) for name in sorted(names)},
    )


def _uniforms(seed: int, length: int, n: int) -> Tensor:
    return torch.rand((length, n), generator=torch.Generator().manual_seed(seed))


def _column(example: Example, name: str) -> Sequence[float]:
    values = example.columns.get(name, ())
    if len(values) != len(example.scored):
        raise ValueError(f"column {name!r} has {len(values)} numbers for {len(example.scored)} scored tokens")
    return values


def ranks_per_share(args: Any) -> int:
    """Neighbouring ranks that work on the same rows, and so have the same results: --ring_attn_size."""
    return getattr(args, "ring_attn_size", 1)


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


def idle_example(columns: Iterable[str] = ()) -> Example:
    """Two tokens of weight zero: runs every layer and changes no gradient. columns: names of those that are read."""
    return Example(ids=(0, 0), scored=(1,), weight=0.0, hint_at=1, columns={name: (0.0,) for name in columns})
