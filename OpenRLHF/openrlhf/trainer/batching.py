"""From examples to micro-batches: cut, balance over ranks, and put on a device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from openrlhf.models.ragged import RaggedRows


@dataclass(frozen=True)
class Example:
    """One row to train on.

    ids: all tokens. scored: positions of the tokens that are trained on, each ≥ 1.
    weight: the factor of each scored token's loss; already normalised over the global batch.
    hint, hint_at: tokens that the posterior's row has in addition, and the position where they are put in.
    seed: of the candidates drawn for this row. behaviour_logprobs: the engine's, one per scored token, or none.
    """

    ids: tuple[int, ...]
    scored: tuple[int, ...]
    weight: float
    hint: tuple[int, ...] = ()
    hint_at: int = 0
    seed: int = 0
    behaviour_logprobs: tuple[float, ...] = ()

    def with_hint(self) -> tuple[list[int], list[int]]:
        """The posterior's row and its scored positions, which hold the same tokens as `scored` does here."""
        ids = [*self.ids[: self.hint_at], *self.hint, *self.ids[self.hint_at :]]
        return ids, [p + len(self.hint) if p >= self.hint_at else p for p in self.scored]


@dataclass(frozen=True)
class MicroBatch:
    """Examples of one forward and backward pass, as tensors on the device; T scored tokens in all.

    posterior_rows: the answer-conditioned rows, None for objectives without a posterior.
    token_weights: float32 [T]. uniforms: float32 [T, n]. behaviour_logprobs: float32 [T], NaN where unknown.
    """

    rows: RaggedRows
    posterior_rows: RaggedRows | None
    token_weights: Tensor
    uniforms: Tensor | None
    behaviour_logprobs: Tensor

    @property
    def tokens(self) -> int:
        return sum(self.rows.lengths)


def collate(
    examples: Sequence[Example],
    device: torch.device,
    *,
    num_candidates: int = 0,
    with_posterior: bool = False,
) -> MicroBatch:
    """Puts examples on the device. Uniform numbers are drawn row by row from each row's own seed."""
    posterior_rows = None
    if with_posterior:
        hinted = [example.with_hint() for example in examples]
        posterior_rows = RaggedRows.build([ids for ids, _ in hinted], [scored for _, scored in hinted], device)
    uniforms = None
    if num_candidates:
        uniforms = torch.cat([_uniforms(e.seed, len(e.scored), num_candidates) for e in examples]).to(device)
    weights = [e.weight for e in examples for _ in e.scored]
    behaviour = [value for e in examples for value in (e.behaviour_logprobs or (float("nan"),) * len(e.scored))]
    return MicroBatch(
        rows=RaggedRows.build([e.ids for e in examples], [e.scored for e in examples], device),
        posterior_rows=posterior_rows,
        token_weights=torch.tensor(weights, dtype=torch.float32, device=device),
        uniforms=uniforms,
        behaviour_logprobs=torch.tensor(behaviour, dtype=torch.float32, device=device),
    )


def _uniforms(seed: int, length: int, n: int) -> Tensor:
    return torch.rand((length, n), generator=torch.Generator().manual_seed(seed))


def split_over_ranks(examples: Sequence[Example], world_size: int, micro_batch_size: int) -> list[list[list[Example]]]:
    """Micro-batches for every rank: the same number on each, of similar numbers of tokens.

    Rows are dealt out longest first, forwards then backwards, so that ranks carry similar loads and rows of similar
    length share a micro-batch. Ranks that would have fewer micro-batches get idle ones (a row of weight zero): under
    ZeRO-3 every rank must take part in every gather.
    """
    order = sorted(examples, key=lambda e: len(e.ids) + len(e.hint), reverse=True)
    shares: list[list[Example]] = [[] for _ in range(world_size)]
    for start in range(0, len(order), world_size):
        block = order[start : start + world_size]
        ranks = range(world_size) if (start // world_size) % 2 == 0 else reversed(range(world_size))
        for rank, example in zip(ranks, block, strict=False):
            shares[rank].append(example)
    count = max(-(-len(share) // micro_batch_size) for share in shares)
    micro_batches = [
        [share[i : i + micro_batch_size] for i in range(0, len(share), micro_batch_size)] for share in shares
    ]
    for own in micro_batches:
        own.extend([[idle_example()]] * (count - len(own)))
    return micro_batches


def idle_example() -> Example:
    """Two tokens of weight zero: runs every layer and changes no gradient."""
    return Example(ids=(0, 0), scored=(1,), weight=0.0, hint_at=1)
