"""RLOO (Ahmadian et al. 2024, eq. 8): the baseline is the mean of the other responses of the group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from openrlhf.methods.policy_gradient import PolicyGradient


@dataclass(frozen=True)
class RLOO(PolicyGradient):
    """Advantages are normalised, as in OpenRLHF."""

    name: ClassVar[str] = "rloo"
    title: ClassVar[str] = "RLOO"
    in_openrlhf: ClassVar[bool] = True
    needs_groups: ClassVar[bool] = True
    normalises: ClassVar[bool] = True

    def compared(self, rewards: list[float]) -> list[float]:
        from openrlhf.objectives.advantages import compared, leave_one_out

        return compared(rewards, leave_one_out)
