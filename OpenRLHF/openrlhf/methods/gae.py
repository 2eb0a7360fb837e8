"""PPO with generalised advantage estimation (Schulman et al. 2016) from a critic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from openrlhf.config.settings import setting
from openrlhf.methods.base import Columns
from openrlhf.methods.policy_gradient import PolicyGradient

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GAE(PolicyGradient):
    """Advantages are normalised."""

    name: ClassVar[str] = "gae"
    title: ClassVar[str] = "PPO"
    in_openrlhf: ClassVar[bool] = True
    needs_critic: ClassVar[bool] = True
    normalises: ClassVar[bool] = True
    metrics: ClassVar[dict[str, str]] = {
        **PolicyGradient.metrics,
        "values": "mean value of a token before the update",
    }

    lambd: float = setting(0.95, "Lambda of generalised advantage estimation.", at_least=0, at_most=1)

    def advantages(
        self, rewards: Sequence[Tensor], scored: Columns, figures: dict[str, float]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        import torch

        from openrlhf.objectives.advantages import generalised_advantages

        pairs = [
            generalised_advantages(own, values, self.gamma, self.lambd)
            for own, values in zip(rewards, scored["value"], strict=True)
        ]
        figures["train/values"] = float(torch.cat(list(scored["value"])).mean())
        return [advantage for advantage, _ in pairs], [returns for _, returns in pairs]
