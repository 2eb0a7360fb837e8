"""The commands: which configuration each reads, and where its flags and defaults differ from those of the parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openrlhf.config.inference import BatchConfig, ChatConfig, CombinerConfig, ServingConfig
from openrlhf.config.offline import OfflineConfig
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.training import run_name


@dataclass(frozen=True)
class Command:
    """without: flags of the configuration's parts that the command does not have. method: the one it starts with, for
    commands that have methods."""

    config: type
    without: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""


# The flags that a user of a training command meets first, in this order.
FIRST = {
    RLConfig: (
        "pretrain prompt_data input_key label_key remote_rm_url save_path rollout_batch_size n_samples_per_prompt"
        " actor_learning_rate actor_num_gpus_per_node"
    ),
    OfflineConfig: (
        "pretrain dataset input_key output_key save_path train_batch_size learning_rate max_epochs max_len zero_stage"
    ),
}

_RL_DEFAULTS: dict[str, Any] = {
    "ckpt_path": "./ckpt/checkpoints_ppo_ray",
    "micro_train_batch_size": 4,
    "wandb_project": "openrlhf_train_ppo",
    "wandb_run_name": lambda: run_name("ppo"),
}
_SFT_LOGS: dict[str, Any] = {"wandb_project": "openrlhf_train_sft", "wandb_run_name": lambda: run_name("sft")}
_RINGS = "ring_attn_size ring_head_stride"
_NO_RL = "learning_rate lr_scheduler"  # the policy's rate has a flag of its own, and so has the critic's
_NO_INFERENCE = "attn_implementation"

COMMANDS: dict[str, Command] = {
    "batch_inference": Command(BatchConfig, f"{_NO_INFERENCE} load_in_4bit"),
    "interactive_chat": Command(
        ChatConfig, _NO_INFERENCE, {"repetition_penalty": 1.2, "temperature": 0.2, "top_p": 0.9}
    ),
    "lora_combiner": Command(CombinerConfig),
    "serve_rm": Command(ServingConfig, _NO_INFERENCE),
    "train_dpo": Command(
        OfflineConfig,
        "",
        {
            "ckpt_path": "./ckpt/checkpoints_dpo",
            "learning_rate": 1e-5,
            "max_len": 512,
            "wandb_project": "openrlhf_train_dpo",
            "wandb_run_name": lambda: run_name("exp"),
        },
        "dpo",
    ),
    "train_kd": Command(OfflineConfig, _RINGS, {"ckpt_path": "./ckpt/checkpoints_kd", **_SFT_LOGS}, "kd"),
    "train_kto": Command(
        OfflineConfig,
        _RINGS,
        {
            "ckpt_path": "./ckpt/checkpoints_kto",
            "dataset": "Dahoas/full-hh-rlhf",
            "learning_rate": 1e-5,
            "pretrain": "bigscience/bloomz-1b7",
            "wandb_project": "openrlhf_train_dpo",
            "wandb_run_name": lambda: run_name("rm"),
        },
        "kto",
    ),
    "train_ppo_ray": Command(RLConfig, _NO_RL, _RL_DEFAULTS, "gae"),
    "train_ppo_ray_intro": Command(RLConfig, _NO_RL, _RL_DEFAULTS, "intro"),
    "train_prm": Command(
        OfflineConfig,
        _RINGS,
        {
            "ckpt_path": "./ckpt/checkpoints_prm",
            "learning_rate": 1e-6,
            "micro_train_batch_size": 1,
            "wandb_project": "openrlhf_train_prm",
            "wandb_run_name": lambda: run_name("prm"),
        },
        "prm",
    ),
    "train_rm": Command(
        OfflineConfig,
        "use_liger_kernel",
        {
            "ckpt_path": "./ckpt/checkpoints_rm",
            "learning_rate": 9e-6,
            "max_len": 512,
            "micro_train_batch_size": 1,
            "wandb_project": "openrlhf_train_rm",
            "wandb_run_name": lambda: run_name("rm"),
        },
        "rm",
    ),
    "train_sft": Command(
        OfflineConfig,
        "",
        {"ckpt_path": "./ckpt/checkpoints_sft", "max_epochs": 2, **_SFT_LOGS},
        "sft",
    ),
}
