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

    posterior_rows: the answer-conditioned rows of all examples, None for objectives without a posterior.
    hinted: int64 [T, H], for each scored token its places among the posterior rows' scored tokens, one for each hint of
        its row, −1 where the row has fewer; None where every row has one, in the same order.
    token_weights: float32 [T]; 0 for rows that are only there to keep this rank busy. token_rows: int64 [T], the
    row of each scored token. row_weights, labels: float32 [R]. uniforms: float32 [T, n]. columns: float32 [T] each.
    measured: bool [T], tokens whose entropy and KL are computed for the logs: every `MEASURE_EVERY`-th of each row, the
    first of them as the row's seed says, so that the sample is fair and does not depend on how rows are batched.
    figures: numbers of the whole step that the loss reads, by name ("kl_coef", …).
    """

    rows: RaggedRows
    posterior_rows: RaggedRows | None
    hinted: Tensor | None
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

    @property
    def has_hint(self) -> Tensor | None:
        """bool [T]: tokens of rows with a hint; None: all are."""
        return None if self.hinted is None else self.hinted[:, 0] >= 0

    @property
    def contrasted(self) -> Tensor | None:
        """bool [T]: tokens of rows with wrong hints; None: no row has any."""
        return None if self.hinted is None or self.hinted.shape[1] < 2 else self.hinted[:, 1] >= 0

    def part(self, positions: slice | Tensor) -> "MicroBatch":
        """Some of the scored tokens, a slice or int64 indices: everything per token is cut, rows stay whole."""
        return _Part(
            **{
                **vars(self),
                "token_weights": self.token_weights[positions],
                "token_rows": self.token_rows[positions],
                "hinted": None if self.hinted is None else self.hinted[positions],
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
    posterior_rows, hinted = _hinted(examples, device) if with_posterior else (None, None)
    uniforms = None
    if num_candidates:
        uniforms = torch.cat([_uniforms(e.seed, len(e.scored), num_candidates) for e in examples]).to(device)

    def floats(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    names = {name for example in examples for name in example.columns}
    return MicroBatch(
        rows=RaggedRows.build([e.ids for e in examples], [e.scored for e in examples], device),
        posterior_rows=posterior_rows,
        hinted=hinted,
        token_weights=floats([e.weight for e in examples for _ in e.scored]),
        token_rows=torch.tensor([r for r, e in enumerate(examples) for _ in e.scored], device=device),
        row_weights=floats([e.weight for e in examples]),
        labels=floats([e.label for e in examples]),
        uniforms=uniforms,
        columns={name: floats([value for e in examples for value in _column(e, name)]) for name in sorted(names)},
        measured=torch.cat([_measured(example) for example in examples]).to(device),
        figures=figures,
    )


def _hinted(examples: Sequence[Example], device: torch.device) -> tuple[RaggedRows, Tensor | None]:
    """The posterior's rows, and where each scored token lies among their scored ones."""
    # Under ZeRO-3 every rank must run the posterior as often as the others, be it on a row that nobody reads.
    rows = [row for example in examples for row in example.hinted()] or [([0, 0], [])]
    ragged = RaggedRows.build([ids for ids, _ in rows], [scored for _, scored in rows], device)
    if all(len(example.hints) == 1 for example in examples):
        return ragged, None
    width, places, start = max(1, *(len(example.hints) for example in examples)), [], 0
    for example in examples:
        length, own = len(example.scored), len(example.hints)
        found = torch.full((length, width), -1)
        found[:, :own] = start + torch.arange(own * length).view(own, length).T
        places.append(found)
        start += own * length
    return ragged, torch.cat(places).to(device)


def _measured(example: Example) -> Tensor:
    return (torch.arange(len(example.scored)) + example.seed % MEASURE_EVERY) % MEASURE_EVERY == 0


def _uniforms(seed: int, length: int, n: int) -> Tensor:
    return torch.rand((length, n), generator=torch.Generator().manual_seed(seed))


def _column(example: Example, name: str) -> Sequence[float]:
    values = example.columns.get(name, ())
    if len(values) != len(example.scored):
        raise ValueError(f"column {name!r} has {len(values)} numbers for {len(example.scored)} scored tokens")
    return values
