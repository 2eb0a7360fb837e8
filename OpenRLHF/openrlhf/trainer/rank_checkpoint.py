"""A learner's state on disk: DeepSpeed's shards, the posterior's, and the loop's own state as JSON."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist

from openrlhf.trainer.checkpoint import Record, publish_checkpoint, tag_of
from openrlhf.trainer.learner import Learner
from openrlhf.trainer.resuming import settings_of
from openrlhf.utils.atomic import partial


def save_learner(
    learner: Learner,
    parent: str,
    step: int,
    state: dict[str, Any],
    keep: int,
    more: Sequence[Callable[[Path], None]] = (),
) -> None:
    """Collective: writes {parent}/global_step{step}, makes it the latest, and removes the oldest beyond `keep`.

    state: the loop's own, with `run`, whose checkpoint this is. keep: 0 keeps all. more: write further files of this
    rank into the folder.
    """
    folder = partial(Path(parent) / tag_of(step))
    first = dist.get_rank() == 0
    if first:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    dist.barrier()
    learner.engine.save_checkpoint(parent, tag=folder.name, save_latest=False)
    if learner.posterior is not None:
        learner.posterior.save(folder, dist.get_rank())
    for write in more:
        write(folder)
    dist.barrier()
    if first:
        run = state.get("run", "")
        Record(run, state, settings_of(learner.config), dist.get_world_size()).write(folder)
        publish_checkpoint(Path(parent), step, keep, run)
    dist.barrier()


def load_learner(learner: Learner, parent: str, tag: str) -> None:
    """Collective. Only checkpoints that you wrote yourself: DeepSpeed unpickles its files."""
    # Weights of 4 bits have entries of their own in the file, but cannot take them back; they never change anyway.
    loaded, _ = learner.engine.load_checkpoint(parent, tag, load_module_strict=not learner.config.model.load_in_4bit)
    if loaded is None:
        raise RuntimeError(f"DeepSpeed found no checkpoint {tag} in {parent}")
    if learner.posterior is not None:
        learner.posterior.load(Path(parent) / tag, dist.get_rank())
