"""The range of every number on the command line that has one."""

import math
from argparse import Namespace

from openrlhf.errors import UserError

# name: (lowest, highest, whether the lowest itself is excluded)
_RANGES: dict[str, tuple[float, float, bool]] = {
    **dict.fromkeys(
        [
            "train_batch_size",
            "micro_train_batch_size",
            "max_epochs",
            "max_samples",
            "max_len",
            "prompt_max_len",
            "generate_max_len",
            "num_episodes",
            "rollout_batch_size",
            "micro_rollout_batch_size",
            "n_samples_per_prompt",
            "vllm_tensor_parallel_size",
            "vllm_kv_cache_mb",
            "actor_num_nodes",
            "actor_num_gpus_per_node",
            "critic_num_nodes",
            "critic_num_gpus_per_node",
            "ref_num_nodes",
            "ref_num_gpus_per_node",
            "reward_num_nodes",
            "reward_num_gpus_per_node",
            "score_chunk_size",
            "logging_steps",
            "reward_workers",
            "eval_n_samples",
            "eval_max_samples",
            "max_ckpt_num",
            "zpg",
            "ring_attn_size",
            "intro_num_candidates",
            "max_new_tokens",
            "micro_batch_size",
            "best_of_n",
            "max_num_seqs",
            "tp_size",
            "batch_size",
            "workers",
            "max_requests",
            "max_request_mb",
        ],
        (1, math.inf, False),
    ),
    **dict.fromkeys(
        [
            "reward_timeout",
            "sync_timeout",
            "generate_timeout",
            "eps_clip",
            "value_clip",
            "kl_target",
            "intro_clip_max",
            "intro_temperature",
            "max_ckpt_mem",
            "repetition_penalty",
            "beta",
        ],
        (0, math.inf, True),
    ),
    **dict.fromkeys(
        [
            "temperature",
            "eval_temperature",
            "learning_rate",
            "actor_learning_rate",
            "critic_learning_rate",
            "l2",
            "max_norm",
            "lora_rank",
            "aux_loss_coef",
            "intro_top_k",
            "hinted_eval_prompts",
            "num_sample_rationales",
            "init_kl_coef",
            "ptx_coef",
            "vllm_num_engines",
            "iter",
            "label_smoothing",
            "nll_loss_coef",
            "desirable_loss_weight",
            "undesirable_loss_weight",
        ],
        (0, math.inf, False),
    ),
    **dict.fromkeys(
        ["lr_warmup_ratio", "lr_min_ratio", "lora_dropout", "intro_posterior_ema", "gamma", "lambd", "kd_coef"],
        (0, 1, False),
    ),
    **dict.fromkeys(["top_p", "vllm_gpu_memory_utilization"], (0, 1, True)),
    "zero_stage": (0, 3, False),
    "port": (0, 65535, False),
}


def check_ranges(args: Namespace) -> None:
    """UserError where a number is out of range; flags that a command does not have are passed over."""
    for name, (low, high, open_low) in _RANGES.items():
        value = getattr(args, name, None)
        if value is None:
            continue
        if not (low < value if open_low else low <= value) or not value <= high:
            wanted = f"more than {low}" if open_low else f"at least {low}"
            limit = "" if high == math.inf else f" and at most {high}"
            raise UserError(f"--{name} {value} is out of range: give {wanted}{limit}")
    low, high = getattr(args, "reward_clip_range", (0, 1))
    if not low < high:
        raise UserError(f"--reward_clip_range {low:g} {high:g} is empty: give the lower end first")
    betas = getattr(args, "adam_betas", ())
    if not all(0 <= beta < 1 for beta in betas):
        raise UserError(f"--adam_betas {betas} is out of range: both are at least 0 and less than 1")
