r"""Kahneman-Tversky optimisation (arXiv 2402.01306, eq. 7 and 8): responses that are single, each desirable or not.

With r = log π(y|x)/π_ref(y|x), summed over the response's tokens, averaged over the samples of the global batch:

    desirable     L = λ_D (1 − σ(β (r − z)))
    undesirable   L = λ_U (1 − σ(β (z − r)))
    z = max(0, mean of log π(y'|x)/π_ref(y'|x)) over mismatched pairs (x, y'), a constant

z estimates KL(π ‖ π_ref). y' is the response of the next sample of the batch whose prompt is another one. z is one
number per optimiser step, over the global batch: all ranks and all accumulation steps. Where all prompts of a batch are
the same (or there is only one) nothing can be mismatched, and z is 0, its lower bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from openrlhf.models.scorer import Scores
from openrlhf.objectives.base import MicroBatches, Objective
from openrlhf.trainer.batching import Example, MicroBatch, idle_example
from openrlhf.utils.tally import Tally


def kto_loss(log_ratios: Tensor, desirable: Tensor, kl: float, beta: float, weights: tuple[float, float]) -> Tensor:
    """The loss of each sample, float32 [R], from its log-ratio [R].

    desirable: bool [R]. weights: λ_D and λ_U.
    """
    gain = torch.where(desirable, log_ratios - kl, kl - log_ratios)
    scale = torch.where(desirable, weights[0], weights[1])
    return scale * torch.sigmoid(-beta * gain)


@dataclass
class KtoObjective(Objective):
    """See the module. The label of a row is 1 where it is desirable and 0 where not.

    max_len: mismatched rows are cut there. kl: z of the current batch.
    A sample of a weighted batch is two rows, the second mismatched; `before_step` scores the second ones and hands
    on the first ones, which are trained on.
    """

    rows_per_sample = 2

    beta: float = 0.01
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    max_len: int = 2048
    chunk_size: int = 512
    kl: float = field(default=0.0, init=False)

    @property
    def needs_reference(self) -> bool:
        return True

    def weighted(self, examples: Sequence[Example]) -> list[Example]:
        mismatched = mismatch(examples, self.max_len)
        matched = [replace(example, weight=1.0 / len(examples)) for example in examples]
        return [row for sample in zip(matched, mismatched, strict=True) for row in sample]

    def before_step(self, learner: Any, micro_batches: MicroBatches) -> MicroBatches:
        mismatched = [micro[1::2] for micro in micro_batches]
        policy, reference = learner.outputs(mismatched), learner.reference_outputs(mismatched)
        own = sum(
            example.weight * (sum(policy_row) - sum(reference_row))
            for examples, *rows in zip(mismatched, policy, reference, strict=True)
            for example, policy_row, reference_row in zip(examples, *rows, strict=True)
        )
        self.kl = max(0.0, learner.sum_over_ranks(own))
        return [micro[0::2] for micro in micro_batches]

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        log_ratios = batch.row_sums(outputs.target_logprobs - batch.columns["reference"])
        desirable, real = batch.labels > 0.5, batch.row_weights > 0
        losses = kto_loss(log_ratios, desirable, self.kl, self.beta, (self.desirable_weight, self.undesirable_weight))
        rewards = self.beta * log_ratios.detach()
        tally.add("chosen_reward", rewards[desirable & real])
        tally.add("reject_reward", rewards[~desirable & real])
        tally.add("kl", torch.tensor(self.kl))
        return (losses * batch.row_weights).sum()


def mismatch(examples: Sequence[Example], max_len: int) -> list[Example]:
    """For each example its prompt with the response of the next one whose prompt differs, an idle row where none does.

    A row's prompt is what lies before its scored tokens. The weights of the real ones sum to 1.
    """
    prompts = [example.ids[: example.scored[0]] for example in examples]
    following = _next_with_another(prompts)
    weight = 1.0 / max(1, sum(other is not None for other in following))
    rows = []
    for prompt, other in zip(prompts, following, strict=True):
        if other is None:
            rows.append(idle_example())
            continue
        ids = (prompt + examples[other].ids[examples[other].scored[0] :])[:max_len]
        rows.append(Example(ids=ids, scored=tuple(range(len(prompt), len(ids))), weight=weight))
    return rows


def _next_with_another(prompts: Sequence[tuple[int, ...]]) -> list[int | None]:
    """For each prompt the index of the next different one, going round at the end; None where all are the same."""
    found: list[int | None] = [None] * len(prompts)
    for i in reversed(range(2 * len(prompts))):  # twice, so that the first ones are known to the last ones
        here, after = i % len(prompts), (i + 1) % len(prompts)
        found[here] = after if prompts[after] != prompts[here] else found[after]
    return found
