r"""Reward models: the Bradley-Terry likelihood of preferences (arXiv 2203.02155, eq. 1; margins: 2307.09288, eq. 2).

With Δ = r(x, y_w) − r(x, y_l), averaged over the pairs of the global batch:

    sigmoid   L = − log σ(Δ − m)       m: the pair's margin, with --margin_loss
    logexp    L = log(1 + exp(−Δ))     the same function of Δ; knows no margin, as in 0.6.2
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from openrlhf.config.rules import PAIRWISE_LOSSES
from openrlhf.objectives.base import PairObjective
from openrlhf.trainer.batching import MicroBatch
from openrlhf.utils.tally import Tally


def pairwise_loss(chosen: Tensor, rejected: Tensor, margin: Tensor, loss: str) -> Tensor:
    """The loss of each of P pairs, float32 [P], from their rewards [P].

    Raises:
        ValueError: an unknown loss.
    """
    if loss == "sigmoid":
        return -logsigmoid(chosen - rejected - margin)
    if loss == "logexp":
        return softplus(rejected - chosen)
    raise ValueError(f"unknown pairwise loss {loss!r}: {' or '.join(PAIRWISE_LOSSES)}")


@dataclass(frozen=True)
class RewardObjective(PairObjective):
    """Rows are scored at their last token only; the label of the preferred row is the pair's margin."""

    running_means = ("acc",)
    config_figures: ClassVar[Mapping[str, str]] = {"mean": "reward_mean", "std": "reward_std"}

    pair_loss: str = "sigmoid"
    margin_loss: bool = False

    def loss(self, outputs: Tensor, batch: MicroBatch, tally: Tally) -> Tensor:
        rewards = batch.row_sums(outputs)
        chosen, rejected = rewards[0::2], rewards[1::2]
        weights = batch.row_weights[0::2]
        margin = batch.labels[0::2] if self.margin_loss else torch.zeros_like(chosen)
        _tally_rewards(chosen.detach(), rejected.detach(), weights > 0, tally)
        return (pairwise_loss(chosen, rejected, margin, self.pair_loss) * weights).sum()

    def figures(self, tally: Tally) -> dict[str, float]:
        """Adds mean and (unbiased) standard deviation of all rewards."""
        figures = tally.metrics()
        square, mean, count = figures.pop("reward_squared"), figures.pop("reward"), tally.counts["reward"]
        variance = max(square - mean * mean, 0.0) * count / (count - 1)  # at least one pair, so count ≥ 2
        return {**figures, "reward_mean": mean, "reward_std": variance**0.5}


def _tally_rewards(chosen: Tensor, rejected: Tensor, real: Tensor, tally: Tally) -> None:
    chosen, rejected = chosen[real], rejected[real]
    tally_pairs(chosen, rejected, tally)
    for rewards in (chosen.double(), rejected.double()):
        tally.add("reward", rewards)
        tally.add("reward_squared", rewards.square())


def tally_pairs(chosen: Tensor, rejected: Tensor, tally: Tally) -> None:
    """Mean rewards of preferred and other rows, and the share of pairs in the right order."""
    tally.add("acc", (chosen > rejected).float())
    tally.add("chosen_reward", chosen)
    tally.add("reject_reward", rejected)
