"""A learner's state on disk: what each rank holds, and the loop's own state as JSON."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist

from openrlhf.errors import UserError
from openrlhf.trainer.checkpoint import Record, publish_checkpoint, tag_of
from openrlhf.trainer.deepspeed_setup import sharding_stage
from openrlhf.trainer.learner import Learner
from openrlhf.trainer.resuming import settings_of
from openrlhf.trainer.shards import read_pieces, write_pieces
from openrlhf.utils.atomic import partial

_OPTIMIZER = "optimizer"


def save_learner(
    learner: Learner, parent: str, step: int, state: dict[str, Any], keep: int, files: Mapping[str, str] = {}
) -> None:
    """Collective: writes {parent}/global_step{step}, makes it the latest, and removes the oldest beyond `keep`.

    state: the loop's own, with `run`, whose checkpoint this is. keep: 0 keeps all. files: further ones by name, with
    their texts.
    """
    folder = partial(Path(parent) / tag_of(step))
    first = dist.get_rank() == 0
    if first:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    dist.barrier()
    rank, held = dist.get_rank(), learner.state
    if first or not held.replicated:
        write_pieces(folder, _OPTIMIZER, rank, held.pieces(), {"steps": held.steps})
    if first or sharding_stage(learner.config) == 3:
        for kind, average in learner.averages().items():
            write_pieces(folder, kind, rank, average.pieces())
    dist.barrier()
    if first:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        run = state.get("run", "")
        Record(run, state, settings_of(learner.config), dist.get_world_size()).write(folder)
        publish_checkpoint(Path(parent), step, keep, run)
    dist.barrier()


def load_learner(learner: Learner, parent: str, tag: str) -> None:
    """Collective. Written by as many ranks and with whatever ZeRO stage: each takes its share of what is there.

    Raises:
        UserError: a file is damaged, or is of a version that kept DeepSpeed's own files.
    """
    folder, rank = Path(parent) / tag, dist.get_rank()
    try:
        notes = read_pieces(folder, _OPTIMIZER, rank, learner.state.pieces())
        for kind, average in learner.averages().items():
            read_pieces(folder, kind, rank, average.pieces())
    except ValueError as error:
        raise UserError(f"the checkpoint {folder} cannot be used: {error}: start anew with --overwrite") from None
    learner.state.steps = int(notes["steps"])
    learner.publish()
