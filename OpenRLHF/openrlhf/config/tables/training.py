"""Flags that every training command shares: optimiser, DeepSpeed, checkpoints, logs."""

from datetime import datetime

from openrlhf.config.flag import Flag, integer, switch

# fmt: off


def run_name(prefix: str) -> str:
    """`prefix_MMDDTHH:MM`, local time."""
    return f"{prefix}_{datetime.now():%m%dT%H:%M}"


OPTIMISATION = (
    Flag("train_batch_size", integer, 128, "Samples per optimiser step, over all ranks and accumulation"
         " steps."),
    Flag("micro_train_batch_size", integer, 8, "Samples per rank in one forward and backward pass."),
    Flag("max_epochs", integer, 1, "Passes over the data; in RL, passes over each rollout batch."),
    Flag("learning_rate", float, 5e-6, "Highest learning rate."),
    Flag("lr_scheduler", str, "cosine_with_min_lr", "Shape of the learning rate after warm-up, by its"
         " transformers name."),
    Flag("lr_warmup_ratio", float, 0.03, "Share of the optimiser steps in which the learning rate rises from"
         " 0."),
    Flag("lr_min_ratio", float, 0.1, "Learning rate at the end, as a share of the highest."),
    Flag("adam_betas", float, (0.9, 0.95), "Adam's two decay rates.", nargs=2),
    Flag("l2", float, 0.0, "Weight decay (AdamW)."),
    Flag("max_norm", float, 1.0, "Gradients are scaled down to this global norm; 0: never."),
    Flag("aux_loss_coef", float, 0, "Weight of the router's balancing loss in mixture-of-experts models; 0:"
         " none."),
    Flag("seed", integer, 42, "Seed of everything random."),
    switch("full_determinism", "Use deterministic kernels everywhere, slower."),
)

MEMORY = (
    Flag("zero_stage", integer, 2, "DeepSpeed ZeRO stage: 0 shards nothing, 2 optimiser and gradients, 3"
         " weights too."),
    Flag("zpg", integer, 1, "ZeRO++: ranks that share a second copy of the weights; 1: none."),
    switch("adam_offload", "Keep the optimiser's state in CPU memory."),
    switch("ref_offload", "Keep the reference model in CPU memory."),
    Flag("grad_accum_dtype", str, None, "Type in which gradients are accumulated: fp32, bf16; without it the"
         " model's."),
    switch("overlap_comm", "Let DeepSpeed reduce gradients while the backward pass still runs."),
    switch("gradient_checkpointing", "Compute activations again in the backward pass instead of keeping"
           " them."),
    switch("gradient_checkpointing_use_reentrant", "Use torch's older, reentrant checkpointing."),
    Flag("score_chunk_size", integer, 512, "Positions that go through the output layer at once; less needs"
         " less memory."),
    Flag("ring_attn_size", integer, 1, "GPUs that share every packed row (sequence parallelism); 1: none."),
    Flag("ring_head_stride", integer, 1, "Attention heads that ring attention handles at a time; no effect here."),
    Flag("local_rank", integer, -1, "Rank on this machine; set by the launcher."),
)

SAVING = (
    Flag("save_path", str, "./ckpt", "Folder for the final model, in Hugging Face's format."),
    Flag("ckpt_path", str, "./ckpt/checkpoints", "Folder for checkpoints from which training can continue."),
    Flag("save_steps", integer, -1, "Write a checkpoint every so many global steps; -1: none."),
    switch("save_hf_ckpt", "Also write a Hugging Face copy with each checkpoint."),
    switch("disable_ds_ckpt", "Do not write the DeepSpeed part of checkpoints."),
    Flag("max_ckpt_num", integer, 3, "Keep at most so many checkpoints; the oldest goes after a new one is"
         " complete."),
    Flag("max_ckpt_mem", integer, 1e8, "Keep at most so many GB of checkpoints."),
    switch("load_checkpoint", "Continue from the latest checkpoint in --ckpt_path where there is one."),
)

LOGS = (
    Flag("logging_steps", integer, 1, "Write metrics every so many global steps."),
    Flag("eval_steps", integer, -1, "Evaluate every so many global steps; -1: never, or per epoch in"
         " supervised training."),
    Flag("metrics_path", str, None, "File for all metrics, one JSON object per step; without it"
         " {save_path}/metrics.jsonl."),
    Flag("use_tensorboard", str, None, "Folder for TensorBoard logs; without it none are written."),
    Flag("use_wandb", str, None, "API key for Weights & Biases, or True where one is stored; without it"
         " nothing is sent."),
    Flag("wandb_org", str, None, "Weights & Biases: entity."),
    Flag("wandb_group", str, None, "Weights & Biases: group of the run."),
    Flag("wandb_project", str, "openrlhf_train_sft", "Weights & Biases: project."),
    Flag("wandb_run_name", str, lambda: run_name("sft"), "Name of the run in logs."),
    Flag("gpu_memory_gib", float, None, "Memory of one GPU for the plan's estimate; without it, what this"
         " machine's GPU has."),
    switch("plan_only", "Print the plan (batches, steps, placement, memory), then stop before a model is"
           " loaded."),
)

GROUPS = {"Optimisation": OPTIMISATION, "Memory and DeepSpeed": MEMORY, "Saving": SAVING, "Logs": LOGS}
