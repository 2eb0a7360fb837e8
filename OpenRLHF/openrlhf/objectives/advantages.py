"""From rewards to advantages: the parts of policy gradients, on CPU tensors of single responses."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def compared(rewards: Sequence[float], baseline: Callable[[list[float]], tuple[float, float]]) -> list[float]:
    """(r − mean) · scale for every response of a group; NaN rewards stay NaN and count for nobody.

    baseline: (mean, scale) from the known rewards, of which there are at least two: a response without any other to
    compare it with has the outcome 0.
    """
    known = [reward for reward in rewards if not math.isnan(reward)]
    if len(known) < 2:
        return [reward if math.isnan(reward) else 0.0 for reward in rewards]
    mean, scale = baseline(known)
    return [(reward - mean) * scale for reward in rewards]


def mean_baseline(known: list[float]) -> tuple[float, float]:
    """r − mean of the group."""
    return sum(known) / len(known), 1.0


def leave_one_out(known: list[float]) -> tuple[float, float]:
    """r − mean of the others: r − (Σ − r)/(n − 1) = (r − mean) · n/(n − 1)."""
    return sum(known) / len(known), len(known) / (len(known) - 1)


def standardised(known: list[float]) -> tuple[float, float]:
    """(r − mean) / standard deviation (n − 1)."""
    mean = sum(known) / len(known)
    return mean, 1.0 / (math.sqrt(sum((r - mean) ** 2 for r in known) / (len(known) - 1)) + 1e-9)


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
