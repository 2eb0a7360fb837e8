"""What a posterior can read: the gold answer, a worked solution, another response to the same prompt; right or wrong.

A response never reads itself, nor one with the same tokens: it would only be sure of itself. Samples of a prompt are
exchangeable, so which sibling it reads is a function of their order: the next ones behind it, then from the front.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from openrlhf.config.method import Contrast, SiblingHint, SolutionHint
from openrlhf.experience.rollout import Rollout
from openrlhf.grading import extract_answer
from openrlhf.methods.base import HintedMethod, RLMethod


def siblings(rollout: Rollout, group: Sequence[Rollout]) -> Iterator[Rollout]:
    """The graded others of its group that say something else, from behind it on."""
    behind = [other for other in group if other.sample > rollout.sample]
    for other in behind + [other for other in group if other.sample < rollout.sample]:
        if other.token_ids != rollout.token_ids and not math.isnan(other.reward):
            yield other


def right_sibling(rollout: Rollout, group: Sequence[Rollout]) -> Rollout | None:
    return next((other for other in siblings(rollout, group) if other.correct), None)


def wrong_siblings(rollout: Rollout, group: Sequence[Rollout], count: int) -> list[Rollout]:
    """At most `count`."""
    return [other for other in siblings(rollout, group) if not other.correct][:count]


def wrong_answers(rollout: Rollout, group: Sequence[Rollout], count: int) -> list[str]:
    """At most `count` different answers that wrong siblings gave, without the rollout's own."""
    own = answer_of(rollout.text)
    found = dict.fromkeys(answer_of(other.text) for other in wrong_siblings(rollout, group, len(group)))
    return [answer for answer in found if answer is not None and answer != own][:count]


@lru_cache(maxsize=4096)
def answer_of(text: str) -> str | None:
    """The answer that a response names."""
    return extract_answer(text)


def hint_figures(groups: Sequence[Sequence[Rollout]], contrast: bool) -> dict[str, float]:
    """The share of the trained responses that have a hint, and with `contrast` a wrong one too."""
    trained = [rollout for group in groups for rollout in group if rollout.trained]
    if not trained:
        return {}
    figures = {"train/hinted_share": sum(len(rollout.hints) > 0 for rollout in trained) / len(trained)}
    if contrast:
        figures["train/contrasted_share"] = sum(len(rollout.hints) > 1 for rollout in trained) / len(trained)
    return figures


HINT_METRICS = {
    "hinted_share": "share of the trained responses for which there is a right hint",
    "contrasted_share": "share of the trained responses for which there is a wrong hint too",
}


@dataclass(frozen=True)
class ContrastedAnswer(Contrast, HintedMethod):
    """The gold answer, and with contrast wrong answers that siblings gave, in the same words."""

    def hints(self, rollout: Rollout, group: Sequence[Rollout]) -> Sequence[str]:
        return [self.hint(rollout, group), *self.wrong_hints(rollout, group)]

    def wrong_hints(self, rollout: Rollout, group: Sequence[Rollout]) -> list[str]:
        return [self.answer_hint(answer) for answer in wrong_answers(rollout, group, self.contrast)]

    def step_figures(self, groups: Sequence[Sequence[Rollout]]) -> dict[str, float]:
        return super().step_figures(groups) | (hint_figures(groups, True) if self.contrast else {})


@dataclass(frozen=True)
class ContrastedSolution(SolutionHint, ContrastedAnswer):
    """The gold answer or a worked solution, and with contrast wrong siblings' answers or all that they wrote."""

    @property
    def reads_siblings(self) -> bool:
        return self.contrast > 0 and self.solution_key is not None

    def wrong_hints(self, rollout: Rollout, group: Sequence[Rollout]) -> list[str]:
        if self.solution_key is None:
            return super().wrong_hints(rollout, group)
        return [self.sibling_hint(other.text) for other in wrong_siblings(rollout, group, self.contrast)]


@dataclass(frozen=True)
class RightSibling(SiblingHint, RLMethod):
    """A right sibling; no hint where there is none."""

    def hints(self, rollout: Rollout, group: Sequence[Rollout]) -> Sequence[str]:
        right = right_sibling(rollout, group)
        return [] if right is None else [self.sibling_hint(right.text)]

    def step_figures(self, groups: Sequence[Sequence[Rollout]]) -> dict[str, float]:
        return super().step_figures(groups) | hint_figures(groups, False)
