"""What every training command asks: optimiser, DeepSpeed, checkpoints, logs."""

from dataclasses import dataclass
from datetime import datetime

from openrlhf.config.model import ModelConfig
from openrlhf.config.settings import section, setting, switch


def run_name(prefix: str) -> str:
    """`prefix_MMDDTHH:MM`, local time."""
    return f"{prefix}_{datetime.now():%m%dT%H:%M}"


@dataclass(frozen=True)
class OptimizerConfig:
    train_batch_size: int = setting(
        128, "Samples per optimiser step, over all ranks and accumulation steps.", at_least=1
    )
    micro_train_batch_size: int = setting(8, "Samples per rank in one forward and backward pass.", at_least=1)
    max_tokens_per_micro_batch: int = setting(
        0,
        "Fill each forward and backward pass of an update with samples up to this many tokens (posterior rows"
        " included, one sample at least), and balance ranks by cost, instead of counting --micro_train_batch_size"
        " samples; 0: off.",
        at_least=0,
    )
    max_epochs: int = setting(1, "Passes over the data; in RL, passes over each rollout batch.", at_least=1)
    learning_rate: float = setting(5e-6, "Highest learning rate.", at_least=0)
    lr_scheduler: str = setting(
        "cosine_with_min_lr", "Shape of the learning rate after warm-up, by its transformers name."
    )
    lr_warmup_ratio: float = setting(
        0.03, "Share of the optimiser steps in which the learning rate rises from 0.", at_least=0, at_most=1
    )
    lr_min_ratio: float = setting(0.1, "Learning rate at the end, as a share of the highest.", at_least=0, at_most=1)
    adam_betas: tuple[float, float] = setting((0.9, 0.95), "Adam's two decay rates.", nargs=2)
    l2: float = setting(0.0, "Weight decay (AdamW).", at_least=0)
    max_norm: float = setting(1.0, "Gradients are scaled down to this global norm; 0: never.", at_least=0)
    seed: int = setting(42, "Seed of everything random.")
    full_determinism: bool = switch("Use deterministic kernels everywhere, slower.")


@dataclass(frozen=True)
class DeepSpeedConfig:
    zero_stage: int = setting(
        2,
        "DeepSpeed ZeRO stage: 0 shards nothing, 2 optimiser and gradients, 3 weights too.",
        at_least=0,
        at_most=3,
    )
    zpg: int = setting(1, "ZeRO++: ranks that share a second copy of the weights; 1: none.", at_least=1)
    adam_offload: bool = switch("Keep the optimiser's state in CPU memory.")
    grad_accum_dtype: str | None = setting(
        None, "Type in which gradients are accumulated: fp32, bf16; without it the model's."
    )
    overlap_comm: bool = switch("Let DeepSpeed reduce gradients while the backward pass still runs.")
    local_rank: int = setting(-1, "Rank on this machine; set by the launcher.")


@dataclass(frozen=True)
class CheckpointConfig:
    save_path: str = setting("./ckpt", "Folder for the final model, in Hugging Face's format.")
    ckpt_path: str = setting("./ckpt/checkpoints", "Folder for checkpoints from which training can continue.")
    save_steps: int = setting(-1, "Write a checkpoint every so many global steps; -1: none.")
    save_hf_ckpt: bool = switch("Also write a Hugging Face copy with each checkpoint.")
    disable_ds_ckpt: bool = switch("Do not write the DeepSpeed part of checkpoints.")
    max_ckpt_num: int = setting(
        3, "Keep at most so many checkpoints; the oldest goes after a new one is complete.", at_least=1
    )
    max_ckpt_mem: int = setting(1e8, "Keep at most so many GB of checkpoints.", more_than=0)
    load_checkpoint: bool = switch("Continue from the latest checkpoint in --ckpt_path where there is one.")
    save_on_signal: bool = switch("On SIGTERM or SIGINT finish the step and write a checkpoint before the end.")
    max_restarts: int = setting(
        0, "Continue from the latest checkpoint so many times when a part of the run dies (RL).", at_least=0
    )
    overwrite: bool = switch(
        "Replace what an earlier run left in --ckpt_path and --save_path; without it such folders are refused.",
        secret=True,  # a run that is started again from its run.yaml must not replace itself unasked
    )


@dataclass(frozen=True)
class LoggingConfig:
    logging_steps: int = setting(1, "Write metrics every so many global steps.", at_least=1)
    eval_steps: int = setting(
        -1, "Evaluate every so many global steps; -1: never, or per epoch in supervised training."
    )
    metrics_path: str | None = setting(
        None, "File for all metrics, one JSON object per step; without it {save_path}/metrics.jsonl."
    )
    use_tensorboard: str | None = setting(None, "Folder for TensorBoard logs; without it none are written.")
    use_wandb: str | None = setting(
        None,
        "API key for Weights & Biases, or True where one is stored; without it nothing is sent.",
        secret=True,
    )
    wandb_org: str | None = setting(None, "Weights & Biases: entity.")
    wandb_group: str | None = setting(None, "Weights & Biases: group of the run.")
    wandb_project: str = setting("openrlhf", "Weights & Biases: project.")
    wandb_run_name: str = setting(lambda: run_name("run"), "Name of the run in logs.")


@dataclass(frozen=True)
class PlanConfig:
    gpu_memory_gib: float | None = setting(
        None, "Memory of one GPU for the plan's estimate; without it, what this machine's GPU has."
    )
    plan_only: bool = switch("Print the plan (batches, steps, placement, memory), then stop before a model is loaded.")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What the learner and its models read, whatever the command."""

    model: ModelConfig = section(ModelConfig, "Model")
    optimizer: OptimizerConfig = section(OptimizerConfig, "Optimisation")
    deepspeed: DeepSpeedConfig = section(DeepSpeedConfig, "Memory and DeepSpeed")
    checkpoint: CheckpointConfig = section(CheckpointConfig, "Saving")
    logging: LoggingConfig = section(LoggingConfig, "Logs")
    plan: PlanConfig = section(PlanConfig, "Plan")
