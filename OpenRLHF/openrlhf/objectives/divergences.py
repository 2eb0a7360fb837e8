r"""Divergences of two distributions of the next token, and the space in which a long vocabulary is compared.

With T the teacher (a posterior, without gradient), q the policy and m = βT + (1 − β)q:

    β = 0        Σ_a T(a) log T(a)/q(a)                                             forward KL
    0 < β < 1    Σ_a β T(a) log T(a)/m(a) + (1 − β) q(a) log q(a)/m(a)              JSD_β (arXiv 2306.13649, eq. 1)
    β = 1        Σ_a q(a) log q(a)/T(a)                                             reverse KL

Their logit gradients: q − T for β = 0; for 0 < β < 1, with g(a) = (1 − β) q(a) log q(a)/m(a), it is g − q Σ_a g(a).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# The mass of a tail is kept above this, so that its logarithm and gradient are finite.
LEAST_TAIL = 1e-7


def with_tail(logprobs: Tensor) -> Tensor:
    """[T, k + 1]: log-probabilities [T, k] of some tokens, and in the last place that of all others together."""
    import torch

    tail = 1 - logprobs.exp().sum(-1, keepdim=True)
    return torch.cat([logprobs, tail.clamp(min=LEAST_TAIL).log()], -1)


def generalised_jsd(policy: Tensor, teacher: Tensor, beta: float, clip: float = math.inf) -> Tensor:
    """[T], from log-probabilities [T, k]; all finite; differentiable in the policy's.

    clip: above it each token's summand is cut, and has no gradient; the sum may then be negative.
    """
    import torch

    q, p = policy.exp(), teacher.exp()
    if beta == 0:
        terms = p * (teacher - policy)
    elif beta == 1:
        terms = q * (policy - teacher)
    else:
        mixture = torch.logaddexp(teacher + math.log(beta), policy + math.log(1 - beta))
        terms = beta * p * (teacher - mixture) + (1 - beta) * q * (policy - mixture)
    return (terms if clip == math.inf else terms.clamp(max=clip)).sum(-1)


def guided(right: Tensor, wrong: Tensor, strength: float, floor: float) -> Tensor:
    """log T*, T* ∝ right^(1 + α) / wrong^α, from log-probabilities [T, k] of a whole distribution each.

    strength: α. floor: the wrong one's log-probabilities are not taken for less, so that no token is lifted for being
    almost impossible there.
    """
    logits = (1 + strength) * right - strength * wrong.clamp(min=floor)
    return logits.log_softmax(-1)
