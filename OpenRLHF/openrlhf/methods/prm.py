"""Process reward models: what a causal language model says after each step of a solution (Let's Verify Step by Step,
arXiv 2305.20050, with labels as in Math-Shepherd, arXiv 2312.08935).

A step ends with a placeholder. With q the model's distribution there, y the step's label, and R the reward tokens, the
mean over all steps of the global batch of

    no reward tokens    − log q(y)
    two                 − y log q_R(R₁) − (1 − y) log q_R(R₂)    y in [0, 1], the probability of the first
    more                − log q_R(y)                             q_R is q renormalised over R
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.offline import OfflineConfig
from openrlhf.config.rules import require
from openrlhf.config.settings import setting
from openrlhf.errors import UserError
from openrlhf.experience.example import Example
from openrlhf.methods.base import OfflineMethod
from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.objectives.base import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class ProcessReward(OfflineMethod):
    name: ClassVar[str] = "prm"
    title: ClassVar[str] = "a process reward model"
    commands: ClassVar[tuple[str, ...]] = ("train_prm",)
    metrics: ClassVar[dict[str, str]] = {
        "prm_loss": "mean loss over the steps of the solutions",
        "acc": "share of steps whose likeliest token, among `--reward_tokens` if given, is the label",
    }

    input_key: str = setting("input", "Field that holds the text.")
    label_key: str = setting("label", "Field that holds the labels of the steps.")
    placeholder_token: str | None = setting(
        None, "Token that marks the end of each reasoning step in process supervision."
    )
    reward_tokens: tuple[str, ...] | None = setting(
        None, "Tokens that stand for the labels of a step, such as + and -.", nargs="*"
    )

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        require(self.placeholder_token, "placeholder_token", "the token that ends every step in the texts, such as ки")
        if self.reward_tokens and len(self.reward_tokens) < 2:
            raise UserError(
                f"--reward_tokens {self.reward_tokens[0]}: the label is chosen among them, so give at least two, or"
                " none to choose among all tokens"
            )
        return config, notes

    def _tokens(self, tokenizer: Any) -> Any:
        from openrlhf.datasets.process import StepTokens

        return StepTokens.build(tokenizer, str(self.placeholder_token), self.reward_tokens or None)

    def samples(
        self, records: Sequence[dict[str, Any]], tokenizer: Any, config: OfflineConfig
    ) -> tuple[list[tuple[Example, ...]], list[str]]:
        from openrlhf.datasets.process import build_step_samples

        made = build_step_samples(
            records,
            tokenizer,
            self._tokens(tokenizer),
            input_key=self.input_key,
            label_key=self.label_key,
            max_len=config.data.max_len,
        )
        samples: list[tuple[Example, ...]] = [
            (Example(ids=s.token_ids, scored=s.scored, weight=1.0, columns={"label": s.labels}),) for s in made.samples
        ]
        return samples, made.notes(config.data.max_len)

    def objective(self, config: OfflineConfig, tokenizer: Any) -> Objective:
        return ProcessObjective(tuple(self._tokens(tokenizer).rewards.values()))


@dataclass(frozen=True)
class ProcessObjective(Objective):
    """Reads the column "label": the label's token id without `reward_tokens`, the probability of the first of two, or
    the label's index among more. The scored token is the one after the placeholder; which one it is does not matter.

    reward_tokens: token ids; none for the whole vocabulary.
    """

    sums_over_tokens = True
    running_means = ("acc",)

    reward_tokens: tuple[int, ...] = ()

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        """Without reward tokens the one candidate is the likeliest token, which the accuracy needs."""
        import torch

        positions, device = len(batch.token_weights), batch.token_weights.device
        if not self.reward_tokens:
            first = torch.zeros((positions, 1), device=device)
            labels = batch.columns["label"].long()
            return ScoreSpec(labels, uniforms=first, top_k=1, force_target=False, measured=False)
        tokens = torch.tensor(self.reward_tokens, device=device)
        return ScoreSpec(batch.rows.targets, candidates=tokens.expand(positions, -1).contiguous(), measured=False)

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
        logprobs = logprobs.log_softmax(-1)  # renormalises: the vocabulary's normaliser cancels
        if len(self.reward_tokens) == 2:
            losses = -(labels * logprobs[:, 0] + (1 - labels) * logprobs[:, 1])
            likeliest = (labels < 0.5).long()
        else:
            likeliest = labels.long()
            losses = -logprobs.gather(1, likeliest[:, None])[:, 0]
        return losses, logprobs.argmax(-1) == likeliest
