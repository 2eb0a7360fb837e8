"""Estimators of KL(policy ‖ reference) per token from log-probabilities (http://joschu.net/blog/kl-approx.html)."""

from torch import Tensor


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
