"""One rank of the policy: trains, sends weights to the engines, saves. Ray wraps this class; tests need not."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from openrlhf.models.loader import load_tokenizer
from openrlhf.models.parameters import FullParameters
from openrlhf.models.saving import save_pretrained
from openrlhf.objectives.rl import rl_objective
from openrlhf.trainer.batching import Example
from openrlhf.trainer.checkpoint import rotate_hf_copies
from openrlhf.trainer.deepspeed_setup import init_process_group
from openrlhf.trainer.learner import Learner
from openrlhf.trainer.networks import trainable_actor
from openrlhf.trainer.posterior import supply_frozen_models
from openrlhf.trainer.rank_checkpoint import load_learner, save_learner
from openrlhf.utils.network import free_port
from openrlhf.utils.tally import Tally


class PolicyWorker:
    """Construct on every rank, ask rank 0 for its `address`, then call `setup` on all ranks at once."""

    def __init__(self, args: Any, rank: int, world_size: int) -> None:
        self.args = args
        self.rank = rank
        self.world_size = world_size

    def address(self) -> tuple[str, int, bool]:
        """Host and free port for the process group, and whether this rank has a GPU."""
        try:
            import ray

            host = ray.util.get_node_ip_address()
        except (ImportError, RuntimeError, ConnectionError):
            host = socket.gethostbyname("localhost")
        return host, free_port(host), torch.cuda.is_available()

    def setup(self, host: str, port: int) -> None:
        """Joins the process group and loads the model."""
        os.environ.update(
            MASTER_ADDR=host,
            MASTER_PORT=str(port),
            RANK=str(self.rank),
            WORLD_SIZE=str(self.world_size),
            LOCAL_RANK="0",
        )
        if self.args.full_determinism:
            from transformers import enable_full_determinism

            enable_full_determinism(self.args.seed)
        init_process_group()
        self.tokenizer = load_tokenizer(self.args.pretrain, use_fast=not self.args.disable_fast_tokenizer)
        actor = trainable_actor(self.args.pretrain, self.args, self.tokenizer.pad_token_id)
        self.learner = Learner(self.args, actor, rl_objective(self.args), self.args.actor_learning_rate)
        supply_frozen_models(self.learner, self.args, self.tokenizer.pad_token_id)

    def train_step(self, micro_batches: Sequence[Sequence[Example]], learning_rate: float) -> Tally:
        return self.learner.train_step(micro_batches, learning_rate)

    def connect_engines(self, engines: Sequence[Any], backend: str, timeout: float) -> None:
        """Collective: builds the channel through which weights reach the engines (Ray actor handles)."""
        from openrlhf.rollout.weight_sync import WeightSender

        self.sender = WeightSender(
            rank=self.rank,
            backend=backend,
            engines=engines,
            source=FullParameters(self.learner.network),
            timeout_s=timeout,
        )
        self.sender.connect()

    def sync_weights(self) -> dict[str, float]:
        """Collective: sends all weights in place and compares checksums; returns what was measured on rank 0."""
        report = self.sender.send()
        return {"seconds": report.seconds, "mib": report.nbytes / 2**20, "compared": float(report.compared)}

    def save_checkpoint(self, parent: str, step: int, state: dict[str, Any]) -> None:
        save_learner(self.learner, parent, step, state, self.args.max_ckpt_num)

    def load_checkpoint(self, parent: str, tag: str) -> None:
        load_learner(self.learner, parent, tag)

    def save_model(self, folder: str, hf_copies_kept: int = 0) -> None:
        """Collective: a plain Hugging Face folder. `hf_copies_kept` > 0 removes older `_hf` copies beside it."""
        save_pretrained(self.learner.network, self.tokenizer, Path(folder), source=self.args.pretrain)
        if self.rank == 0 and hf_copies_kept > 0:
            rotate_hf_copies(Path(folder).parent, hf_copies_kept)
