"""The loop of reinforcement learning, in one process: everything heavy happens in the roles that it calls."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openrlhf.config.plan import Plan
from openrlhf.datasets.prompts import Prompt
from openrlhf.datasets.sampler import EpochSampler
from openrlhf.rollout.engine import RolloutEngine, Sampling
from openrlhf.trainer.checkpoint import tag_of
from openrlhf.trainer.intro_batches import examples, train_batches
from openrlhf.trainer.intro_metrics import rollout_metrics, update_metrics
from openrlhf.trainer.ray.policy_group import PolicyGroup
from openrlhf.trainer.rl_evaluation import Evaluator
from openrlhf.trainer.rollouts import Rollout, RolloutMaker
from openrlhf.trainer.run_log import Progress, RunLog
from openrlhf.utils.tally import Tally


@dataclass
class TrainerState:
    """All that the loop remembers between steps; saved with every checkpoint.

    step: rollout batches done. optimizer_steps: moves the schedule, also for batches without a kept rationale.
    """

    step: int = 0
    optimizer_steps: int = 0
    skipped_steps: int = 0
    consumed_samples: int = 0
    sampler: dict[str, int] = dataclasses.field(default_factory=dict)


class RLTrainer:
    """prompts → rollouts → grades → kept rationales → update → weight sync → logs → checkpoint → evaluation."""

    def __init__(
        self,
        args: Any,
        plan: Plan,
        *,
        prompts: list[Prompt],
        tokenizer: Any,
        policy: PolicyGroup,
        engines: RolloutEngine,
        rollouts: RolloutMaker,
        evaluator: Evaluator,
        log: RunLog,
        state: TrainerState,
    ) -> None:
        self.args = args
        self.plan = plan
        self.prompts = prompts
        self.tokenizer = tokenizer
        self.policy = policy
        self.engines = engines
        self.rollouts = rollouts
        self.evaluator = evaluator
        self.log = log
        self.state = state
        self.sampler = EpochSampler(len(prompts), args.rollout_batch_size, seed=args.seed, epochs=args.num_episodes)
        if state.sampler:
            self.sampler.load_state_dict(state.sampler)
        self.sampling = Sampling(temperature=args.temperature, top_p=args.top_p, max_new_tokens=args.generate_max_len)
        self.progress = Progress(plan.steps, state.step)

    def train(self) -> None:
        """Runs to the end of the plan and saves the model."""
        if self.state.step:
            self.sync_weights()  # the engines started from --pretrain
        elif self.args.eval_steps > 0:
            self.log.metrics(0, self.evaluator.evaluate(0))
        for indices in self.sampler:
            self.state.step += 1
            self.step([self.prompts[index] for index in indices])
        self.progress.close()
        self.policy.call("save_model", self.args.save_path)
        self.log.close()

    def step(self, prompts: list[Prompt]) -> None:
        step = self.state.step
        with self.progress.phase("generate"):
            rollouts = self.rollouts.make(
                prompts,
                self.args.n_samples_per_prompt,
                self.sampling,
                purpose="rollout",
                step=step,
                on_progress=lambda count: self.progress.detail(f"{count} rationales"),
            )
        metrics = rollout_metrics(rollouts)
        with self.progress.phase("train"):
            if self.args.vllm_enable_sleep:
                self.engines.sleep()  # colocated engines give their memory to the update
            metrics.update(self.update(rollouts))
        with self.progress.phase("sync"):
            if self.args.vllm_enable_sleep:
                self.engines.wake()
            metrics.update(self.sync_weights())
        metrics.update(self.evaluate(step))
        self.report(metrics, rollouts)
        if due(step, self.args.save_steps):
            self.save(step)

    def update(self, rollouts: list[Rollout]) -> dict[str, float]:
        """Optimiser steps over the kept rationales; a batch without any moves the schedule and nothing else."""
        tallies: list[Tally] = []
        skipped = 0
        batches = train_batches(
            rollouts, self.args.train_batch_size, seed=self.args.seed, step=self.state.step, epochs=self.args.max_epochs
        )
        for batch in batches:
            rate = self.plan.learning_rate(self.state.optimizer_steps)
            kept = examples(
                batch,
                self.tokenizer,
                answer_template=self.args.intro_answer_template,
                aggregation=self.args.intro_loss_aggregation,
                seed=self.args.seed,
                step=self.state.step,
                on_policy=not tallies,
            )
            if kept:
                tallies.append(self.policy.train_step(kept, rate))
            else:
                skipped += 1
            self.state.optimizer_steps += 1
        self.state.skipped_steps += skipped
        self.state.consumed_samples += len(rollouts)
        return update_metrics(tallies, rate, skipped, self.state.skipped_steps)

    def sync_weights(self) -> dict[str, float]:
        """In place, from the shards of the policy to every engine."""
        report = self.policy.call("sync_weights")[0]
        return {f"sync/{name}": value for name, value in report.items()}

    def evaluate(self, step: int) -> dict[str, float]:
        metrics: dict[str, float] = {}
        if due(step, self.args.hinted_eval_steps) or due(step, self.args.eval_steps):
            with self.progress.phase("evaluate"):
                if due(step, self.args.hinted_eval_steps):
                    metrics.update(self.evaluator.evaluate_hinted(step))
                if due(step, self.args.eval_steps):
                    metrics.update(self.evaluator.evaluate(step))
        return metrics

    def report(self, metrics: dict[str, float], rollouts: list[Rollout]) -> None:
        seconds = self.progress.step(summary(metrics))
        generated = sum(len(rollout.token_ids) for rollout in rollouts)
        metrics["perf/generate_tokens_per_s"] = generated / seconds["generate"]
        metrics["perf/train_tokens_per_s"] = metrics.pop("trained_tokens", 0.0) / seconds["train"]
        metrics.update({f"time/{phase}_s": value for phase, value in seconds.items()})
        if due(self.state.step, self.args.logging_steps):
            self.log.metrics(self.state.step, metrics)
        self.log.samples(self.state.step, rollouts[: self.args.num_sample_rationales])

    def save(self, step: int) -> None:
        """A checkpoint to continue from, and with --save_hf_ckpt a copy in Hugging Face format."""
        self.state.sampler = self.sampler.state_dict()
        if not self.args.disable_ds_ckpt:
            folder = str(Path(self.args.ckpt_path) / "_actor")
            self.policy.call("save_checkpoint", folder, step, dataclasses.asdict(self.state))
        if self.args.save_hf_ckpt:
            copy = str(Path(self.args.ckpt_path) / f"{tag_of(step)}_hf")
            self.policy.call("save_model", copy, self.args.max_ckpt_num)


def due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def summary(metrics: dict[str, float]) -> str:
    """What a user watches, in one line."""
    shown = {
        "acc": "train/accuracy",
        "kept": "train/kept_share",
        "len": "train/response_length",
        "loss": "train/policy_loss",
        "KL(p‖q)": "train/kl_posterior",
        "hinted": "train/hinted_accuracy",
        "eval": "eval/accuracy",
    }
    parts = [
        f"{label} {metrics[name]:.3g}" for label, name in shown.items() if math.isfinite(metrics.get(name, math.nan))
    ]
    if metrics.get("train/skipped_steps"):
        parts.append(f"skipped {metrics['train/skipped_steps']:.0f}")
    if metrics.get("train/reward_failures"):
        parts.append(f"ungraded {metrics['train/reward_failures']:.0f}")
    return ", ".join(parts)
