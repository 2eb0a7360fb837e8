"""The loop of training on fixed data: every process runs it on its own share of each batch, whatever the objective."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch.distributed as dist

from openrlhf.config.offline import OfflineConfig
from openrlhf.config.schedule import learning_rate, warmup_steps
from openrlhf.datasets.sampler import EpochSampler
from openrlhf.experience.example import Example
from openrlhf.models.saving import save_pretrained
from openrlhf.trainer.batching import split_over_ranks
from openrlhf.trainer.checkpoint import UNSAVED, limit_size, rotate_hf_copies, tag_of
from openrlhf.trainer.learner import Learner
from openrlhf.trainer.rank_checkpoint import load_learner, save_learner
from openrlhf.trainer.resuming import Start
from openrlhf.trainer.run_log import Progress, RunLog, is_due
from openrlhf.trainer.state import OfflineState
from openrlhf.utils import signals
from openrlhf.utils.tally import Tally


class OfflineTrainer:
    """Batches of `train_batch_size` samples over all ranks.

    samples, held_out: the rows of each sample (one, or two of a pair); weights are set anew for every batch.
    start: where the run begins, at its beginning or at a checkpoint.
    """

    def __init__(
        self,
        config: OfflineConfig,
        learner: Learner,
        tokenizer: Any,
        samples: Sequence[Sequence[Example]],
        held_out: Sequence[Sequence[Example]],
        start: Start[OfflineState],
    ) -> None:
        self.config = config
        self.learner = learner
        self.objective = learner.objective
        self.tokenizer = tokenizer
        self.samples = samples
        self.held_out = held_out
        optimizer = config.optimizer
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self.sampler = EpochSampler(
            len(samples), optimizer.train_batch_size, seed=optimizer.seed, epochs=optimizer.max_epochs
        )
        self.total_steps = len(self.sampler)
        self.warmup = warmup_steps(self.total_steps, optimizer.lr_warmup_ratio)
        self.start, self.state = start, start.state
        self.signal: int | None = None

    def train(self) -> None:
        """Runs to the end and saves the model to `save_path`."""
        if self.config.checkpoint.save_on_signal:
            signals.defer()
        if self.start.tag is not None:
            load_learner(self.learner, self.config.checkpoint.ckpt_path, self.start.tag)
            self.sampler.load_state_dict(self.state.sampler)
        log = RunLog(self.config) if self.rank == 0 else None
        if log is not None:
            log.truncate_to(self.state.step if self.state.step else -1)
        progress = Progress(self.total_steps, self.state.step, quiet=self.rank != 0)
        for indices in self.sampler:
            rate = self._rate()
            with progress.phase("train"):
                metrics = self._update([self.samples[i] for i in indices], rate)
            self.state.step += 1
            step = self.state.step
            if self.held_out and (is_due(step, self.config.logging.eval_steps) or step == self.total_steps):
                with progress.phase("evaluate"):
                    metrics.update({f"eval/{k}": value for k, value in self._evaluate(self.held_out).items()})
            progress.step(f"loss {metrics['train/loss']:.4g}, lr {rate:.3g}", every=self.config.logging.logging_steps)
            if log is not None and is_due(step, self.config.logging.logging_steps):
                log.metrics(step, metrics)
            due = is_due(step, self.config.checkpoint.save_steps)
            if due or self.signal is not None:
                self._save()
            if self.signal is not None:
                raise signals.Stopped(self.signal)
        progress.close()
        settings = self.config.checkpoint
        self.save_model(Path(settings.save_path), Path(settings.ckpt_path) / UNSAVED)
        if log is not None:
            log.close()

    def _rate(self) -> float:
        optimizer = self.config.optimizer
        return learning_rate(
            self.state.step,
            total_steps=self.total_steps,
            warmup=self.warmup,
            peak=optimizer.learning_rate,
            min_ratio=optimizer.lr_min_ratio,
            name=optimizer.lr_scheduler,
        )

    def _update(self, batch: Sequence[Sequence[Example]], rate: float) -> dict[str, float]:
        tally = self._over_ranks(self.learner.train_step(self._share(batch), rate))
        figures = self.objective.figures(tally)
        for name in ("loss", *self.objective.running_means):
            old = self.state.running.get(name, figures[name])
            self.state.running[name] = 0.9 * old + 0.1 * figures[name]
        figures["lr"] = rate
        figures["grad_norm"] = figures.pop("grad_norm_max")
        figures["batch_tokens"] = figures.pop("trained_tokens")
        figures.update({f"{name}_mean": value for name, value in self.state.running.items()})
        return {f"train/{name}": value for name, value in figures.items()}

    def _evaluate(self, samples: Sequence[Sequence[Example]]) -> dict[str, float]:
        return self.objective.figures(self._over_ranks(self.learner.evaluate(self._share(samples))))

    def _share(self, batch: Sequence[Sequence[Example]]) -> list[list[Example]]:
        """This rank's micro-batches, weighted over the whole batch."""
        weighted = self.objective.weighted([example for sample in batch for example in sample])
        optimizer, rows = self.config.optimizer, self.objective.rows_per_sample
        size, budget = optimizer.micro_train_batch_size, optimizer.max_tokens_per_micro_batch
        return split_over_ranks(weighted, self.world_size, size, rows, self.config.model.ring_attn_size, budget)[
            self.rank
        ]

    def _over_ranks(self, tally: Tally) -> Tally:
        """The sum over all ranks, on every rank; ranks that share their rows have tallied the same.

        A signal that one of them kept becomes known to all, so that they end after the same step.
        """
        parts: list[tuple[Tally, int | None]] = [(Tally(), None)] * self.world_size
        dist.all_gather_object(parts, (tally, signals.requested()))
        total = Tally()
        for part, _ in parts[:: self.config.model.ring_attn_size]:
            total.merge(part)
        self.signal = next((number for _, number in parts if number is not None), self.signal)
        return total

    def _save(self) -> None:
        self.state.sampler = self.sampler.state_dict()
        settings = self.config.checkpoint
        parent = Path(settings.ckpt_path)
        if not settings.disable_ds_ckpt:
            save_learner(self.learner, str(parent), self.state.step, asdict(self.state), settings.max_ckpt_num)
        if settings.save_hf_ckpt:
            copy = parent / f"{tag_of(self.state.step)}_hf"
            self.save_model(copy)
            if self.rank == 0:
                rotate_hf_copies(parent, settings.max_ckpt_num, self.state.step)
        if self.rank == 0 and parent.is_dir():
            limit_size(parent, settings.max_ckpt_mem, self.state.step)

    def save_model(self, folder: Path, fallback: Path | None = None) -> None:
        if self.objective.config_figures:
            figures = self._evaluate(self.held_out or self.samples)
            for key, name in self.objective.config_figures.items():
                setattr(self.learner.network.config, key, figures[name])
        source = str(self.config.model.pretrain)
        save_pretrained(self.learner.network, self.tokenizer, folder, source=source, fallback=fallback)
