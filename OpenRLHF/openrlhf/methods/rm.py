r"""Reward models: the Bradley-Terry likelihood of preferences (arXiv 2203.02155, eq. 1; margins: 2307.09288, eq. 2).

With Δ = r(x, y_w) − r(x, y_l), averaged over the pairs of the global batch:

    sigmoid   L = − log σ(Δ − m)       m: the pair's margin, with --margin_loss
    logexp    L = log(1 + exp(−Δ))     the same function of Δ; knows no margin, as in 0.6.2
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.offline import OfflineConfig
from openrlhf.config.settings import setting, switch
from openrlhf.errors import UserError
from openrlhf.experience.example import Example
from openrlhf.methods.text_fields import Pairs
from openrlhf.objectives.base import Objective, PairObjective, tally_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally

PAIRWISE_LOSSES = ("sigmoid", "logexp")
BACKBONE_NAMES = ("model", "transformer", "gpt_neox", "backbone")


@dataclass(frozen=True)
class RewardModelling(Pairs):
    name: ClassVar[str] = "rm"
    title: ClassVar[str] = "a reward model"
    commands: ClassVar[tuple[str, ...]] = ("train_rm",)
    metrics: ClassVar[dict[str, str]] = {
        "acc": "share of pairs whose preferred row has the larger reward; equal ones count as wrong",
        "chosen_reward": "mean reward of the preferred rows",
        "reject_reward": "mean reward of the other rows",
        "reward_mean": "mean of all rewards, both rows of every pair",
        "reward_std": "their standard deviation",
    }

    tokenizer_chat_template: str | None = setting(None, "Jinja chat template used instead of the tokenizer's own.")
    value_head_prefix: str = setting("score", "Name of the layer that gives the reward.")
    loss: str = setting("sigmoid", "Pairwise loss: sigmoid or logexp.")
    margin_loss: bool = switch("Use the data's margin field in the pairwise loss.")
    compute_fp32_loss: bool = switch(
        "Compute the pairwise loss in float32.", without_effect="rewards and losses are always computed in float32"
    )

    @property
    def scalar_head(self) -> str | None:
        return self.value_head_prefix

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        if self.loss not in PAIRWISE_LOSSES:
            raise UserError(f"--loss {self.loss} does not exist: use {' or '.join(PAIRWISE_LOSSES)}")
        if not self.value_head_prefix.isidentifier() or self.value_head_prefix in BACKBONE_NAMES:
            raise UserError(
                f"--value_head_prefix {self.value_head_prefix!r} cannot be the name of the last layer: give a word that"
                " no other part of the model has, such as score or value_head"
            )
        return config, notes

    def without_effect(self, config: Any) -> Iterator[tuple[str, str]]:
        yield from super().without_effect(config)
        if self.loss == "logexp":
            yield "margin_loss", "--loss logexp has no margin; use sigmoid"

    def prepare_tokenizer(self, tokenizer: Any) -> None:
        if self.tokenizer_chat_template:
            tokenizer.chat_template = self.tokenizer_chat_template

    def samples(
        self, records: Sequence[dict[str, Any]], tokenizer: Any, config: OfflineConfig
    ) -> tuple[list[tuple[Example, ...]], list[str]]:
        made = self.pairs(records, tokenizer, config, for_reward=True)
        notes = made.notes(config.data.max_len)
        if self.margin_loss and self.loss == "sigmoid" and made.margins < len(made.pairs):
            if not made.margins:
                raise UserError("--margin_loss: none of the rows has a field 'margin'; add it, or remove the flag")
            notes.append(f"{len(made.pairs) - made.margins} of {len(made.pairs)} pairs have no margin: it counts as 0.")
        samples: list[tuple[Example, ...]] = [
            tuple(
                Example(ids=row.token_ids, scored=(len(row.token_ids) - 1,), weight=1.0, label=pair.margin)
                for row in (pair.chosen, pair.rejected)
            )
            for pair in made.pairs
        ]
        return samples, notes

    def objective(self, config: OfflineConfig, tokenizer: Any) -> Objective:
        return RewardObjective(self.loss, self.margin_loss)


def pairwise_loss(chosen: Tensor, rejected: Tensor, margin: Tensor, loss: str) -> Tensor:
    """The loss of each of P pairs, float32 [P], from their rewards [P].

    Raises:
        ValueError: an unknown loss.
    """
    from torch.nn.functional import logsigmoid, softplus

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
        margin = batch.labels[0::2] if self.margin_loss else chosen.new_zeros(chosen.shape)
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
