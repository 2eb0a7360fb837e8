r"""Kahneman-Tversky optimisation (arXiv 2402.01306, eq. 7 and 8): responses that are single, each desirable or not.

With r = log π(y|x)/π_ref(y|x), summed over the response's tokens, averaged over the samples of the global batch:

    desirable     L = λ_D (1 − σ(β (r − z)))
    undesirable   L = λ_U (1 − σ(β (z − r)))
    z = max(0, mean of log π(y'|x)/π_ref(y'|x)) over mismatched pairs (x, y'), a constant

z estimates KL(π ‖ π_ref). y' is the response of the next sample of the batch whose prompt is another one. z is one
number per optimiser step, over the global batch: all ranks and all accumulation steps. Where all prompts of a batch are
the same (or there is only one) nothing can be mismatched, and z is 0, its lower bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.offline import OfflineConfig
from openrlhf.config.settings import setting, switch
from openrlhf.errors import UserError
from openrlhf.experience.example import Example, idle_example
from openrlhf.methods.base import FrozenModel
from openrlhf.methods.text_fields import Responses
from openrlhf.models.scores import Scores
from openrlhf.objectives.base import AsideRow, Objective

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class KTO(Responses):
    name: ClassVar[str] = "kto"
    title: ClassVar[str] = "KTO"
    commands: ClassVar[tuple[str, ...]] = ("train_kto",)
    metrics: ClassVar[dict[str, str]] = {
        "chosen_reward": "mean β log π/π_ref of the desirable rows",
        "reject_reward": "the same of the undesirable rows",
        "kl": "the reference point z, of the whole batch; its mismatched rows are not counted in batch_tokens",
    }

    label_key: str = setting("label", "Field that says whether a response is desirable.")
    ref_offload: bool = switch("Keep the reference model in CPU memory.")
    beta: float = setting(0.01, "Strength of the pull towards the reference model.", more_than=0)
    desirable_loss_weight: float = setting(1.0, "Weight of desirable samples.", at_least=0)
    undesirable_loss_weight: float = setting(1.0, "Weight of undesirable samples.", at_least=0)

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        if config.optimizer.train_batch_size < 2:
            raise UserError(
                "--train_batch_size 1: KTO's KL term is estimated from prompts with the responses of other samples of"
                " the batch; give at least 2, better 32"
            )
        if not self.desirable_loss_weight and not self.undesirable_loss_weight:
            raise UserError(
                "--desirable_loss_weight and --undesirable_loss_weight are both 0: nothing would be learned; raise one"
            )
        if not self.output_key and not self.apply_chat_template:
            raise UserError(
                "nothing says where the responses are: give --output_key, or --apply_chat_template with conversations"
                " in --input_key"
            )
        return config, notes

    def reference_model(self, config: OfflineConfig) -> FrozenModel | None:
        return FrozenModel(str(config.model.pretrain), self.ref_offload)

    def samples(
        self, records: Sequence[dict[str, Any]], tokenizer: Any, config: OfflineConfig
    ) -> tuple[list[tuple[Example, ...]], list[str]]:
        from openrlhf.datasets.texts import TextFormat
        from openrlhf.datasets.unpaired import build_labelled

        style = TextFormat(
            input_key=self.input_key,
            output_key=self.output_key,
            input_template=self.input_template,
            apply_chat_template=self.apply_chat_template,
        )
        made = build_labelled(records, tokenizer, style, self.label_key, max_len=config.data.max_len)
        samples: list[tuple[Example, ...]] = [
            (Example(ids=sample.token_ids, scored=sample.scored, weight=1.0, label=float(label)),)
            for sample, label in zip(made.samples, made.labels, strict=True)
        ]
        return samples, list(made.notes)

    def objective(self, config: OfflineConfig, tokenizer: Any) -> Objective:
        return KtoObjective(
            beta=self.beta,
            desirable_weight=self.desirable_loss_weight,
            undesirable_weight=self.undesirable_loss_weight,
            max_len=config.data.max_len,
        )


def kto_loss(log_ratios: Tensor, desirable: Tensor, kl: float, beta: float, weights: tuple[float, float]) -> Tensor:
    """The loss of each sample, float32 [R], from its log-ratio [R].

    desirable: bool [R]. weights: λ_D and λ_U.
    """
    import torch

    gain = torch.where(desirable, log_ratios - kl, kl - log_ratios)
    scale = torch.where(desirable, weights[0], weights[1])
    return scale * torch.sigmoid(-beta * gain)


@dataclass(frozen=True)
class KtoObjective(Objective):
    """See the module. The label of a row is 1 where it is desirable and 0 where not.

    max_len: mismatched rows are cut there.
    A sample of a weighted batch is two rows, the second mismatched: those are set aside, and their log-ratios become
    the figure "kl", z before its lower bound.
    """

    rows_per_sample = 2

    beta: float = 0.01
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    max_len: int = 2048

    @property
    def needs_reference(self) -> bool:
        return True

    def weighted(self, examples: Sequence[Example]) -> list[Example]:
        mismatched = mismatch(examples, self.max_len)
        matched = [replace(example, weight=1.0 / len(examples)) for example in examples]
        return [row for sample in zip(matched, mismatched, strict=True) for row in sample]

    def set_aside(self, examples: Sequence[Example]) -> tuple[Sequence[Example], Sequence[Example]]:
        return examples[0::2], examples[1::2]

    def step_figures(self, aside: Sequence[AsideRow]) -> dict[str, float]:
        return {"kl": sum(row.example.weight * (sum(row.policy) - sum(row.reference)) for row in aside)}

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        kl = max(0.0, batch.figures["kl"])
        log_ratios = batch.row_sums(outputs.target_logprobs - batch.columns["reference"])
        desirable, real = batch.labels > 0.5, batch.row_weights > 0
        losses = kto_loss(log_ratios, desirable, kl, self.beta, (self.desirable_weight, self.undesirable_weight))
        rewards = self.beta * log_ratios.detach()
        tally.add("chosen_reward", rewards[desirable & real])
        tally.add("reject_reward", rewards[~desirable & real])
        tally.add("kl", rewards.new_tensor(kl))
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
