"""What an objective is: it says what it needs, the learner supplies it, and it turns scores into a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.experience.example import Example
from openrlhf.models.scores import ScoreSpec

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.models.scores import Scores
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class AsideRow:
    """A row that is only scored: log-probabilities of its scored tokens under the policy and the reference."""

    example: Example
    policy: Sequence[float]
    reference: Sequence[float]


class Objective(ABC):
    """One instance per rank; it keeps nothing between steps.

    sums_over_tokens: the loss is a sum over scored tokens, and a token's term depends on its own scores, columns and
        weight alone. Its gradient is then made while each chunk of tokens is scored, from `loss` on that part of the
        micro-batch, instead of in a second pass. Losses of whole rows (ratios of sequences, pairs) say False.
    rows_per_sample: consecutive rows that belong together, 2 for pairs.
    needs_posterior: score each row under a second model too (its rows carry the example's hints).
    looks_ahead: of every row's tokens the columns "hinted" (log p), "contrast" (as `Scores` has it, but log p where a
        row has no wrong hints) and "hinted_entropy" (of p, nats) are made before the step, so that
        `look_ahead_figures` can say something of the whole batch; 0 where a row has no hint.
    running_means: tallied names of which the offline trainer also keeps a running mean.
    config_figures: what the offline trainer writes into the config.json of saved models: its key there → the figure of
        the held-out samples (of the training samples where none are held out).
    """

    sums_over_tokens: ClassVar[bool] = False
    rows_per_sample: ClassVar[int] = 1
    needs_posterior: ClassVar[bool] = False
    running_means: ClassVar[tuple[str, ...]] = ()
    config_figures: ClassVar[Mapping[str, str]] = {}

    @property
    def needs_reference(self) -> bool:
        """Whether the loss reads the column "reference": log-probabilities of the scored tokens under that model."""
        return False

    @property
    def looks_ahead(self) -> bool:
        return False

    @property
    def num_candidates(self) -> int:
        """Tokens to draw from the policy at every position; 0 for none."""
        return 0

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        """What the output layer has to compute; how many positions at once is the learner's to say."""
        return ScoreSpec(targets=batch.rows.targets, measured=False)

    def weighted(self, examples: Sequence[Example]) -> list[Example]:
        """A global batch with its weights: by default every scored token of the batch counts alike."""
        weight = 1.0 / max(1, sum(len(example.scored) for example in examples))
        return [replace(example, weight=weight) for example in examples]

    def set_aside(self, examples: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        """Of a micro-batch the rows to train on, and rows that are only scored, before the step, for `step_figures`."""
        return examples, ()

    def step_figures(self, aside: Sequence[AsideRow]) -> dict[str, float]:
        """This rank's share of what the loss reads in `MicroBatch.figures`; the shares of all ranks are added."""
        return {}

    def look_ahead_figures(self, batch: MicroBatch) -> dict[str, float]:
        """A micro-batch's share of what the loss reads in `MicroBatch.figures`, likewise; only with `looks_ahead`."""
        return {}

    def figures(self, tally: Tally) -> dict[str, float]:
        """What is logged of the tally of a whole batch."""
        return tally.metrics()

    @abstractmethod
    def loss(self, outputs: Any, batch: MicroBatch, tally: Tally) -> Tensor:
        """A scalar that is already normalised over the global batch (the examples' weights); logs into `tally`.

        outputs: `Scores` of a policy, or float32 [T] values of a scalar model.
        """


class PairObjective(Objective):
    """Objectives of pairs of rows, the preferred one first: every pair of the global batch counts alike."""

    rows_per_sample = 2

    def weighted(self, examples: Sequence[Example]) -> list[Example]:
        return [replace(example, weight=2.0 / len(examples)) for example in examples]


def tally_pairs(chosen: Tensor, rejected: Tensor, tally: Tally) -> None:
    """Mean rewards of preferred and other rows, and the share of pairs in the right order."""
    tally.add("acc", (chosen > rejected).float())
    tally.add("chosen_reward", chosen)
    tally.add("reject_reward", rejected)


def tally_measured(name: str, values: Tensor, batch: MicroBatch, tally: Tally) -> None:
    """The mean of a number per scored token [T] that is only known for the micro-batch's `measured` positions."""
    tally.add(name, values[batch.real & batch.measured])


# What `tally_gap` logs.
GAP_METRICS = {
    "hint_gap": "mean of the log-ratio at the sampled tokens that the hint makes: log p − log q, or with wrong hints"
    " log p − log of their mixture",
    "hint_gap_task": "mean of its absolute value over numbers and operators",
    "hint_gap_other": "the same over all other tokens",
}


def hint_gap(scores: Scores) -> Tensor:
    """[T], without gradient: log p(z_t) less that of the contrast, which is q's where a row has no wrong hints."""
    return scores.posterior_target_logprobs - scores.contrast_target_logprobs


def tally_gap(gap: Tensor, batch: MicroBatch, tally: Tally) -> None:
    """Where a gap per scored token [T] sits; the column "task" says which tokens are numbers and operators."""
    tally.add("hint_gap", gap[batch.real])
    if "task" in batch.columns:
        task = batch.columns["task"] > 0
        tally.add("hint_gap_task", gap[batch.real & task].abs())
        tally.add("hint_gap_other", gap[batch.real & ~task].abs())


def tally_engine_gap(logprobs: Tensor, batch: MicroBatch, tally: Tally) -> None:
    """How far the trainer's log-probabilities [T] lie from the engine's, where the column "engine" has those."""
    if "engine" in batch.columns:
        gap = (logprobs.detach() - batch.columns["engine"])[batch.real].abs()
        tally.add("engine_gap_mean", gap)
        tally.add_maximum("engine_gap", gap)
