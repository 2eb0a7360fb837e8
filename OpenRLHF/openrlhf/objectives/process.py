"""Process reward models: what a causal language model says after each step of a solution (Let's Verify Step by Step,
arXiv 2305.20050, with labels as in Math-Shepherd, arXiv 2312.08935).

A step ends with a placeholder. With q the model's distribution there, y the step's label, and R the reward tokens, the
mean over all steps of the global batch of

    no reward tokens    − log q(y)
    two                 − y log q_R(R₁) − (1 − y) log q_R(R₂)    y in [0, 1], the probability of the first
    more                − log q_R(y)                             q_R is q renormalised over R
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from openrlhf.models.scorer import Scores, ScoreSpec
from openrlhf.objectives.base import Objective
from openrlhf.trainer.batching import MicroBatch
from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class ProcessObjective(Objective):
    """Reads the column "label": the label's token id without `reward_tokens`, the probability of the first of two, or
    the label's index among more. The scored token is the one after the placeholder; which one it is does not matter.

    reward_tokens: token ids; none for the whole vocabulary.
    """

    running_means = ("acc",)

    reward_tokens: tuple[int, ...] = ()
    chunk_size: int = 512

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        """Without reward tokens the one candidate is the likeliest token, which the accuracy needs."""
        positions, device = len(batch.token_weights), batch.token_weights.device
        if not self.reward_tokens:
            first = torch.zeros((positions, 1), device=device)
            labels = batch.columns["label"].long()
            return ScoreSpec(labels, uniforms=first, top_k=1, force_target=False, chunk_size=self.chunk_size)
        tokens = torch.tensor(self.reward_tokens, device=device)
        return ScoreSpec(
            batch.rows.targets, candidates=tokens.expand(positions, -1).contiguous(), chunk_size=self.chunk_size
        )

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        labels = batch.columns["label"]
        if not self.reward_tokens:
            losses = -outputs.target_logprobs
            right = outputs.candidates[:, 0] == labels.long()
        else:
            losses, right = self._restricted(outputs.candidate_logprobs, labels)
        tally.add("prm_loss", losses.detach()[batch.real])
        tally.add("acc", right[batch.real].float())
        return (losses * batch.token_weights).sum()

    def _restricted(self, logprobs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss [T] over the reward tokens, and whether the likeliest one is the label's (the likelier one)."""
        logprobs = torch.log_softmax(logprobs, dim=-1)  # renormalises: the vocabulary's normaliser cancels
        if len(self.reward_tokens) == 2:
            losses = -(labels * logprobs[:, 0] + (1 - labels) * logprobs[:, 1])
            likeliest = (labels < 0.5).long()
        else:
            likeliest = labels.long()
            losses = -logprobs.gather(1, likeliest[:, None])[:, 0]
        return losses, logprobs.argmax(-1) == likeliest
