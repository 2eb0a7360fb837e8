"""The loop of reinforcement learning, in one process: everything heavy happens in the roles that it calls."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openrlhf.config.plan import Plan
from openrlhf.datasets.sampler import EpochSampler
from openrlhf.errors import UserError
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.methods.base import method_of
from openrlhf.rollout.engine import Sampling
from openrlhf.trainer.anomalies import AnomalyWatch
from openrlhf.trainer.assembly import Assembler, train_batches
from openrlhf.trainer.checkpoint import checkpoint_folders, find_saved, rotate_checkpoints
from openrlhf.trainer.gpu_memory import GpuMemory
from openrlhf.trainer.kl_controller import adapted
from openrlhf.trainer.pretraining import Pretraining
from openrlhf.trainer.rl_evaluation import Evaluator
from openrlhf.trainer.rl_metrics import critic_metrics, rollout_metrics, summary, update_metrics, version_lag
from openrlhf.trainer.role_group import RoleGroup
from openrlhf.trainer.rollout_maker import RolloutMaker
from openrlhf.trainer.rollout_queue import AHEAD_FILE, Batch, RolloutQueue, written
from openrlhf.trainer.run_log import Progress, RunLog, is_due
from openrlhf.trainer.state import TrainerState
from openrlhf.utils import signals
from openrlhf.utils.console import note
from openrlhf.utils.tally import Tally

ROLLBACKS, ROLLBACK_RATE = 3, 0.5  # how often, and what becomes of the rates each time


@dataclass(frozen=True)
class Roles:
    """Who does what. critic: only for methods that need one. pretraining: only with --pretrain_data.

    memory: says when who may use the GPUs. heal: replaces engines that died, and says whether there were any.
    """

    policy: RoleGroup
    critic: RoleGroup | None
    memory: GpuMemory
    rollouts: RolloutMaker
    assembler: Assembler
    evaluator: Evaluator
    pretraining: Pretraining | None = None
    heal: Callable[[], bool] = lambda: False


class RLTrainer:
    """prompts → rollouts → rewards → old log-probabilities, reference, values, advantages → update → weight sync →
    logs → checkpoint → evaluation."""

    def __init__(
        self,
        plan: Plan,
        *,
        prompts: list[Prompt],
        roles: Roles,
        log: RunLog,
        state: TrainerState,
        waiting: Sequence[Batch] = (),
    ) -> None:
        """waiting: rollouts that a checkpoint holds for the steps behind it."""
        self.plan = plan
        self.config = plan.config
        self.objective = method_of(plan.config).objective(plan.config)  # here only to name what the ranks tallied
        self.prompts = prompts
        self.roles = roles
        self.log = log
        self.state = state
        rollout, seed = self.config.rollout, self.config.optimizer.seed
        self.sampler = EpochSampler(len(prompts), rollout.rollout_batch_size, seed=seed, epochs=rollout.num_episodes)
        if state.sampler:
            self.sampler.load_state_dict(state.sampler)
        self.sampling = Sampling(
            temperature=rollout.temperature,
            top_p=rollout.top_p,
            max_new_tokens=rollout.generate_max_len,
            stop=rollout.stop,
        )
        self.queue = RolloutQueue(self.make, self.sampler, rollout.rollout_ahead, state.step, waiting)
        self.progress = Progress(plan.steps, state.step)
        self.watch = AnomalyWatch()

    def train(self) -> None:
        """Runs to the end of the plan and saves the model."""
        if self.config.checkpoint.save_on_signal:
            signals.defer()
        if self.state.step:
            self.roles.memory.enter("sync")
            self.sync_weights()  # the engines started from --pretrain
        self.roles.memory.enter("generate")
        if not self.state.step and self.config.logging.eval_steps > 0:
            self.log.metrics(0, self.roles.evaluator.evaluate(0))
        while (batch := self.next_batch()) is not None:
            self.state.step += 1
            self.step(batch)
            if self.state.step == self.roles.rollouts.last_step:
                break
            if (number := signals.requested()) is not None:
                if not is_due(self.state.step, self.config.checkpoint.save_steps):
                    self.save(self.state.step)
                raise signals.Stopped(number)
        self.progress.close()
        folder = self.config.checkpoint.save_path
        self.roles.policy.call("save_model", folder)
        if self.roles.critic is not None and self.config.critic.save_value_network:
            self.roles.critic.call("save_model", f"{folder}_critic")
        self.log.close()

    def make(self, indices: Sequence[int], step: int) -> list[Rollout]:
        """The rollouts of a step."""
        return self.roles.rollouts.make(
            [self.prompts[index] for index in indices],
            self.config.rollout.n_samples_per_prompt,
            self.sampling,
            purpose="rollout",
            step=step,
            on_progress=lambda count: self.progress.detail(f"{count} rationales"),
        )

    def next_batch(self) -> Batch | None:
        with self.progress.phase("generate"):
            return self.queue.take()

    def step(self, batch: Batch) -> None:
        step, rollouts = self.state.step, batch.rollouts
        self.queue.begin()
        memory = self.roles.memory
        with self.progress.phase("train"):
            memory.enter("score")
            prepared, figures = self.roles.assembler.prepare(rollouts, step, self.state.kl_coef)
            metrics = {**rollout_metrics(prepared), **figures, **self.roles.rollouts.figures(step)}
            memory.enter("update")
            metrics.update(self.update(prepared))
        if self.config.rollout.rollout_ahead:
            metrics["train/version_lag"] = version_lag(rollouts, step)
        if "train/kl" in metrics:
            target = self.config.kl.kl_target
            self.state.kl_coef = adapted(self.state.kl_coef, metrics["train/kl"], target, len(rollouts))
        if not self.config.rollout.updates_in_flight:
            self.settle()
        with self.progress.phase("sync"):
            memory.enter("sync")
            metrics.update(self.sync_weights())
            memory.enter("generate")
        metrics.update(self.evaluate(step))
        self.report(metrics, dataclasses.replace(batch, rollouts=prepared))
        wrong = self.watch.look(metrics)
        if wrong and self.mend(step, wrong):
            return
        if is_due(step, self.config.checkpoint.save_steps):
            self.save(step)

    def settle(self) -> list[Batch]:
        """Waits for what engines are still writing; the batches that wait for their steps."""
        with self.progress.phase("generate"):
            return self.queue.settle()

    def mend(self, step: int, wrong: Sequence[str]) -> bool:
        """Does what --on_anomaly says; whether the step was taken back.

        A step that was taken back has used up its prompts and its place in the schedule: the same step would only end
        the same way.
        """
        action, said = self.config.policy.on_anomaly, f"step {step}: {'; '.join(wrong)}"
        if action == "warn":
            note(f"{said}.", step)
            return False
        saved = find_saved(checkpoint_folders(self.config), TrainerState)
        if action == "stop" or saved is None or self.state.rollbacks == ROLLBACKS:
            latest = f"the latest checkpoint is {saved.tag}" if saved else "there is no checkpoint"
            raise UserError(f"{said}; {latest} (--on_anomaly {action})")
        note(f"{said}: back to {saved.tag}, with half the rate.", step)
        self.roles.memory.enter("update")
        groups = [group for group in (self.roles.policy, self.roles.critic) if group is not None]
        for group, folder in zip(groups, checkpoint_folders(self.config), strict=True):
            group.call("load_checkpoint", str(folder), saved.tag)
        self.state.kl_coef, self.state.rollbacks = saved.state.kl_coef, self.state.rollbacks + 1
        self.roles.memory.enter("sync")
        self.sync_weights()
        self.roles.memory.enter("generate")
        return True

    def update(self, rollouts: list[Rollout]) -> dict[str, float]:
        """Optimiser steps of policy and critic; a batch with nothing to train on moves the schedule and nothing else.

        While --freezing_actor_steps lasts, the critic trains alone.
        """
        optimizer, step = self.config.optimizer, self.state.step
        frozen = step <= self.config.critic.freezing_actor_steps
        loss_figures = {"kl_coef": self.state.kl_coef}
        policy_tallies: list[Tally] = []
        critic_tallies: list[Tally] = []
        skipped = 0
        batches = train_batches(
            rollouts, optimizer.train_batch_size, seed=optimizer.seed, step=step, epochs=optimizer.max_epochs
        )
        for batch in batches:
            number = self.state.optimizer_steps
            less = ROLLBACK_RATE**self.state.rollbacks
            rate, critic_rate = less * self.plan.learning_rate(number), less * self.plan.critic_learning_rate(number)
            examples = self.roles.assembler.examples(batch, step, first=not policy_tallies)
            pending = []
            if examples and self.roles.critic is not None:
                pending.append((critic_tallies, self.roles.critic.begin_train_step(examples, critic_rate)))
            if examples and not frozen:
                texts = self.roles.pretraining.examples(number) if self.roles.pretraining else ()
                begun = self.roles.policy.begin_train_step(examples, rate, loss_figures, pretraining=texts)
                pending.append((policy_tallies, begun))
            for tallies, finish in pending:
                tallies.append(finish())
            skipped += not examples
            self.state.optimizer_steps += 1
        self.state.skipped_steps += skipped
        self.state.consumed_samples += len(rollouts)
        metrics = update_metrics(self.objective, policy_tallies, rate, skipped, self.state.skipped_steps)
        return metrics | critic_metrics(critic_tallies, critic_rate)

    def sync_weights(self) -> dict[str, float]:
        """In place, from the shards of the policy to every engine."""
        if self.config.engines == 0:
            return {}
        try:
            report = self.roles.policy.call("sync_weights", self.state.step)[0]
        except RuntimeError:
            if not self.roles.heal():
                raise
            report = self.roles.policy.call("sync_weights", self.state.step)[0]
        return {f"sync/{name}": value for name, value in report.items()}

    def evaluate(self, step: int) -> dict[str, float]:
        if not self.roles.evaluator.is_due(step):
            return {}
        self.settle()
        with self.progress.phase("evaluate"):
            return self.roles.evaluator.at(step)

    def report(self, metrics: dict[str, float], batch: Batch) -> None:
        seconds = self.progress.step(summary(metrics))
        generated = sum(len(rollout.token_ids) for rollout in batch.rollouts)
        metrics["perf/generate_tokens_per_s"] = generated / batch.seconds
        metrics["perf/train_tokens_per_s"] = metrics.pop("trained_tokens", 0.0) / seconds["train"]
        metrics.update({f"time/{phase}_s": value for phase, value in seconds.items()})
        if is_due(self.state.step, self.config.logging.logging_steps):
            self.log.metrics(self.state.step, metrics)
        self.log.rollouts(self.state.step, batch.rollouts, self.config.evaluation.num_sample_rationales)

    def save(self, step: int) -> None:
        """A checkpoint to continue from, and with --save_hf_ckpt a copy in Hugging Face format."""
        waiting = self.settle()
        self.state.sampler = self.sampler.state_dict()
        files = {AHEAD_FILE: written(waiting)} if waiting else {}
        settings, critic = self.config.checkpoint, self.roles.critic
        parent = Path(settings.ckpt_path)
        if not settings.disable_ds_ckpt:
            # The policy's checkpoint says which step is the latest: the critic's must be there before it, and older
            # ones may go only behind it.
            if critic is not None:
                critic.call("save_checkpoint", str(parent / "_critic"), step, self.state.run, 0)
            self.roles.policy.call(
                "save_checkpoint", str(parent / "_actor"), step, dataclasses.asdict(self.state), files
            )
            if critic is not None:
                rotate_checkpoints(parent / "_critic", settings.max_ckpt_num, step, self.state.run)
        if settings.save_hf_ckpt:
            self.roles.policy.call("save_hf_copy", str(parent), step)
