"""One row to train on or to score."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from openrlhf.experience.rollout import Rollout


@dataclass(frozen=True)
class Example:
    """One row to train on or to score.

    ids: all tokens. scored: positions of the tokens that are trained on, each ≥ 1.
    weight: the factor of each scored token's loss; already normalised over the global batch.
    hints, hint_at: tokens that each of the posterior's rows has in addition, and the position where they are put in.
        One row with nothing more by default; () where the posterior reads nothing for this row.
    seed: of the candidates drawn for this row.
    label: a number that belongs to the whole row; its meaning is the objective's.
    columns: numbers that belong to the scored tokens, one for each, by name ("advantage", "old_logprob", …).
    """

    ids: tuple[int, ...]
    scored: tuple[int, ...]
    weight: float
    hints: tuple[tuple[int, ...], ...] = ((),)
    hint_at: int = 0
    seed: int = 0
    label: float = 0.0
    columns: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def hinted(self) -> Iterator[tuple[list[int], list[int]]]:
        """The posterior's rows and their scored positions, which hold the same tokens as `scored` does here."""
        for hint in self.hints:
            ids = [*self.ids[: self.hint_at], *hint, *self.ids[self.hint_at :]]
            yield ids, [p + len(hint) if p >= self.hint_at else p for p in self.scored]

    @property
    def size(self) -> int:
        """Tokens by which micro-batches are balanced: of all the posterior's rows, or of this one without any."""
        return sum(len(self.ids) + len(hint) for hint in self.hints) or len(self.ids)


# A rank's share of a step: the examples of each forward and backward pass.
MicroBatches = Sequence[Sequence[Example]]


def response_positions(rollout: Rollout) -> tuple[int, ...]:
    """Where the response's tokens lie in prompt + response."""
    start = len(rollout.prompt.token_ids)
    return tuple(range(start, start + len(rollout.token_ids)))


def idle_example(columns: Iterable[str] = ()) -> Example:
    """Two tokens of weight zero: runs every layer and changes no gradient. columns: names of those that are read."""
    return Example(ids=(0, 0), scored=(1,), weight=0.0, hint_at=1, columns={name: (0.0,) for name in columns})
