r"""DAPO (arXiv 2503.14476): GRPO with a higher upper clip, a mean over tokens, without groups that teach nothing, and
with rewards that fall before the length limit.

    R'(z) = R(z) − min(1, max(0, |z| − from) / (to − from))          its eq. 13

Nothing pulls to a reference model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting
from openrlhf.errors import UserError
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.base import token_mean
from openrlhf.methods.group_norm import GroupNorm
from openrlhf.objectives.base import Objective
from openrlhf.objectives.policy import PolicyObjective

BUFFER = 0.2  # the share of --generate_max_len over which the reward falls, as 4,096 of 20,480 in the paper


@dataclass(frozen=True)
class DAPO(GroupNorm):
    """After the rules `overlong_from` and `overlong_to` are numbers."""

    name: ClassVar[str] = "dapo"
    title: ClassVar[str] = "DAPO"
    in_openrlhf: ClassVar[bool] = False
    flag_prefix: ClassVar[str] = "dapo_"
    kl_places: ClassVar[tuple[str, ...]] = ()

    eps_clip_high: float = setting(0.28, "The probability ratio is clipped above 1 + this.", more_than=0)
    overlong_from: int | None = setting(
        None, "Longer responses lose reward; by default the last fifth of --generate_max_len.", at_least=0
    )
    overlong_to: int | None = setting(
        None, "From this length on a response loses 1; by default --generate_max_len.", at_least=1
    )

    @property
    def filters(self) -> bool:
        return True

    def settle(self, config: Any) -> tuple[Any, list[str]]:
        config, notes = super().settle(config)
        to = config.rollout.generate_max_len if self.overlong_to is None else self.overlong_to
        start = int(to * (1 - BUFFER)) if self.overlong_from is None else self.overlong_from
        if start >= to:
            raise UserError(f"--dapo_overlong_from {start} is not less than --dapo_overlong_to {to}: lower it")
        return replace(config, method=replace(config.method, overlong_from=start, overlong_to=to)), notes

    def describe(self, config: Any) -> str:
        return (
            f"DAPO: clip {self.eps_clip:g} and {self.eps_clip_high:g}, less reward from {self.overlong_from} to "
            f"{self.overlong_to} tokens{self.refilling(config)}"
        )

    def outcomes(self, group: Sequence[Rollout]) -> list[float | None]:
        """The limit on lengths makes no signal where the responses are all right or all wrong."""
        if self.without_signal(group):
            return [None] * len(group)
        return super().outcomes([replace(r, reward=r.reward - self.overlong(len(r.token_ids))) for r in group])

    def overlong(self, length: int) -> float:
        """What a response of so many tokens loses."""
        if self.overlong_from is None or self.overlong_to is None:
            return 0.0
        return min(1.0, max(0.0, (length - self.overlong_from) / (self.overlong_to - self.overlong_from)))

    def weights(self, lengths: Sequence[int], config: RLConfig) -> list[float]:
        return token_mean(lengths)

    def objective(self, config: RLConfig) -> Objective:
        return PolicyObjective(self.eps_clip, config.rollout.scored_temperature, None, self.eps_clip_high)
