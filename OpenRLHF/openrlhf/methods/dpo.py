r"""Direct preference optimisation (arXiv 2305.18290, eq. 7) and its relatives.

With h = log π(y_w|x)/π_ref(y_w|x) − log π(y_l|x)/π_ref(y_l|x), where log π(y|x) is the sum over the response's tokens:

    DPO     L = − log σ(β h)
    cDPO    L = − (1 − ε) log σ(β h) − ε log σ(−β h)         ε: --label_smoothing; ericmitchell.ai/cdpo.pdf, eq. 3
    IPO     L = (h − 1/(2β))²                                arXiv 2310.12036, eq. 17, where β is called τ
    + NLL   L + c · (− log π(y_w|x) / |y_w|)                 c: --nll_loss_coef; arXiv 2404.19733, eq. 1

averaged over the pairs of the global batch. IPO's h is the sum, as the paper's equation and 0.6.2 have it, so that a β
means what it meant there. TRL divides both log-ratios by the length of their responses; for responses of n tokens that
is β/n here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from openrlhf.config.offline import OfflineConfig
from openrlhf.config.settings import setting, switch
from openrlhf.errors import UserError
from openrlhf.experience.example import Example
from openrlhf.methods.base import FrozenModel
from openrlhf.methods.text_fields import Pairs
from openrlhf.models.scores import Scores
from openrlhf.objectives.base import Objective, PairObjective, tally_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class DPO(Pairs):
    name: ClassVar[str] = "dpo"
    title: ClassVar[str] = "DPO"
    commands: ClassVar[tuple[str, ...]] = ("train_dpo",)
    metrics: ClassVar[dict[str, str]] = {
        "acc": "share of pairs whose preferred row has the larger reward; equal ones count as wrong, so it starts at 0",
        "chosen_reward": "mean β log π/π_ref of the preferred rows",
        "reject_reward": "the same of the other rows",
        "nll_loss": "with `--nll_loss_coef`: mean over pairs of the preferred response's mean negative log-likelihood",
    }

    ref_pretrain: str | None = setting(None, "Frozen reference model; without it --pretrain.")
    ref_offload: bool = switch("Keep the reference model in CPU memory.")
    beta: float = setting(0.1, "Strength of the pull towards the reference model.", more_than=0)
    ipo: bool = switch("Use the IPO loss instead of DPO's.")
    label_smoothing: float = setting(0.0, "Assumed share of swapped preferences (conservative DPO).", at_least=0)
    nll_loss_coef: float = setting(0, "Weight of the chosen response's negative log-likelihood; 0: none.", at_least=0)

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        if self.label_smoothing >= 0.5:
            raise UserError(
                f"--label_smoothing {self.label_smoothing} is out of range: it is the share of swapped preferences, so"
                " from 0.5 on they say nothing or the contrary; give less than 0.5"
            )
        return config, notes

    def without_effect(self, config: Any) -> Iterator[tuple[str, str]]:
        yield from super().without_effect(config)
        if self.ipo:
            yield "label_smoothing", "IPO has no label smoothing"

    def reference_model(self, config: OfflineConfig) -> FrozenModel | None:
        return FrozenModel(str(self.ref_pretrain or config.model.pretrain), self.ref_offload)

    def check(self, config: OfflineConfig, tokenizer: Any) -> None:
        from openrlhf.models.loader import check_same_vocabulary

        if self.ref_pretrain and self.ref_pretrain != config.model.pretrain:
            check_same_vocabulary(tokenizer, self.ref_pretrain, "--ref_pretrain")

    def samples(
        self, records: Sequence[dict[str, Any]], tokenizer: Any, config: OfflineConfig
    ) -> tuple[list[tuple[Example, ...]], list[str]]:
        made = self.pairs(records, tokenizer, config, for_reward=False)
        samples: list[tuple[Example, ...]] = [
            tuple(Example(ids=row.token_ids, scored=row.scored, weight=1.0) for row in (pair.chosen, pair.rejected))
            for pair in made.pairs
        ]
        return samples, made.notes(config.data.max_len)

    def objective(self, config: OfflineConfig, tokenizer: Any) -> Objective:
        return DpoObjective(self.beta, self.label_smoothing, self.ipo, self.nll_loss_coef)


def dpo_loss(h: Tensor, beta: float, *, label_smoothing: float = 0.0, ipo: bool = False) -> Tensor:
    """The loss of each pair, float32 [P], from the difference h [P] of log-ratios; see the module."""
    from torch.nn.functional import logsigmoid

    if ipo:
        return (h - 1 / (2 * beta)).square()
    return -(1 - label_smoothing) * logsigmoid(beta * h) - label_smoothing * logsigmoid(-beta * h)


@dataclass(frozen=True)
class DpoObjective(PairObjective):
    """See the module. Rewards in the logs are β log π/π_ref."""

    running_means = ("acc",)

    beta: float = 0.1
    label_smoothing: float = 0.0
    ipo: bool = False
    nll_coef: float = 0.0

    @property
    def needs_reference(self) -> bool:
        return True

    def loss(self, outputs: Scores, batch: MicroBatch, tally: Tally) -> Tensor:
        log_ratios = batch.row_sums(outputs.target_logprobs - batch.columns["reference"])
        weights = batch.row_weights[0::2]
        real = weights > 0
        h = log_ratios[0::2] - log_ratios[1::2]
        losses = dpo_loss(h, self.beta, label_smoothing=self.label_smoothing, ipo=self.ipo)
        rewards = self.beta * log_ratios.detach()
        tally_pairs(rewards[0::2][real], rewards[1::2][real], tally)
        if self.nll_coef:
            nll = -batch.row_means(outputs.target_logprobs)[0::2]
            tally.add("nll_loss", nll.detach()[real])
            losses = losses + self.nll_coef * nll
        return (losses * weights).sum()
