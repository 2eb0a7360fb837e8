"""A policy gradient that counts a token for more, the more the answer in the hint speaks for what the advantage says.

    A_t = A · exp(sign(A) · clip(log p(z_t) − log q(z_t), −c, c)),   A: the reward, standardised within its group

p is the policy with the gold answer between prompt and response. Run it with
--method code/examples/methods/hint_weighted.py, on train_ppo_ray or train_ppo_ray_intro.
"""

from __future__ import annotations

from dataclasses import dataclass

from openrlhf.config.settings import setting
from openrlhf.methods.base import HintedMethod
from openrlhf.methods.policy_gradient import PolicyGradient
from openrlhf.objectives.advantages import compared, standardised
from openrlhf.objectives.policy import PolicyObjective


@dataclass(frozen=True)
class HintWeighted(HintedMethod, PolicyGradient):
    name = "hint_weighted"
    title = "hint-weighted policy gradient"
    flag_prefix = "hint_"
    needs_groups = True
    metrics = {**PolicyGradient.metrics, "hint_gap": "mean of the clipped log p − log q over trained tokens"}

    bound: float = setting(1.0, "The log-ratio of posterior and policy is clipped to ± this.", more_than=0)

    def compared(self, rewards):
        return compared(rewards, standardised)

    def objective(self, config):
        return HintObjective(self.eps_clip, config.rollout.scored_temperature, config.kl_in_loss, bound=self.bound)


@dataclass(frozen=True)
class HintObjective(PolicyObjective):
    needs_posterior = True

    bound: float = 1.0

    def advantages(self, scores, batch):
        gap = scores.posterior_target_logprobs - scores.target_logprobs.detach()
        advantage = batch.columns["advantage"]
        return advantage * (advantage.sign() * gap.clamp(-self.bound, self.bound)).exp()

    def loss(self, outputs, batch, tally):
        gap = outputs.posterior_target_logprobs - outputs.target_logprobs.detach()
        tally.add("hint_gap", gap.clamp(-self.bound, self.bound)[batch.real])
        return super().loss(outputs, batch, tally)
