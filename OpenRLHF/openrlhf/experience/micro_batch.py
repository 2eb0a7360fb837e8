"""Examples as tensors on a device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from openrlhf.experience.example import Example
from openrlhf.models.ragged import RaggedRows

# Of every so many tokens of a row the entropy and KL are computed, which only logs want.
MEASURE_EVERY = 8


@dataclass(frozen=True)
class MicroBatch:
    """Examples of one forward and backward pass, as tensors on the device: R rows, T scored tokens in all.

    posterior_rows: the answer-conditioned rows, None for objectives without a posterior.
    token_weights: float32 [T]; 0 for rows that are only there to keep this rank busy. token_rows: int64 [T], the
    row of each scored token. row_weights, labels: float32 [R]. uniforms: float32 [T, n]. columns: float32 [T] each.
    measured: bool [T], tokens whose entropy and KL are computed for the logs: every `MEASURE_EVERY`-th of each row, the
    first of them as the row's seed says, so that the sample is fair and does not depend on how rows are batched.
    figures: numbers of the whole step that the loss reads, by name ("kl_coef", …).
    """

    rows: RaggedRows
    posterior_rows: RaggedRows | None
    token_weights: Tensor
    token_rows: Tensor
    row_weights: Tensor
    labels: Tensor
    uniforms: Tensor | None
    columns: dict[str, Tensor]
    measured: Tensor
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return sum(self.rows.lengths)

    @property
    def real(self) -> Tensor:
        """bool [T]: tokens that count."""
        return self.token_weights > 0

    def part(self, positions: slice | Tensor) -> "MicroBatch":
        """Some of the scored tokens, a slice or int64 indices: everything per token is cut, rows stay whole."""
        return _Part(
            **{
                **vars(self),
                "token_weights": self.token_weights[positions],
                "token_rows": self.token_rows[positions],
                "uniforms": None if self.uniforms is None else self.uniforms[positions],
                "columns": {name: values[positions] for name, values in self.columns.items()},
                "measured": self.measured[positions],
            }
        )

    def row_sums(self, values: Tensor) -> Tensor:
        """[R]: the sum of a number per scored token [T] over each row; differentiable."""
        return values.new_zeros(len(self.rows.lengths)).index_add(0, self.token_rows, values)

    def row_means(self, values: Tensor) -> Tensor:
        """[R]: likewise the mean over each row's scored tokens."""
        return self.row_sums(values) / self.row_sums(torch.ones_like(values))


class _Part(MicroBatch):
    """Tokens without the rest of their rows."""

    def row_sums(self, values: Tensor) -> Tensor:
        raise RuntimeError(
            "an objective with sums_over_tokens = True sees some tokens of a row at a time and cannot sum over rows: "
            "set it to False"
        )


def collate(
    examples: Sequence[Example],
    device: torch.device,
    *,
    num_candidates: int = 0,
    with_posterior: bool = False,
    figures: Mapping[str, float] = {},
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
        measured=torch.cat([_measured(example) for example in examples]).to(device),
        figures=figures,
    )


def _measured(example: Example) -> Tensor:
    return (torch.arange(len(example.scored)) + example.seed % MEASURE_EVERY) % MEASURE_EVERY == 0


def _uniforms(seed: int, length: int, n: int) -> Tensor:
    return torch.rand((length, n), generator=torch.Generator().manual_seed(seed))


def _column(example: Example, name: str) -> Sequence[float]:
    values = example.columns.get(name, ())
    if len(values) != len(example.scored):
        raise ValueError(f"column {name!r} has {len(values)} numbers for {len(example.scored)} scored tokens")
    return values
