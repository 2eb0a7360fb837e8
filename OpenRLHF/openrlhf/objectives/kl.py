"""Estimators of KL(policy ‖ reference) per token from log-probabilities (http://joschu.net/blog/kl-approx.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


def approximate_kl(logprobs: Tensor, reference: Tensor, estimator: str) -> Tensor:
    """k1, k2 or k3 for each token; differentiable in `logprobs`. Shapes are equal and free.

    As a loss, k1 has an expected gradient of zero; k2 and k3 are the useful ones.

    Raises:
        ValueError: an unknown estimator.
    """
    log_ratio = logprobs - reference
    if estimator == "k1":
        return log_ratio
    if estimator == "k2":
        return log_ratio.square() / 2
    if estimator == "k3":
        return (-log_ratio).exp() - 1 + log_ratio
    raise ValueError(f"unknown KL estimator {estimator!r}: k1, k2 or k3")


def kl_penalty(logprobs: Tensor, batch: MicroBatch, estimator: str, tally: Tally) -> Tensor:
    """coef · KL(policy ‖ reference), averaged over tokens as the loss itself is: a scalar.

    logprobs: the policy's [T]. Reads the column "reference" and the figure "kl_coef", which a controller may move.
    """
    kl = approximate_kl(logprobs, batch.columns["reference"], estimator)
    tally.add("kl", kl.detach()[batch.real])
    return batch.figures["kl_coef"] * (kl * batch.token_weights).sum()
