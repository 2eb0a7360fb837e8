"""Run by the tests as a process of its own, one per rank: optimiser steps of reward models, DPO and KTO.

A scenario (see launching.py) names an `objective` and has flags and settings besides.
"""

from typing import Any

import torch
import torch.distributed as dist
from launching import run_as_rank
from learner_program import FLAGS

from configuring import rl_config
from openrlhf.experience.example import Example
from openrlhf.methods.dpo import DpoObjective
from openrlhf.methods.kto import KtoObjective
from openrlhf.methods.rm import RewardObjective
from openrlhf.objectives.base import Objective

OBJECTIVES = {
    "reward": lambda: RewardObjective(margin_loss=True),
    "dpo": lambda: DpoObjective(beta=0.2, label_smoothing=0.1, nll_coef=0.3),
    "ipo": lambda: DpoObjective(beta=0.2, ipo=True),
    "kto": lambda: KtoObjective(beta=0.1, desirable_weight=1.5, max_len=9),
}


def rows(count: int, *, whole_response: bool = True) -> list[tuple[list[int], list[int], int]]:
    """Prompts, responses and the position from which tokens are scored; two consecutive rows share their prompt."""
    generator = torch.manual_seed(5)
    found = []
    for _ in range(count):
        *sizes, shared = torch.randint(1, 9, (3,), generator=generator).tolist()
        prompt = torch.randint(0, 256, (shared,), generator=generator).tolist()
        for size in sizes:
            response = torch.randint(0, 256, (size,), generator=generator).tolist()
            found.append((prompt, response, shared if whole_response else shared + size - 1))
    return found


def examples(name: str, count: int = 7) -> list[Example]:
    """`count` pairs, or twice as many single rows."""
    made = rows(count, whole_response=name != "reward")
    return [
        Example(ids=(*prompt, *response), scored=tuple(range(first, len(prompt + response))), weight=1.0, label=label)
        for (prompt, response, first), label in zip(made, labels(count), strict=True)
    ]


def labels(count: int) -> list[float]:
    """Margins of pairs and labels of single rows alike."""
    return [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0] * (2 * count // 7)


def run(settings: dict[str, Any], rank: int, world_size: int) -> dict:
    """One learner from the start: figures of its steps and of an evaluation, the last step's gradient and norm."""
    from deepspeed.utils import safe_get_full_grad

    from openrlhf.trainer.batching import split_over_ranks
    from openrlhf.trainer.frozen import FrozenActor
    from openrlhf.trainer.learner import Learner
    from openrlhf.trainer.networks import trainable_actor, trainable_scalar
    from openrlhf.utils.tally import Tally

    class Recorder(Learner):
        """Keeps the full gradient that the optimiser sees."""

        def _update(self) -> float:
            named = [(n, p) for n, p in self.network.pretrained.named_parameters() if p.requires_grad]
            self.gradients = {name: safe_get_full_grad(p).float().cpu().clone() for name, p in named}
            return super()._update()

    options = dict(settings)
    name, micro, steps = options.pop("objective"), options.pop("micro", 99), options.pop("steps", 1)
    config, path = rl_config(**{**FLAGS, **options}), options["pretrain"]
    objective: Objective = OBJECTIVES[name]()
    if name == "reward":
        network = trainable_scalar(options["reward_model"], config, 257, head_prefix="score", at_predictors=False)
    else:
        network = trainable_actor(path, config, 257)
    learner = Recorder(config, network, objective, 1e-3)
    if objective.needs_reference:
        learner.reference = FrozenActor(options["reference"], config, 257)

    def share() -> list[list[Example]]:
        return split_over_ranks(objective.weighted(examples(name)), world_size, micro, objective.rows_per_sample)[rank]

    def over_ranks(tally: Tally) -> dict[str, float]:
        parts: list[Tally] = [tally] * world_size
        dist.all_gather_object(parts, tally)
        total = Tally()
        for part in parts:
            total.merge(part)
        return objective.figures(total)

    evaluated = over_ranks(learner.evaluate(share()))
    trained = [over_ranks(learner.train_step(share(), 1e-3)) for _ in range(steps)]
    return {"evaluated": evaluated, "trained": trained, "gradients": learner.gradients}


if __name__ == "__main__":
    run_as_rank(run)
