"""From rewards to advantages: what sets the estimators of --advantage_estimator apart.

| estimator | outcome of a response | advantage of its tokens |
|---|---|---|
| gae | r | generalised advantage estimation with a critic (Schulman et al. 2016), normalised |
| reinforce | r | discounted return (REINFORCE++, Hu 2025), normalised |
| rloo | r − mean of the others of its group (Ahmadian et al. 2024, eq. 8) | discounted return, normalised |
| reinforce_baseline | r − mean of its group | discounted return, normalised |
| group_norm | (r − mean) / std of its group (GRPO, Shao et al. 2024) | discounted return |
| dr_grpo | r − mean of its group (Dr. GRPO, Liu et al. 2025) | discounted return |

"Normalised": mean 0 and standard deviation 1 over all tokens of the rollout batch.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

GROUPED = ("rloo", "reinforce_baseline", "group_norm", "dr_grpo")
NORMALISED = ("gae", "reinforce", "rloo", "reinforce_baseline")


def outcomes(rewards: Sequence[float], estimator: str) -> list[float]:
    """The outcome of every response of one group (of the same prompt). NaN rewards stay NaN and count for nobody.

    A response without any other to compare it with has the outcome 0 under the grouped estimators.
    """
    if estimator not in GROUPED:
        return list(rewards)
    known = [reward for reward in rewards if not math.isnan(reward)]
    if len(known) < 2:
        return [reward if math.isnan(reward) else 0.0 for reward in rewards]
    mean = sum(known) / len(known)
    if estimator == "rloo":
        scale = len(known) / (len(known) - 1)  # r − (Σ − r)/(n − 1) = (r − mean) · n/(n − 1)
    elif estimator == "group_norm":
        scale = 1.0 / (math.sqrt(sum((r - mean) ** 2 for r in known) / (len(known) - 1)) + 1e-9)
    else:
        scale = 1.0
    return [(reward - mean) * scale for reward in rewards]


def token_rewards(outcome: float, kl: Tensor | None, kl_coef: float, length: int) -> Tensor:
    """float32 [length]: −kl_coef · KL at every token, and the outcome at the last one. kl: [length] or None."""
    rewards = torch.zeros(length) if kl is None else -kl_coef * kl
    rewards[-1] += outcome
    return rewards


def discounted_returns(rewards: Tensor, gamma: float) -> Tensor:
    """R_t = Σ_{s ≥ t} γ^(s−t) r_s; all [length]."""
    returns = torch.empty_like(rewards)
    running = torch.zeros(())
    for t in reversed(range(len(rewards))):
        running = rewards[t] + gamma * running
        returns[t] = running
    return returns


def generalised_advantages(rewards: Tensor, values: Tensor, gamma: float, lambd: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns, [length] each; the value after the last token is 0.

    A_t = Σ_l (γλ)^l δ_{t+l} with δ_t = r_t + γ v_{t+1} − v_t, and R_t = A_t + v_t.
    """
    after = torch.cat([values[1:], values.new_zeros(1)])
    advantages = discounted_returns(rewards + gamma * after - values, gamma * lambd)
    return advantages, advantages + values


def normalised(advantages: Sequence[Tensor]) -> list[Tensor]:
    """The same, shifted and scaled to mean 0 and standard deviation 1 over all tokens; equal ones become 0."""
    flat = torch.cat(list(advantages))
    mean = flat.mean()
    scale = (flat - mean).square().mean().clamp(min=1e-8).rsqrt()
    return [(one - mean) * scale for one in advantages]
