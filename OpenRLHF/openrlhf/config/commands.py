"""Which flags each command takes, and where its defaults differ from the tables."""

from collections.abc import Mapping
from typing import Any

from openrlhf.config.tables.rl import ESTIMATORS
from openrlhf.config.tables.training import run_name

CHAT_TEMPLATE = "User: {}\nAssistant: "


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


EVERY_MODEL = _names("bf16 flash_attn disable_fast_tokenizer use_ms")
TRAINING = EVERY_MODEL + _names("""
    pretrain load_in_4bit torch_compile lora_rank lora_alpha lora_dropout target_modules
    train_batch_size micro_train_batch_size max_epochs max_samples
    lr_warmup_ratio adam_betas l2 max_norm aux_loss_coef seed full_determinism
    zero_stage zpg adam_offload grad_accum_dtype overlap_comm gradient_checkpointing
    gradient_checkpointing_use_reentrant local_rank
    save_path ckpt_path save_steps max_ckpt_num max_ckpt_mem load_checkpoint
    logging_steps eval_steps use_wandb wandb_org wandb_group wandb_project wandb_run_name
""")
SUPERVISED = TRAINING + _names("dataset dataset_probs train_split eval_split max_len learning_rate")
RINGS = _names("ring_attn_size ring_head_stride")
PAIRS = _names("prompt_key chosen_key rejected_key input_template apply_chat_template")
EXTRA_CHECKPOINTS = _names("save_hf_ckpt disable_ds_ckpt")
OWN_TRAINING = _names("plan_only gpu_memory_gib attn_implementation score_chunk_size metrics_path lr_min_ratio")
# Every command that trains on fixed data runs the same loop, so it takes the flags of that loop, also where 0.6.2 has
# some of them in some commands only.
OFFLINE = SUPERVISED + EXTRA_CHECKPOINTS + OWN_TRAINING + _names("packing_samples lr_scheduler use_tensorboard")

REINFORCEMENT = (
    TRAINING
    + RINGS
    + EXTRA_CHECKPOINTS
    + _names("""
    prompt_data prompt_data_probs prompt_split pretrain_data pretrain_data_probs pretrain_split
    input_key label_key input_template apply_chat_template max_len prompt_max_len generate_max_len
    reward_pretrain critic_pretrain value_head_prefix use_liger_kernel use_tensorboard
    num_episodes rollout_batch_size micro_rollout_batch_size n_samples_per_prompt temperature top_p
    vllm_num_engines vllm_tensor_parallel_size vllm_sync_backend vllm_sync_with_ray
    vllm_gpu_memory_utilization vllm_enable_sleep enable_prefix_caching enforce_eager
    remote_rm_url reward_clip_range normalize_reward
    advantage_estimator actor_learning_rate critic_learning_rate gamma lambd eps_clip value_clip ptx_coef
    init_kl_coef kl_target kl_estimator use_kl_loss freezing_actor_steps enable_ema save_value_network
    packing_samples actor_num_nodes actor_num_gpus_per_node critic_num_nodes critic_num_gpus_per_node
    ref_num_nodes ref_num_gpus_per_node reward_num_nodes reward_num_gpus_per_node
    colocate_actor_ref colocate_critic_reward colocate_all_models ref_reward_offload
    deepspeed_enable_sleep actor_init_on_gpu perf
""")
)
OWN_REINFORCEMENT = OWN_TRAINING + _names("""
    rollout_engine vllm_kv_cache_mb sync_timeout generate_timeout reward_workers reward_timeout
    dynamic_filtering eval_dataset eval_n_samples eval_temperature eval_max_samples num_sample_rationales
""")
INTRO = _names("""
    intro_estimator intro_num_candidates intro_top_k intro_clip_max intro_temperature intro_answer_template
    intro_posterior intro_posterior_ema intro_loss_aggregation no_pack_samples
    hinted_eval_steps hinted_eval_prompts
""")

COMMANDS: dict[str, tuple[str, ...]] = {
    "batch_inference": EVERY_MODEL + _names("""
        pretrain value_head_prefix zero_stage local_rank full_determinism seed
        dataset dataset_probs dataset_split max_samples
        input_key output_key input_template apply_chat_template
        max_len prompt_max_len max_new_tokens rollout_batch_size micro_batch_size
        eval_task best_of_n iter post_processor reward_template normalize_reward enable_csft csft_prompt
        greedy_sampling temperature top_p repetition_penalty
        max_num_seqs tp_size enable_prefix_caching output_path
    """),
    "interactive_chat": EVERY_MODEL + _names("""
        pretrain load_in_4bit max_len input_template apply_chat_template enable_csft csft_prompt ta_prompt
        greedy_sampling temperature top_p repetition_penalty
    """),
    "lora_combiner": _names("model_path lora_path output_path is_rm bf16"),
    "serve_rm": EVERY_MODEL + _names("""
        reward_pretrain value_head_prefix load_in_4bit max_len normalize_reward host port batch_size
        workers max_requests max_request_mb
    """),
    "train_dpo": OFFLINE + PAIRS + RINGS + _names("""
        ref_pretrain ref_offload beta ipo label_smoothing nll_loss_coef use_liger_kernel
    """),
    "train_kd": OFFLINE + _names("""
        teacher_model teacher_offload kd_coef input_key output_key input_template apply_chat_template
        pretrain_mode use_liger_kernel
    """),
    "train_kto": OFFLINE + _names("""
        ref_offload beta desirable_loss_weight undesirable_loss_weight input_key output_key label_key
        input_template apply_chat_template use_liger_kernel
    """),
    "train_ppo_ray": REINFORCEMENT + OWN_REINFORCEMENT,
    "train_ppo_ray_intro": REINFORCEMENT + OWN_REINFORCEMENT + INTRO,
    "train_prm": OFFLINE + _names("""
        input_key label_key placeholder_token reward_tokens use_liger_kernel
    """),
    "train_rm": OFFLINE + PAIRS + RINGS + _names("""
        tokenizer_chat_template value_head_prefix loss margin_loss compute_fp32_loss
    """),
    "train_sft": OFFLINE + RINGS + _names("""
        input_key output_key input_template apply_chat_template tokenizer_chat_template multiturn
        pretrain_mode use_liger_kernel
    """),
}  # fmt: skip

_PPO: dict[str, Any] = {
    "ckpt_path": "./ckpt/checkpoints_ppo_ray",
    "max_len": None,
    "micro_train_batch_size": 4,
    "wandb_project": "openrlhf_train_ppo",
    "wandb_run_name": lambda: run_name("ppo"),
}

DEFAULTS: dict[str, dict[str, Any]] = {
    "batch_inference": {"output_key": "output", "seed": 1234, "rollout_batch_size": 2048, "zero_stage": 0,
                        "value_head_prefix": "value_head"},
    "interactive_chat": {"input_template": CHAT_TEMPLATE, "max_len": 4096, "repetition_penalty": 1.2,
                         "temperature": 0.2, "top_p": 0.9},
    "lora_combiner": {},
    "serve_rm": {},
    "train_dpo": {"ckpt_path": "./ckpt/checkpoints_dpo", "learning_rate": 1e-5, "max_len": 512,
                  "wandb_project": "openrlhf_train_dpo", "wandb_run_name": lambda: run_name("exp")},
    "train_kd": {"ckpt_path": "./ckpt/checkpoints_kd", "input_template": CHAT_TEMPLATE,
                 "output_key": "output"},
    "train_kto": {"beta": 0.01, "ckpt_path": "./ckpt/checkpoints_kto", "dataset": "Dahoas/full-hh-rlhf",
                  "input_template": CHAT_TEMPLATE, "label_key": "label", "learning_rate": 1e-5,
                  "pretrain": "bigscience/bloomz-1b7", "wandb_project": "openrlhf_train_dpo",
                  "wandb_run_name": lambda: run_name("rm")},
    "train_ppo_ray": _PPO,
    "train_ppo_ray_intro": {**_PPO, "advantage_estimator": "intro"},
    "train_prm": {"ckpt_path": "./ckpt/checkpoints_prm", "label_key": "label", "learning_rate": 1e-6,
                  "micro_train_batch_size": 1, "wandb_project": "openrlhf_train_prm",
                  "wandb_run_name": lambda: run_name("prm")},
    "train_rm": {"ckpt_path": "./ckpt/checkpoints_rm", "learning_rate": 9e-6, "max_len": 512,
                 "micro_train_batch_size": 1, "wandb_project": "openrlhf_train_rm",
                 "wandb_run_name": lambda: run_name("rm")},
    "train_sft": {"ckpt_path": "./ckpt/checkpoints_sft", "input_template": CHAT_TEMPLATE, "max_epochs": 2},
}  # fmt: skip

CHOICES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "train_ppo_ray_intro": {"advantage_estimator": ("intro", *ESTIMATORS)},
}

REQUIRED: Mapping[str, frozenset[str]] = {"lora_combiner": frozenset({"output_path"})}
