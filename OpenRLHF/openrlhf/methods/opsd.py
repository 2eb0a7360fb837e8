"""OPSD: On-Policy Self-Distillation (arXiv 2601.18734): forward KL from the policy that reads a worked solution (or the
answer), on the policy's own responses, right or wrong.

Each token's share of the divergence is cut at `--opsd_clip`, so that tokens of style do not outweigh the others, and
the teacher is the frozen starting model, as its authors advise. The divergence is taken over the teacher's likeliest
tokens and one bucket for all others. With --hint_contrast K the teacher is guided away from what wrong hints make of it
(`objectives.self_distillation`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.settings import setting
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.base import token_mean
from openrlhf.methods.hints import HINT_METRICS, ContrastedSolution
from openrlhf.objectives.base import Objective
from openrlhf.objectives.self_distillation import METRICS, Distillation, DistillationObjective


@dataclass(frozen=True)
class OPSD(ContrastedSolution):
    name: ClassVar[str] = "opsd"
    title: ClassVar[str] = "OPSD"
    flag_prefix: ClassVar[str] = "opsd_"
    default_reward: ClassVar[str | None] = "math"
    kl_places: ClassVar[tuple[str, ...]] = ("loss",)
    metrics: ClassVar[dict[str, str]] = {**METRICS, **HINT_METRICS}

    posterior: str = setting("initial", "Who is the teacher: the starting model, its average, or the current weights.",
                             choices=("online", "ema", "initial"))  # fmt: skip
    beta: float = setting(0.0, "0: forward KL; 1: reverse KL; between: JSD.", at_least=0, at_most=1)
    clip: float = setting(0.05, "Each token's share of the divergence is cut above this.", more_than=0)
    top_k: int = setting(100, "The teacher's so many likeliest tokens are compared one by one.", at_least=1)
    guidance: float = setting(0.5, "With --hint_contrast: how far the teacher is guided away from wrong hints.",
                              at_least=0)  # fmt: skip
    contrast_scale: float = setting(1.0, "With --hint_contrast: KL of right and wrong hint at which a token counts"
                                    " half.", more_than=0)  # fmt: skip

    def describe(self, config: Any) -> str:
        hint = "the answer" if self.solution_key is None else f"the field {self.solution_key}"
        against = f", against up to {self.contrast} wrong siblings" if self.contrast else ""
        return f"OPSD: JSD_{self.beta:g}, clip {self.clip:g}, {self.posterior} teacher that reads {hint}{against}"

    def without_effect(self, config: Any) -> Iterator[tuple[str, str]]:
        yield from super().without_effect(config)
        if not self.contrast:
            yield "opsd_guidance opsd_contrast_scale", "there is no --hint_contrast"

    def outcomes(self, group: Sequence[Rollout]) -> list[float | None]:
        """All responses, also those whose grading failed."""
        return [0.0 if rollout.token_ids else None for rollout in group]

    def weights(self, lengths: Sequence[int], config: RLConfig) -> list[float]:
        return token_mean(lengths)

    def objective(self, config: RLConfig) -> Objective:
        how = Distillation(self.beta, self.top_k, self.clip, None, self.guidance, -5.0, self.contrast_scale)
        return DistillationObjective(how, config.rollout.scored_temperature, config.kl_in_loss)
