"""One sampled response."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from openrlhf.experience.prompt import Prompt


@dataclass(frozen=True)
class Rollout:
    """One sampled rationale and its reward (NaN where grading failed).

    versions: one per token, the step whose update gave the weights that sampled it; 0 for the starting model.
    guided: it was sampled with the prompt's hint and is right, and stands in the place of one that failed, whose reward
        it has.

    Added while a step is assembled for training: `trained`, whether the method trains on it; `hints`, token ids that
    each of the posterior's rows has before it; `columns`, numbers for its tokens, such as advantages, by name.
    """

    prompt: Prompt
    sample: int
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str
    text: str
    reward: float = float("nan")
    versions: tuple[int, ...] = ()
    guided: bool = False
    trained: bool = False
    hints: tuple[tuple[int, ...], ...] = ((),)
    columns: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def correct(self) -> bool:
        """A grader's rewards are 0 or 1; a reward function of another scale counts as right above one half."""
        return self.reward > 0.5


def groups(rollouts: Sequence[Rollout]) -> Iterator[list[Rollout]]:
    """The rollouts of each prompt, which stand together."""
    group: list[Rollout] = []
    for rollout in rollouts:
        if group and group[-1].prompt.index != rollout.prompt.index:
            yield group
            group = []
        group.append(rollout)
    if group:
        yield group
