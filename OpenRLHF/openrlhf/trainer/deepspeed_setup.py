"""DeepSpeed as this project uses it: process group, configuration, engines; GPUs and CPUs through the same code."""

import gc
import logging
import os
import socket
import warnings
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from openrlhf.config.training import TrainConfig
from openrlhf.errors import UserError

# A collective that waits longer than this has lost a peer.
COLLECTIVE_TIMEOUT = timedelta(minutes=30)


def local_device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def release_memory() -> None:
    """Hands back GPU memory that is not in use, to other processes on the same GPU."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def init_process_group(timeout: timedelta = COLLECTIVE_TIMEOUT) -> None:
    """Joins the group described by MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE: NCCL on GPUs, Gloo on CPUs.

    Without these variables this process is a group of its own, so that `python3 -m ...` needs no launcher.

    Raises:
        UserError: a launcher that leaves the port open.
    """
    if dist.is_initialized():
        return
    # DeepSpeed 0.19 calls collectives by the names that torch 2.13 deprecates, once per gather.
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)

    if "WORLD_SIZE" not in os.environ:
        from openrlhf.utils.network import free_port

        port = str(free_port())
        os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    os.environ.setdefault("LOCAL_RANK", "0")
    if os.environ.get("MASTER_PORT") == "0":
        raise UserError(
            "MASTER_PORT is 0, so the ranks cannot agree where to meet: launch with torchrun --standalone, or name a "
            "port (--master_port 29500)"
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        backend = "nccl"
    else:
        from deepspeed.ops import __compatible_ops__

        # Its shared-memory collectives compile for more than a minute and gain nothing at this size.
        __compatible_ops__["deepspeed_shm_comm"] = False
        backend = "gloo"
    if _meets_here():
        _join_on_loopback(backend, timeout)
    deepspeed.init_distributed(dist_backend=backend, timeout=timeout, verbose=False)


def sharding_stage(config: TrainConfig) -> int:
    """--zero_stage, but 0 for a single rank on the CPU: there ZeRO-3 has nothing to share or to offload, while its
    copies and hooks took half of a step again, and twice the memory."""
    alone = dist.get_world_size() == 1 and not torch.cuda.is_available()
    return 0 if alone else config.deepspeed.zero_stage


def _meets_here() -> bool:
    """Whether all ranks are on this machine, and none of them is served by torchrun's own store."""
    here = os.environ["MASTER_ADDR"] in ("127.0.0.1", "localhost", "::1")
    return here and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"


def _join_on_loopback(backend: str, timeout: timedelta) -> None:
    """torch's own store listens on every address, and whoever reaches it can take part in the group."""
    port, rank, size = (int(os.environ[name]) for name in ("MASTER_PORT", "RANK", "WORLD_SIZE"))
    listener = socket.create_server(("127.0.0.1", port)).detach() if rank == 0 else None
    store = dist.TCPStore(
        "127.0.0.1", port, size, is_master=rank == 0, timeout=timeout, wait_for_workers=False, master_listen_fd=listener
    )
    if backend == "gloo":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)


def deepspeed_config(config: TrainConfig, *, trainable: bool, offload_parameters: bool = False) -> dict:
    """DeepSpeed's own configuration.

    Batch sizes mean nothing to DeepSpeed here: accumulation boundaries are set by the learner, and the loss carries
    its own normalisation. `gradient_accumulation_steps` is 2 so that its offloading code expects accumulation.
    """
    settings, stage = config.deepspeed, sharding_stage(config)
    world_size = dist.get_world_size()
    offload = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    zero: dict[str, Any] = {"stage": stage}
    if stage == 3:
        zero["zero_hpz_partition_size"] = settings.zpg
        if not trainable:
            # Small parameters that stay gathered would not notice when a moving average changes their shard.
            zero["stage3_param_persistence_threshold"] = 0
            if offload_parameters and torch.cuda.is_available():
                zero["offload_param"] = offload
    if trainable:
        zero["overlap_comm"] = bool(settings.overlap_comm)
        if settings.adam_offload and torch.cuda.is_available():  # without a GPU everything is in CPU memory already
            zero["offload_optimizer"] = offload
    made: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 2,
        "train_batch_size": 2 * world_size,
        "zero_optimization": zero,
        "bf16": {"enabled": config.model.bf16},
        "gradient_clipping": config.optimizer.max_norm if trainable else 0.0,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": None,
        "wall_clock_breakdown": False,
    }
    if settings.grad_accum_dtype:
        made["data_types"] = {"grad_accum_dtype": settings.grad_accum_dtype}
    return made


def build_optimizer(model: nn.Module, config: TrainConfig, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW over the trainable parameters; no weight decay on biases and norms."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise UserError("no parameter of the model is trainable: check --lora_rank and --target_modules")
    # ZeRO-3 shards have one dimension; their full shape is kept in `ds_shape`.
    dims = {p: len(getattr(p, "ds_shape", p.shape)) for p in trainable}
    groups = [
        {"params": [p for p in trainable if dims[p] > 1], "weight_decay": config.optimizer.l2},
        {"params": [p for p in trainable if dims[p] <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    betas = config.optimizer.adam_betas
    if config.deepspeed.adam_offload and torch.cuda.is_available():
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        return DeepSpeedCPUAdam(groups, lr=learning_rate, betas=betas, adamw_mode=True)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=torch.cuda.is_available())


def initialize(model: nn.Module, config: dict, optimizer: torch.optim.Optimizer | None) -> Any:
    """A DeepSpeed engine around `model`; without an optimizer it only shards and gathers (inference)."""
    import deepspeed

    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config, dist_init_required=False)
    return engine
