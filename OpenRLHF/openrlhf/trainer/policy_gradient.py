"""PPO and its relatives: every response is trained on, with an advantage for each of its tokens."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from openrlhf.objectives.advantages import (
    NORMALISED,
    discounted_returns,
    generalised_advantages,
    normalised,
    outcomes,
    token_rewards,
)
from openrlhf.objectives.kl import approximate_kl
from openrlhf.trainer.algorithm import Algorithm, response_positions
from openrlhf.trainer.batching import Example
from openrlhf.trainer.role_group import RoleGroup
from openrlhf.trainer.rollouts import Rollout


class PolicyGradient(Algorithm):
    """gae, reinforce, rloo, reinforce_baseline, group_norm and dr_grpo; `objectives.advantages` tells them apart.

    reference, critic: None where they are not wanted.
    """

    def __init__(self, args: Any, policy: RoleGroup, reference: RoleGroup | None, critic: RoleGroup | None) -> None:
        self.args = args
        self.policy = policy
        self.reference = reference
        self.critic = critic

    def prepare(self, rollouts: Sequence[Rollout], kl_coef: float) -> tuple[list[Rollout], dict[str, float]]:
        """Old log-probabilities, reference, values, advantages. Responses without tokens or without a reward get none
        and are not trained on, nor with --dynamic_filtering the groups in which all rewards are equal."""
        shaped, metrics = self._outcomes(rollouts)
        usable = [i for i, (r, outcome) in enumerate(zip(rollouts, shaped, strict=True)) if _usable(r, outcome)]
        if not usable:
            return list(rollouts), metrics
        examples = [
            Example(rollouts[i].prompt.token_ids + rollouts[i].token_ids, response_positions(rollouts[i]), weight=1.0)
            for i in usable
        ]
        pending = {
            name: role.begin_score(examples)
            for name, role in (("old_logprob", self.policy), ("reference", self.reference), ("value", self.critic))
            if role is not None
        }
        scored = {name: [torch.tensor(values) for values in finish()] for name, finish in pending.items()}
        scored.update(self._advantages([shaped[i] for i in usable], scored, kl_coef, metrics))
        prepared = list(rollouts)
        for position, i in enumerate(usable):
            columns = {name: values[position].tolist() for name, values in scored.items()}
            prepared[i] = replace(rollouts[i], columns=columns)
        return prepared, metrics

    def _outcomes(self, rollouts: Sequence[Rollout]) -> tuple[list[float], dict[str, float]]:
        """The outcome of every response, NaN where it is not to be trained on."""
        low, high = self.args.reward_clip_range
        size = self.args.n_samples_per_prompt
        found: list[float] = []
        filtered = 0
        for start in range(0, len(rollouts), size):
            rewards = [min(max(r.reward, low), high) for r in rollouts[start : start + size]]
            if self.args.dynamic_filtering and len({r for r in rewards if not math.isnan(r)}) < 2:
                filtered += 1
                found += [math.nan] * len(rewards)
            else:
                found += outcomes(rewards, self.args.advantage_estimator)
        return found, {"train/filtered_groups": float(filtered)} if self.args.dynamic_filtering else {}

    def _advantages(
        self, shaped: list[float], scored: dict[str, list[Tensor]], kl_coef: float, metrics: dict[str, float]
    ) -> dict[str, list[Tensor]]:
        """The columns "advantage" and "return", and what is logged about them."""
        args, old = self.args, scored["old_logprob"]
        kls: list[Tensor | None] = [None] * len(old)
        if self.reference is not None:
            estimated = [
                approximate_kl(mine, theirs, args.kl_estimator)
                for mine, theirs in zip(old, scored["reference"], strict=True)
            ]
            metrics["train/kl"] = float(torch.cat(estimated).mean())
            metrics["train/kl_coef"] = kl_coef
            if not args.use_kl_loss:
                kls = list(estimated)
        rewards = [token_rewards(o, kl, kl_coef, len(lp)) for o, kl, lp in zip(shaped, kls, old, strict=True)]
        if self.critic is None:
            returns = [discounted_returns(own, args.gamma) for own in rewards]
            advantages = returns
        else:
            pairs = [
                generalised_advantages(own, values, args.gamma, args.lambd)
                for own, values in zip(rewards, scored["value"], strict=True)
            ]
            advantages, returns = [a for a, _ in pairs], [r for _, r in pairs]
            metrics["train/values"] = float(torch.cat(scored["value"]).mean())
        if args.advantage_estimator in NORMALISED:
            advantages = normalised(advantages)
        metrics["train/return"] = sum(float(own.sum()) for own in rewards) / len(rewards)
        return {"advantage": advantages, "return": returns}

    def examples(self, batch: Sequence[Rollout], step: int, on_policy: bool) -> list[Example]:
        prepared = [rollout for rollout in batch if rollout.columns]
        made = []
        for rollout in prepared:
            # Dr. GRPO divides by a constant, so that long wrong answers are not cheaper than short ones.
            constant = self.args.advantage_estimator == "dr_grpo"
            length = self.args.generate_max_len if constant else len(rollout.token_ids)
            made.append(
                Example(
                    ids=rollout.prompt.token_ids + rollout.token_ids,
                    scored=response_positions(rollout),
                    weight=1.0 / (len(prepared) * length),
                    columns={**rollout.columns, **({"engine": rollout.logprobs} if on_policy else {})},
                )
            )
        return made


def _usable(rollout: Rollout, outcome: float) -> bool:
    return bool(rollout.token_ids) and not math.isnan(outcome)
