"""What the ranks of every role have in common. Ray wraps these classes; tests need not."""

import os
import socket
from abc import ABC, abstractmethod

import torch

from openrlhf.config.reinforcement import RLConfig
from openrlhf.experience.example import MicroBatches
from openrlhf.models.loader import load_config, load_tokenizer
from openrlhf.trainer.deepspeed_setup import init_process_group, release_memory
from openrlhf.utils.network import free_port
from openrlhf.utils.ray_connection import see_own_gpus
from openrlhf.utils.threads import set_threads

# For every example of every micro-batch, one number per scored token.
TokenValues = list[list[list[float]]]


class Worker(ABC):
    """One rank of a role. Construct on every rank, ask rank 0 for its `address`, then `setup` all ranks at once."""

    def __init__(self, config: RLConfig, rank: int, world_size: int) -> None:
        see_own_gpus()
        self.config = config
        self.rank = rank
        self.world_size = world_size

    def has_cuda(self) -> bool:
        return torch.cuda.is_available()

    def address(self) -> tuple[str, int]:
        """Host and free port for the process group."""
        try:
            import ray

            host = ray.util.get_node_ip_address()
        except (ImportError, RuntimeError, ConnectionError):
            host = socket.gethostbyname("localhost")
        return host, free_port(host)

    def setup(self, host: str, port: int) -> None:
        """Joins the role's process group and loads its model."""
        os.environ.update(
            MASTER_ADDR=host,
            MASTER_PORT=str(port),
            RANK=str(self.rank),
            WORLD_SIZE=str(self.world_size),
            LOCAL_RANK="0",
        )
        if self.config.optimizer.full_determinism:
            from transformers import enable_full_determinism

            enable_full_determinism(self.config.optimizer.seed)
        init_process_group()
        if not torch.cuda.is_available():
            set_threads(load_config(str(self.config.model.pretrain)))
        self.tokenizer = load_tokenizer(
            str(self.config.model.pretrain), use_fast=not self.config.model.disable_fast_tokenizer
        )
        self.load()

    def release_memory(self) -> None:
        """Hands back what PyTorch's allocator keeps for later, for other processes on this GPU."""
        release_memory()

    @abstractmethod
    def load(self) -> None:
        """Builds the role's model; the process group and `tokenizer` are there."""

    @abstractmethod
    def score(self, micro_batches: MicroBatches) -> TokenValues:
        """A number per scored token; what it is depends on the role."""
