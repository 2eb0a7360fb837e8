"""The figures of a step, each defined once (docs/metrics.md)."""

import math
from collections.abc import Sequence

from openrlhf.experience.rollout import Rollout
from openrlhf.experience.words import hedging
from openrlhf.objectives.base import Objective
from openrlhf.utils.tally import Tally


def rollout_metrics(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Over all sampled rationales of the step, trained on or not. Rewards that failed are counted, not averaged.

    rollouts: after they were assembled for training, which says which of them are trained on.
    """
    count = len(rollouts)
    graded = [rollout.reward for rollout in rollouts if not math.isnan(rollout.reward)]
    kept = sum(rollout.trained for rollout in rollouts)
    reward = sum(graded) / len(graded) if graded else math.nan
    length = sum(len(rollout.token_ids) for rollout in rollouts) / count
    hedges, words = hedging([rollout.text for rollout in rollouts])
    return {
        "train/accuracy": sum(rollout.correct for rollout in rollouts) / count,
        "train/reward": reward,
        "train/return": reward,
        "train/kept": float(kept),
        "train/kept_share": kept / count,
        "train/solved_prompts_share": _solved(rollouts),
        "train/response_length": length,
        "train/total_length": length + sum(len(rollout.prompt.token_ids) for rollout in rollouts) / count,
        "train/truncated_share": sum(rollout.finish_reason == "length" for rollout in rollouts) / count,
        "train/hedging_share": hedges / max(1, words),
        "train/reward_failures": float(count - len(graded)),
    }


def _solved(rollouts: Sequence[Rollout]) -> float:
    """Share of prompts with at least one correct rationale."""
    solved: dict[int, bool] = {}
    for rollout in rollouts:
        solved[rollout.prompt.index] = solved.get(rollout.prompt.index, False) or rollout.correct
    return sum(solved.values()) / len(solved)


def version_lag(rollouts: Sequence[Rollout], step: int) -> float:
    """By how many steps the weights that sampled a token are older than those that are trained, mean over tokens."""
    lags = [step - 1 - version for rollout in rollouts for version in rollout.versions]
    return sum(lags) / len(lags) if lags else 0.0


def update_metrics(
    objective: Objective, tallies: Sequence[Tally], rate: float, skipped: int, skipped_in_all: int
) -> dict[str, float]:
    """Of the policy, over the optimiser steps of one rollout batch; token figures are means over all trained tokens.

    A step without anything to train on has no loss and no token figures; they are left out, not written as zero.
    """
    metrics = {
        "train/actor_lr": rate,
        "train/optimizer_steps": float(len(tallies)),
        "train/skipped_steps": float(skipped),
        "train/skipped_steps_total": float(skipped_in_all),
    }
    if not tallies:
        return metrics
    metrics["train/policy_loss"] = _mean_loss(tallies)
    metrics["train/grad_norm"] = _mean_grad_norm(tallies)
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    figures = objective.figures(total)
    metrics["trained_tokens"] = figures.pop("trained_tokens")
    summed = ("loss", "grad_norm_max")  # over the steps; their means are there already
    metrics.update({f"train/{name}": value for name, value in figures.items() if name not in summed})
    return metrics


def critic_metrics(tallies: Sequence[Tally], rate: float) -> dict[str, float]:
    """Of the critic, over the optimiser steps of one rollout batch."""
    if not tallies:
        return {}
    return {
        "train/critic_loss": _mean_loss(tallies),
        "train/critic_lr": rate,
        "train/critic_grad_norm": _mean_grad_norm(tallies),
    }


def _mean_loss(tallies: Sequence[Tally]) -> float:
    return sum(tally.totals["loss"] for tally in tallies) / len(tallies)


def _mean_grad_norm(tallies: Sequence[Tally]) -> float:
    return sum(tally.maxima["grad_norm"] for tally in tallies) / len(tallies)


def summary(metrics: dict[str, float]) -> str:
    """What a user watches, in one line; the first things matter most."""
    shown = {
        "acc": "train/accuracy",
        "eval": "eval/accuracy",
        "len": "train/response_length",
        "loss": "train/policy_loss",
        "hinted": "train/hinted_accuracy",
        "KL": "train/kl",
        "KL(p‖q)": "train/kl_posterior",
        "critic": "train/critic_loss",
        "reward": "train/reward",
    }
    parts = [
        f"{label} {metrics[name]:.3g}"
        for label, name in shown.items()
        if math.isfinite(metrics.get(name, math.nan))
        # rewards of 0 and 1 say what the accuracy says
        and (label != "reward" or metrics[name] != metrics.get("train/accuracy"))
    ]
    troubles = [
        f"{label} {metrics[name]:.0f}"
        for label, name in (("skipped", "train/skipped_steps"), ("ungraded", "train/reward_failures"))
        if metrics.get(name)
    ]
    return ", ".join(parts[:1] + troubles + parts[1:])
