r"""A critic's objective: half the squared error to the returns, with the step of the value clipped.

L = Σ_b Σ_t c_b · ½ max( (v_t − R_t)², (clip(v_t, v_old ± ε) − R_t)² )
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openrlhf.objectives.base import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from openrlhf.experience.micro_batch import MicroBatch
    from openrlhf.utils.tally import Tally


@dataclass(frozen=True)
class ValueObjective(Objective):
    """Reads the columns "value" (the critic's, before the update) and "return"."""

    value_clip: float

    def loss(self, outputs: Tensor, batch: MicroBatch, tally: Tally) -> Tensor:
        old, returns = batch.columns["value"], batch.columns["return"]
        clipped = old + (outputs - old).clamp(-self.value_clip, self.value_clip)
        error = (outputs - returns).square().maximum((clipped - returns).square()) / 2
        tally.add("values", outputs.detach()[batch.real])
        return (error * batch.token_weights).sum()
