"""Run by the tests as a process of its own, one per rank: steps of SFT, distillation, process rewards, with and without
LoRA and experts.

A scenario (see launching.py) names an `objective` and has flags and settings besides.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from launching import run_as_rank
from learner_program import FLAGS

from configuring import rl_config
from openrlhf.experience.example import Example
from openrlhf.methods.kd import DistillObjective
from openrlhf.methods.prm import ProcessObjective
from openrlhf.objectives.base import Objective
from openrlhf.objectives.likelihood import LikelihoodObjective
from openrlhf.utils.tally import Tally

REWARD_TOKENS = (43, 45)


@dataclass(frozen=True)
class SquaresObjective(Objective):
    """Something to train a scalar model on: the mean square of its values."""

    def loss(self, outputs: Any, batch: Any, tally: Tally) -> Any:
        return (outputs.square() * batch.token_weights).sum()


OBJECTIVES: dict[str, Objective] = {
    "sft": LikelihoodObjective(),
    "kd": DistillObjective(0.4),
    "prm": ProcessObjective(REWARD_TOKENS),
    "prm over all tokens": ProcessObjective(()),
    "squares": SquaresObjective(),
}


def examples(name: str, count: int = 7) -> list[Example]:
    """Rows of different lengths; "label" means what the objective takes it for."""
    generator = torch.manual_seed(5)
    rows = []
    for _ in range(count):
        prompt, response = torch.randint(1, 9, (2,), generator=generator).tolist()
        ids = torch.randint(0, 256, (prompt + response,), generator=generator).tolist()
        labels = torch.rand(response, generator=generator)
        scored = tuple(range(prompt, prompt + response))
        columns = {}
        if name.startswith("prm"):
            columns["label"] = (labels if name == "prm" else (labels * 256).floor()).tolist()
        rows.append(Example(tuple(ids), scored, weight=1.0, columns=columns))
    return OBJECTIVES[name].weighted(rows)


def run(settings: dict[str, Any], rank: int, world_size: int) -> dict:
    """One learner from the start: what it logged, and the first step's gradient; saved to `save` if that is given."""
    from deepspeed.utils import safe_get_full_grad

    from openrlhf.models.saving import save_pretrained
    from openrlhf.trainer.batching import split_over_ranks
    from openrlhf.trainer.frozen import FrozenActor
    from openrlhf.trainer.learner import Learner
    from openrlhf.trainer.networks import trainable_actor, trainable_scalar
    from openrlhf.trainer.posterior import InitialPosterior
    from toy_models import byte_tokenizer

    class Recorder(Learner):
        gradients: dict[str, torch.Tensor] | None = None

        def _update(self) -> float:
            if self.gradients is None:
                named = [(n, p) for n, p in self.network.pretrained.named_parameters() if p.requires_grad]
                self.gradients = {name: safe_get_full_grad(p).float().cpu().clone() for name, p in named}
            return super()._update()

    options = dict(settings)
    name, micro, steps = options.pop("objective"), options.pop("micro", 99), options.pop("steps", 1)
    save = options.pop("save", None)
    config, path = rl_config(**{**FLAGS, **options}), options["pretrain"]
    if name == "squares":
        network: Any = trainable_scalar(path, config, 257, head_prefix="score", at_predictors=False)
    else:
        network = trainable_actor(path, config, 257)
    learner = Recorder(config, network, OBJECTIVES[name], 1e-2)
    if OBJECTIVES[name].needs_posterior:
        learner.posterior = InitialPosterior(FrozenActor(options["teacher"], config, 257))
    logged = []
    for _ in range(steps):
        tally = learner.train_step(split_over_ranks(examples(name), world_size, micro)[rank], 1e-2)
        parts = [tally] * world_size
        dist.all_gather_object(parts, tally)
        total = Tally()
        for part in parts:
            total.merge(part)
        logged.append(total.metrics())
    if save:
        save_pretrained(network, byte_tokenizer(), Path(save), source=path)
    return {"logged": logged, "gradients": learner.gradients}


if __name__ == "__main__":
    run_as_rank(run)
