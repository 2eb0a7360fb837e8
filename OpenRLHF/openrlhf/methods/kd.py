"""Knowledge distillation: the student learns the data's tokens and the teacher's whole distribution.

With q the student, p the teacher and c the weight of the teacher's part, over the response tokens of the global batch:

    L = mean of  (1 − c) · (− log q(z_t)) + c · (− Σ_a p(a) log q(a))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.offline import OfflineConfig
from openrlhf.config.rules import require
from openrlhf.config.settings import setting, switch
from openrlhf.errors import UserError
from openrlhf.methods.base import FrozenModel
from openrlhf.methods.sft import SupervisedText
from openrlhf.models.scores import Scores, ScoreSpec
from openrlhf.objectives.base import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class Distillation(SupervisedText):
    name: ClassVar[str] = "kd"
    title: ClassVar[str] = "knowledge distillation"
    commands: ClassVar[tuple[str, ...]] = ("train_kd",)
    metrics: ClassVar[dict[str, str]] = {
        "gpt_loss": "mean negative log-likelihood of the response tokens",
        "distil_loss": "cross-entropy of the teacher's and the student's distributions",
    }

    output_key: str | None = setting("output", "Field that holds the response.")
    teacher_model: str | None = setting(None, "Teacher whose distribution is distilled: a folder or hub name.")
    teacher_offload: bool = switch("Keep the teacher in CPU memory.")
    kd_coef: float = setting(0.4, "Weight of the teacher's part of the loss, between 0 and 1.", at_least=0, at_most=1)

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        require(
            self.teacher_model,
            "teacher_model",
            "the model whose distribution is distilled: a Hugging Face folder or hub name",
        )
        return config, notes

    def posterior_model(self, config: OfflineConfig) -> FrozenModel | None:
        return FrozenModel(str(self.teacher_model), self.teacher_offload)

    def check(self, config: OfflineConfig, tokenizer: Any) -> None:
        """UserError unless the teacher's distribution is one over the student's tokens."""
        from openrlhf.models.loader import load_config, load_tokenizer

        student, teacher = str(config.model.pretrain), str(self.teacher_model)
        sizes = [load_config(path).get_text_config().vocab_size for path in (student, teacher)]
        if sizes[0] != sizes[1]:
            raise UserError(
                f"--teacher_model {teacher} has {sizes[1]} outputs, --pretrain {student} has {sizes[0]}: "
                "distributions can only be compared over the same vocabulary; choose a teacher of the student's family"
            )
        theirs = load_tokenizer(teacher, use_fast=not config.model.disable_fast_tokenizer)
        if theirs.get_vocab() != tokenizer.get_vocab():
            raise UserError(
                f"--teacher_model {teacher} and --pretrain {student} number their tokens differently: "
                "choose a teacher that has the student's tokenizer"
            )

    def objective(self, config: OfflineConfig, tokenizer: Any) -> Objective:
        return DistillObjective(self.kd_coef)


@dataclass(frozen=True)
class DistillObjective(Objective):
    """The teacher is the learner's posterior; it reads the same rows."""

    sums_over_tokens = True
    needs_posterior = True

    kd_coef: float

    def spec(self, batch: MicroBatch) -> ScoreSpec:
        return ScoreSpec(batch.rows.targets, cross_entropy=True, measured=False)

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        likelihood, distilled = -outputs.target_logprobs, outputs.cross_entropy
        tally.add("gpt_loss", likelihood.detach()[batch.real])
        tally.add("distil_loss", distilled.detach()[batch.real])
        losses = (1 - self.kd_coef) * likelihood + self.kd_coef * distilled
        return (losses * batch.token_weights).sum()
