"""What policy gradients share: every graded response is trained on, with an advantage for each of its tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting, switch
from openrlhf.errors import UserError
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.base import Columns, RLMethod
from openrlhf.objectives.base import Objective
from openrlhf.objectives.kl import approximate_kl
from openrlhf.objectives.policy import PolicyObjective

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PolicyGradient(RLMethod):
    """A member overrides `compared`, what a response's reward becomes among those of its group, or `advantages`.

    normalises: advantages are shifted and scaled to mean 0 and standard deviation 1 over all tokens of the batch.
    """

    needs_old_logprobs: ClassVar[bool] = True
    kl_places: ClassVar[tuple[str, ...]] = ("reward", "loss")
    takes_pretraining: ClassVar[bool] = True
    normalises: ClassVar[bool] = False
    metrics: ClassVar[dict[str, str]] = {
        "return": "mean over responses of the sum of their token rewards: the outcome (after the baseline) less KL",
        "clipped_share": "share of tokens whose probability ratio was cut",
        "policy_shift": "mean of log π_old − log π over trained tokens (k1 estimate of how far the policy moved)",
        "ratio_max": "largest probability ratio π / π_old",
        "entropy": "of the policy per token, nats, on every eighth token",
        "filtered_groups": "prompts left out by `--dynamic_filtering`",
        "refill_groups": "with `--refill_budget`: further prompts that were sampled for",
        "refilled_groups": "with it: prompts without signal in whose place one of those came",
    }

    gamma: float = setting(1, "Discount of later rewards, per token.", flag="gamma", at_least=0, at_most=1)
    eps_clip: float = setting(0.2, "The probability ratio is clipped to 1 ± this.", flag="eps_clip", more_than=0)
    reward_clip_range: tuple[float, float] = setting(
        (-10, 10), "Rewards are clipped to this range.", flag="reward_clip_range", nargs=2
    )
    dynamic_filtering: bool = switch(
        "Leave out prompts whose responses all have the same reward: they teach nothing, and the others then count for"
        " more.",
        flag="dynamic_filtering",
    )
    refill_budget: float = setting(
        0.0,
        "In the place of prompts that are left out so, sample others, in each step at most so many times its prompts.",
        flag="refill_budget",
        at_least=0,
    )

    def without_effect(self, config: Any) -> Iterator[tuple[str, str]]:
        yield from super().without_effect(config)
        if not self.filters:
            yield "refill_budget", "there is no --dynamic_filtering, so no prompt is left out"

    def refill_groups(self, prompts: int) -> int:
        return int(self.refill_budget * prompts) if self.filters else 0

    @property
    def filters(self) -> bool:
        """Whether prompts whose responses all have the same reward are left out."""
        return self.dynamic_filtering

    def without_signal(self, group: Sequence[Rollout]) -> bool:
        """Whether all responses to a prompt have the same reward, so that nothing can be learnt from comparing them."""
        low, high = self.reward_clip_range
        return len({min(max(r.reward, low), high) for r in group if not math.isnan(r.reward)}) < 2

    def compared(self, rewards: list[float]) -> list[float]:
        """The outcome of each response to the same prompt from their rewards; NaN rewards stay NaN."""
        return rewards

    def advantages(
        self, rewards: Sequence[Tensor], scored: Columns, figures: dict[str, float]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Advantages and returns of every token, from the rewards of every token; all [length]. May add figures."""
        from openrlhf.objectives.advantages import discounted_returns

        returns = [discounted_returns(own, self.gamma) for own in rewards]
        return returns, returns

    def describe(self, config: Any) -> str:
        return f"policy gradient, {self.name} advantages, clip {self.eps_clip:g}{self.refilling(config)}"

    def refilling(self, config: Any) -> str:
        """The plan's words about further prompts."""
        most = self.refill_groups(config.rollout.rollout_batch_size)
        return f", up to {most} further prompts a step for those without signal" if most else ""

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        low, high = self.reward_clip_range
        if not low < high:
            raise UserError(f"--reward_clip_range {low:g} {high:g} is empty: give the lower end first")
        return super().settle(config)

    def outcomes(self, group: Sequence[Rollout]) -> list[float | None]:
        if self.filters and self.without_signal(group):
            return [None] * len(group)
        low, high = self.reward_clip_range
        rewards = [min(max(r.reward, low), high) for r in group]
        found = self.compared(rewards)
        return [o if r.token_ids and not math.isnan(o) else None for r, o in zip(group, found, strict=True)]

    def step_figures(self, groups: Sequence[Sequence[Rollout]]) -> dict[str, float]:
        if not self.filters:
            return {}
        return {"train/filtered_groups": float(sum(not any(r.trained for r in group) for group in groups))}

    def columns(
        self, outcomes: Sequence[float], scored: Columns, config: RLConfig, kl_coef: float
    ) -> tuple[Columns, dict[str, float]]:
        """The columns "advantage" and "return"."""
        import torch

        from openrlhf.objectives.advantages import normalised, token_rewards

        sampled, figures = scored["engine"], {}
        kls: list[Tensor | None] = [None] * len(sampled)
        if "reference" in scored:
            estimated = [
                approximate_kl(mine, theirs, config.kl.kl_estimator)
                for mine, theirs in zip(scored["old_logprob"], scored["reference"], strict=True)
            ]
            figures["train/kl"] = float(torch.cat(estimated).mean())
            figures["train/kl_coef"] = kl_coef
            if not config.kl.use_kl_loss:
                kls = list(estimated)
        rewards = [token_rewards(o, kl, kl_coef, len(lp)) for o, kl, lp in zip(outcomes, kls, sampled, strict=True)]
        advantages, returns = self.advantages(rewards, scored, figures)
        if self.normalises:
            advantages = normalised(advantages)
        figures["train/return"] = sum(float(own.sum()) for own in rewards) / len(rewards)
        return {"advantage": advantages, "return": returns}, figures

    def objective(self, config: RLConfig) -> Objective:
        return PolicyObjective(self.eps_clip, config.rollout.scored_temperature, config.kl_in_loss)
