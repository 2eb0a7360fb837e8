"""A second round of sampling in a step: other prompts for those that teach nothing, or the same with their hint.

What is found takes the place of what it is for, so that a step keeps its number of prompts and responses, and so of
updates: the plan stays true, only more is sampled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from openrlhf.config.method import AnswerHint
from openrlhf.config.reinforcement import RLConfig
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout, groups
from openrlhf.methods.base import RLMethod, method_of
from openrlhf.rollout.engine import Sampling
from openrlhf.trainer.assembly import hint_ids
from openrlhf.trainer.rollout_maker import RolloutMaker
from openrlhf.utils.seeding import derive_seed


def with_second_round(
    rollouts: RolloutMaker, config: RLConfig, prompts: Sequence[Prompt], tokenizer: Any
) -> RolloutMaker:
    """The same, or one that samples again, where the method asks for that. prompts: all there are to train on."""
    method = method_of(config)
    if method.refill_groups(config.rollout.rollout_batch_size):
        rollouts = RefillingMaker(rollouts, method, prompts, config.optimizer.seed)
    return GuidingMaker(rollouts, method, tokenizer) if method.guided_samples else rollouts


class RefillingMaker(RolloutMaker):
    """Replaces the groups that `RLMethod.without_signal` names. Which prompts come is a function of seed and step."""

    def __init__(self, rollouts: RolloutMaker, method: RLMethod, prompts: Sequence[Prompt], seed: int) -> None:
        self._rollouts = rollouts
        self._method = method
        self._prompts = prompts
        self._seed = seed
        self._found: dict[int, dict[str, float]] = {}

    def figures(self, step: int) -> dict[str, float]:
        return self._found.pop(step, {})

    def make(self, prompts: Sequence[Prompt], samples: int, sampling: Sampling, **how: Any) -> list[Rollout]:
        """As `RolloutMaker.make`."""

        def sampled(some: Sequence[Prompt]) -> list[list[Rollout]]:
            return list(groups(self._rollouts.make(some, samples, sampling, **how)))

        made = sampled(prompts)
        others, left = self._others(prompts, how["step"]), self._method.refill_groups(len(prompts))
        drawn = replaced = 0
        while empty := [i for i, group in enumerate(made) if self._method.without_signal(group)]:
            further = list(islice(others, min(left - drawn, len(empty))))
            if not further:
                break
            drawn += len(further)
            found = [group for group in sampled(further) if not self._method.without_signal(group)]
            for place, group in zip(empty, found, strict=False):
                made[place] = group
                replaced += 1
        self._found[how["step"]] = {"train/refill_groups": float(drawn), "train/refilled_groups": float(replaced)}
        return [rollout for group in made for rollout in group]

    def _others(self, prompts: Sequence[Prompt], step: int) -> Iterator[Prompt]:
        """The prompts that are not in the step's batch, in an order of the step's own."""
        taken = {prompt.index for prompt in prompts}
        rest = [prompt for prompt in self._prompts if prompt.index not in taken]
        return iter(sorted(rest, key=lambda prompt: derive_seed(self._seed, "refill", step, prompt.index)))


class GuidingMaker(RolloutMaker):
    """Puts right responses that were sampled with the hint in the place of failed ones, where all failed."""

    def __init__(self, rollouts: RolloutMaker, method: RLMethod, tokenizer: Any) -> None:
        assert isinstance(method, AnswerHint)
        self._rollouts = rollouts
        self._hint = method.prompt_hint
        self._count = method.guided_samples
        self._tokenizer = tokenizer
        self._found: dict[int, dict[str, float]] = {}

    def figures(self, step: int) -> dict[str, float]:
        return self._rollouts.figures(step) | self._found.pop(step, {})

    def make(self, prompts: Sequence[Prompt], samples: int, sampling: Sampling, **how: Any) -> list[Rollout]:
        """As `RolloutMaker.make`."""
        made = list(groups(self._rollouts.make(prompts, samples, sampling, **how)))
        failed = [i for i, group in enumerate(made) if not any(rollout.correct for rollout in group)]
        right = 0
        if failed:
            unsolved = [made[i][0].prompt for i in failed]
            hints = [hint_ids(self._tokenizer, self._hint(prompt.label, prompt.fields)) for prompt in unsolved]
            again = {**how, "purpose": f"guided {how['purpose']}", "hints": hints}
            guided = groups(self._rollouts.make(unsolved, min(self._count, samples), sampling, **again))
            for i, group in zip(failed, guided, strict=True):
                found = [rollout for rollout in group if rollout.correct]
                for place, (old, new) in enumerate(zip(made[i], found, strict=False)):
                    made[i][place] = replace(new, sample=old.sample, reward=old.reward, guided=True)
                right += len(found)
        self._found[how["step"]] = {"train/guided_prompts": float(len(failed)), "train/guided_right": float(right)}
        return [rollout for group in made for rollout in group]
