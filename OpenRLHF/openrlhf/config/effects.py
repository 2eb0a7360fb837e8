"""Says which flags were given although they do nothing in this run."""

from argparse import Namespace
from collections.abc import Iterator, Set

from openrlhf.config.rules import needs_reference, reference_is_a_role, reward_models

NO_CRITIC = (
    "critic_pretrain critic_num_nodes critic_num_gpus_per_node critic_learning_rate value_clip"
    " save_value_network freezing_actor_steps colocate_critic_reward"
)
NO_ADVANTAGE = "gamma lambd eps_clip reward_clip_range dynamic_filtering"
NO_REWARD_MODEL = "reward_pretrain reward_num_nodes reward_num_gpus_per_node normalize_reward"
NO_PRETRAINING = "pretrain_data pretrain_data_probs pretrain_split ptx_coef"
REFERENCE_PLACES = "ref_num_nodes ref_num_gpus_per_node colocate_actor_ref"
KL = "kl_estimator kl_target"
NO_SAMPLING = "intro_num_candidates intro_top_k intro_clip_max"
NO_GENERATION = (
    "best_of_n iter rollout_batch_size enable_csft csft_prompt greedy_sampling temperature top_p repetition_penalty"
    " prompt_max_len max_new_tokens"
)
NO_SCORING = "value_head_prefix output_key max_len normalize_reward reward_template"
ONLY_VLLM = "tp_size max_num_seqs enable_prefix_caching"
NO_EVALUATION = "eval_n_samples eval_temperature eval_max_samples"
# Accepted for OpenRLHF's sake; what they ask for is done otherwise here, or not at all.
ONLY_ACCEPTED = {
    "ring_head_stride": "--ring_attn_size exchanges all heads at once (DeepSpeed-Ulysses)",
    "actor_init_on_gpu": "DeepSpeed decides where weights are initialised",
    "perf": "the seconds of every phase are always logged",
    "vllm_sync_with_ray": "weights are sent as --vllm_sync_backend says",
}


def ineffective_flags(args: Namespace, given: Set[str]) -> list[str]:
    """Sentences about flags that were given to a command and have no effect.

    given: names without dashes, from `flags.given_flags`. UserError: where the model's configuration has to be known
    and cannot be had.
    """
    reasons: dict[str, str] = {}
    for names, reason in _reasons(args, given):
        for name in names.split():
            reasons.setdefault(name, reason)
    return [f"--{name} has no effect: {reasons[name]}." for name in sorted(given & reasons.keys())]


def _preference_reasons(args: Namespace) -> Iterator[tuple[str, str]]:
    if not getattr(args, "prompt_key", "input"):
        without = "there is no --prompt_key, so chosen and rejected fields hold prompt and response"
        yield "input_template", without
    elif getattr(args, "apply_chat_template", False):
        yield "input_template", "--apply_chat_template writes the prompt"
    yield "compute_fp32_loss", "rewards and losses are always computed in float32"
    if getattr(args, "loss", "") == "logexp":
        yield "margin_loss", "--loss logexp has no margin; use sigmoid"
    if getattr(args, "ipo", False):
        yield "label_smoothing", "IPO has no label smoothing"


def _reasons(args: Namespace, given: Set[str]) -> Iterator[tuple[str, str]]:
    yield from ONLY_ACCEPTED.items()
    if "aux_loss_coef" in given and args.aux_loss_coef > 0 and not _has_experts(args.pretrain):
        yield "aux_loss_coef", "the model is no mixture of experts"
    if hasattr(args, "csft_prompt"):
        yield from _inference_reasons(args)
    if not hasattr(args, "advantage_estimator"):
        yield from _preference_reasons(args)
        return
    yield "max_ckpt_mem", "--max_ckpt_num limits the checkpoints that are kept"
    if args.adam_offload:
        yield "deepspeed_enable_sleep", "--adam_offload keeps the optimiser's state in CPU memory anyway"
    yield "max_len", "lengths are limited by --prompt_max_len and --generate_max_len"
    if not args.eval_dataset:
        yield NO_EVALUATION, "there is no --eval_dataset"
    if not args.pretrain_data:
        yield NO_PRETRAINING, "there is no --pretrain_data"
    if not args.critic_pretrain:
        yield NO_CRITIC, f"--advantage_estimator {args.advantage_estimator} trains no critic"
    if not reward_models(args):
        yield NO_REWARD_MODEL, "--remote_rm_url gives the rewards, so no reward model is loaded"
        if not args.critic_pretrain:
            yield "value_head_prefix", "there is no reward model and no critic"
    yield from _of_kl(args)
    yield from _of_intro(args) if args.advantage_estimator == "intro" else _of_others(args, given)


def _of_kl(args: Namespace) -> Iterator[tuple[str, str]]:
    if reference_is_a_role(args):
        return
    if needs_reference(args):
        yield REFERENCE_PLACES, "the reference model shares the GPUs of the policy"
    elif args.init_kl_coef == 0:
        yield f"use_kl_loss {KL} {REFERENCE_PLACES}", "the KL term's weight --init_kl_coef is 0"
    elif args.advantage_estimator == "intro":
        yield f"init_kl_coef {KL} {REFERENCE_PLACES}", "InTRO has no KL term without --use_kl_loss"
    else:
        yield (
            f"init_kl_coef {KL} {REFERENCE_PLACES}",
            f"--advantage_estimator {args.advantage_estimator} has no KL term",
        )


def _of_intro(args: Namespace) -> Iterator[tuple[str, str]]:
    yield NO_ADVANTAGE, "InTRO has no advantages; a response is either right and trained on, or it is not"
    yield "micro_rollout_batch_size", "engines choose the size of their batches, and InTRO scores nothing beforehand"
    if args.intro_estimator == "exact":
        yield NO_SAMPLING, "the exact estimator draws no candidates"
    if args.intro_posterior != "ema":
        yield "intro_posterior_ema", f"--intro_posterior is {args.intro_posterior}, not ema"
    if args.hinted_eval_steps <= 0:
        yield "hinted_eval_prompts", "--hinted_eval_steps asks for no hinted evaluation"


def _of_others(args: Namespace, given: Set[str]) -> Iterator[tuple[str, str]]:
    intro = " ".join(sorted(name for name in given if name.startswith(("intro_", "hinted_eval_"))))
    yield intro, f"--advantage_estimator is {args.advantage_estimator}, not intro"
    yield "no_pack_samples", "only InTRO packs rows without --packing_samples"
    if args.advantage_estimator == "raft":
        yield NO_ADVANTAGE, "RAFT has no advantages; a response is either right and trained on, or it is not"
        yield "micro_rollout_batch_size", "engines choose the size of their batches, and RAFT scores nothing beforehand"
    elif args.advantage_estimator != "gae":
        yield "lambd", "only --advantage_estimator gae uses it"


def _inference_reasons(args: Namespace) -> Iterator[tuple[str, str]]:
    task = getattr(args, "eval_task", "chat")
    if task == "rm":
        yield f"{NO_GENERATION} {ONLY_VLLM}", "--eval_task rm generates nothing"
        if args.post_processor != "csft":
            yield "reward_template", "only --post_processor csft writes with it"
        yield "zero_stage", "every rank holds the whole model"
        return
    if task in ("generate", "generate_vllm"):
        yield NO_SCORING, f"--eval_task {task} scores nothing"
        yield "zero_stage", "every rank holds the whole model"
        if args.iter is None:
            yield "rollout_batch_size", "without --iter all prompts are used"
    if task == "generate":
        yield ONLY_VLLM, "--eval_task generate does not use vLLM"
    elif task == "generate_vllm":
        yield "micro_batch_size", "vLLM makes its own batches, of up to --max_num_seqs"
        yield "flash_attn", "vLLM chooses its own attention"
        yield "full_determinism", "vLLM samples every response from its own seed, with its own kernels"
    if not args.enable_csft:
        yield "csft_prompt", "it is used with --enable_csft"
    if args.greedy_sampling:
        yield "temperature top_p", "--greedy_sampling takes the most likely token"
    if args.apply_chat_template:
        yield "input_template", "--apply_chat_template uses the tokenizer's"


def _has_experts(model: str) -> bool:
    from openrlhf.models.loader import load_config
    from openrlhf.models.moe import is_mixture_of_experts

    return is_mixture_of_experts(load_config(model))
