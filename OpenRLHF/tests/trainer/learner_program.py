"""Run by the tests, one process per rank (launching.py): optimiser steps of any objective."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from launching import run_as_rank

from configuring import rl_config

if TYPE_CHECKING:
    from openrlhf.config.reinforcement import RLConfig
    from openrlhf.trainer.learner import Learner

FLAGS = {
    "bf16": False,
    "zero_stage": 3,
    "zpg": 1,
    "overlap_comm": False,
    "adam_offload": False,
    "grad_accum_dtype": None,
    "max_norm": 0.0,
    "l2": 0.0,
    "adam_betas": (0.9, 0.95),
    "seed": 1,
    "gradient_checkpointing": False,
    "gradient_checkpointing_use_reentrant": False,
    "lora_rank": 0,
    "lora_alpha": 16,
    "lora_dropout": 0.0,
    "target_modules": "all-linear",
    "packing_samples": True,
    "torch_compile": False,
    "load_in_4bit": False,
    "use_liger_kernel": False,
    "attn_implementation": "sdpa",
    "ring_attn_size": 1,
    "intro_estimator": "sampled",
    "intro_num_candidates": 5,
    "intro_top_k": 20,
    "intro_clip_max": 200.0,
    "intro_temperature": 1.0,
    "intro_posterior": "online",
    "ref_reward_offload": False,
    "eps_clip": 0.2,
    "value_clip": 0.2,
    "temperature": 1.0,
    "intro_posterior_ema": 0.5,
    "use_kl_loss": False,
    "init_kl_coef": 0.1,
    "kl_estimator": "k3",
    "score_chunk_size": 7,
}


def examples(count: int = 7) -> list:

    from openrlhf.experience.example import Example

    generator = torch.manual_seed(5)
    rows = []
    for _ in range(count):
        sizes = torch.randint(1, 9, (2,), generator=generator).tolist()
        rows.append([torch.randint(0, 256, (size,), generator=generator).tolist() for size in sizes])
    weights = [1.0 / (count * len(z)) for _, z in rows]
    return [
        Example(
            ids=tuple(x + z),
            scored=tuple(range(len(x), len(x) + len(z))),
            weight=weight,
            hints=((35, 36, 37),),
            hint_at=len(x),
            seed=index,
            columns=columns(len(z), generator),
        )
        for index, ((x, z), weight) in enumerate(zip(rows, weights, strict=True))
    ]


def several_hints(rows: list) -> list:
    """None to three hints."""
    return [replace(row, hints=tuple((35, 36, 37 + k) for k in range(i % 4))) for i, row in enumerate(rows)]


def columns(length: int, generator: torch.Generator) -> dict[str, list[float]]:
    """What policy gradients and critics read; old log-probabilities near those of a random model, log(1/258)."""
    drawn = torch.randn((4, length), generator=generator)
    return {
        "advantage": drawn[0].tolist(),
        "old_logprob": (drawn[1] * 0.3 - 5.5).tolist(),
        "value": (drawn[2] * 0.1).tolist(),
        "return": drawn[3].tolist(),
    }


def build_learner(kind: type, config: "RLConfig", task: str, critic: bool) -> "Learner":
    """A policy with the objective that the flags name, or the critic; `task` names something else to train."""
    from openrlhf.methods.dpo import DpoObjective
    from openrlhf.methods.rm import RewardObjective
    from openrlhf.objectives.likelihood import LikelihoodObjective
    from openrlhf.objectives.value import ValueObjective
    from openrlhf.trainer.frozen import FrozenActor
    from openrlhf.trainer.networks import trainable_actor, trainable_scalar
    from openrlhf.trainer.posterior import supply_frozen_models

    path = str(config.model.pretrain)
    if task == "reward":
        network = trainable_scalar(path, config, head_prefix="score", at_predictors=False)
        return kind(config, network, RewardObjective(), 1e-2)
    if critic:
        network = trainable_scalar(path, config, head_prefix="score", at_predictors=True)
        return kind(config, network, ValueObjective(config.critic.value_clip), 1e-2)
    # a small β, so that the large steps here do not saturate the loss
    objective = {"sft": LikelihoodObjective(), "dpo": DpoObjective(0.01, nll_coef=0.1)}.get(task)
    objective = objective or config.method.objective(config)
    learner = kind(config, trainable_actor(path, config), objective, 1e-2)
    supply_frozen_models(learner, config, 0)
    if objective.needs_reference and learner.reference is None:  # elsewhere on ranks of its own
        learner.reference = FrozenActor(path, config, 0)
    return learner


def run(settings: dict, rank: int, world_size: int) -> dict:
    """One learner from the start: its losses, and the last step's gradient and norm."""
    from deepspeed.utils import safe_get_full_grad

    from openrlhf.trainer.batching import split_over_ranks
    from openrlhf.trainer.checkpoint import find_saved
    from openrlhf.trainer.learner import Learner
    from openrlhf.trainer.rank_checkpoint import load_learner, save_learner
    from openrlhf.trainer.state import TrainerState

    class Recorder(Learner):
        """Keeps the full gradient that the optimiser sees, and its norm."""

        def _update(self) -> float:
            named = [(n, p) for n, p in self.network.pretrained.named_parameters() if p.requires_grad]
            self.gradients = {name: safe_get_full_grad(p).float().cpu().clone() for name, p in named}
            self.norm = super()._update()
            return self.norm

    options = dict(settings)
    micro, steps, count = options.pop("micro", 7), options.pop("steps", 1), options.pop("count", 7)
    checkpoint, resume = options.pop("checkpoint", None), options.pop("resume", False)
    task, naps, several = options.pop("task", ""), options.pop("naps", False), options.pop("several", False)
    method = options.pop("advantage_estimator", "intro")
    critic = method == "critic"
    config = rl_config(**{"method": "gae" if critic else method, **FLAGS, **options})
    learner = build_learner(Recorder, config, task, critic)
    first = 0
    if resume:
        saved = find_saved([Path(checkpoint)], TrainerState)
        assert saved is not None
        load_learner(learner, checkpoint, saved.tag)
        first = saved.state.step
    losses = []
    for step in range(first, steps):
        rows, objective = examples(count), learner.objective
        if several:
            rows = several_hints(rows)
        if task:
            rows = objective.weighted(rows)
        budget = config.optimizer.max_tokens_per_micro_batch
        shares = split_over_ranks(
            rows, world_size, micro, objective.rows_per_sample, config.model.ring_attn_size, budget
        )
        tally = learner.train_step(shares[rank], 1e-2, figures={"kl_coef": FLAGS["init_kl_coef"]})
        total = torch.tensor([tally.totals["loss"]], dtype=torch.float64)
        dist.all_reduce(total)
        losses.append(float(total) / config.model.ring_attn_size)  # ranks that share rows have the same loss
        if naps:
            nap(learner)
        if checkpoint and not resume and step == 0:
            save_learner(learner, checkpoint, 1, {"step": 1}, keep=2)
    return {"losses": losses, "gradients": learner.gradients, "norm": learner.norm}


def nap(learner: "Learner") -> None:
    """Sleeps and wakes; whatever still read the memory that was given up would read NaN."""
    own = sum(p.ds_tensor.numel() for p in learner.network.parameters() if p.requires_grad)
    assert sum(tensor.numel() for tensor in learner.optimizer_tensors()) == 3 * own
    given_up = [tensor.data for tensor in learner.optimizer_tensors()]
    learner.sleep()
    for tensor in given_up:
        tensor.fill_(float("nan"))
    learner.wake()


if __name__ == "__main__":
    run_as_rank(run)
