"""Sampling of further prompts in the place of those that teach nothing, within a budget for each step.

A step keeps its number of prompts and so of updates: the plan stays true, only more is sampled.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from openrlhf.config.reinforcement import RLConfig
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout, groups
from openrlhf.methods.base import RLMethod, method_of
from openrlhf.rollout.engine import Sampling
from openrlhf.trainer.rollout_maker import RolloutMaker
from openrlhf.utils.seeding import derive_seed


def refilled(rollouts: RolloutMaker, config: RLConfig, prompts: Sequence[Prompt]) -> RolloutMaker:
    """The same, or one that refills, where the method asks for that. prompts: all there are to train on."""
    method = method_of(config)
    if not method.refill_groups(config.rollout.rollout_batch_size):
        return rollouts
    return RefillingMaker(rollouts, method, prompts, config.optimizer.seed)


class RefillingMaker(RolloutMaker):
    """Replaces the groups that `RLMethod.without_signal` names. Which prompts come is a function of seed and step."""

    def __init__(self, rollouts: RolloutMaker, method: RLMethod, prompts: Sequence[Prompt], seed: int) -> None:
        self._rollouts = rollouts
        self._method = method
        self._prompts = prompts
        self._seed = seed

    def make(self, prompts: Sequence[Prompt], samples: int, sampling: Sampling, **how: Any) -> list[Rollout]:
        """As `RolloutMaker.make`; `figures` then says how much was replaced."""

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
        self.figures = {"train/refill_groups": float(drawn), "train/refilled_groups": float(replaced)}
        return [rollout for group in made for rollout in group]

    def _others(self, prompts: Sequence[Prompt], step: int) -> Iterator[Prompt]:
        """The prompts that are not in the step's batch, in an order of the step's own."""
        taken = {prompt.index for prompt in prompts}
        rest = [prompt for prompt in self._prompts if prompt.index not in taken]
        return iter(sorted(rest, key=lambda prompt: derive_seed(self._seed, "refill", step, prompt.index)))
