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

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from openrlhf.models.scorer import Scores
from openrlhf.objectives.base import PairObjective
from openrlhf.objectives.reward import tally_pairs
from openrlhf.trainer.batching import MicroBatch
from openrlhf.utils.tally import Tally


def dpo_loss(h: Tensor, beta: float, *, label_smoothing: float = 0.0, ipo: bool = False) -> Tensor:
    """The loss of each pair, float32 [P], from the difference h [P] of log-ratios; see the module."""
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
    chunk_size: int = 512

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
