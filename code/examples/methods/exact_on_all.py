"""InTRO's exact form on every graded rollout, right or wrong, with the frozen starting model as posterior.

Run it with --method code/examples/methods/exact_on_all.py.
"""

from dataclasses import dataclass

from openrlhf.config.settings import setting
from openrlhf.methods.base import RLMethod
from openrlhf.methods.intro import Intro


@dataclass(frozen=True)
class ExactOnAll(Intro):
    name = "exact_on_all"
    title = "exact InTRO on all rollouts"
    flag_prefix = "all_"

    estimator: str = setting("exact", "sampled or exact, as InTRO's.", choices=("sampled", "exact"))
    posterior: str = setting("initial", "Who computes p.", choices=("online", "ema", "initial"))

    def outcomes(self, group):
        return RLMethod.outcomes(self, group)
