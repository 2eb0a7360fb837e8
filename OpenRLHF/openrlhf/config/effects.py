"""Says which flags were given although they do nothing in this run."""

from argparse import Namespace
from collections.abc import Iterator, Set

from openrlhf.config.rules import needs_reference

NO_CRITIC = (
    "critic_pretrain critic_num_nodes critic_num_gpus_per_node critic_learning_rate value_clip"
    " save_value_network freezing_actor_steps colocate_critic_reward"
)
NO_ADVANTAGE = "gamma lambd eps_clip reward_clip_range normalize_reward"
NO_REWARD_MODEL = "reward_pretrain reward_num_nodes reward_num_gpus_per_node value_head_prefix"
NO_PRETRAINING = "pretrain_data pretrain_data_probs pretrain_split ptx_coef"
NO_KL = "init_kl_coef kl_estimator"
REFERENCE_PLACES = "ref_num_nodes ref_num_gpus_per_node colocate_actor_ref ref_reward_offload"
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
    "aux_loss_coef": "no balancing loss is added for mixtures of experts",
    "max_ckpt_mem": "--max_ckpt_num limits the checkpoints that are kept",
    "ring_head_stride": "ring attention is not implemented",
    "actor_init_on_gpu": "DeepSpeed decides where weights are initialised",
    "deepspeed_enable_sleep": "the trainer's state stays where it is; --adam_offload keeps it in CPU memory",
    "enable_ema": "no average of the weights is saved; --intro_posterior ema uses one in training",
    "kl_target": "the weight of the KL term is constant",
    "micro_rollout_batch_size": "engines choose the size of their batches",
    "perf": "the seconds of every phase are always logged",
    "vllm_sync_with_ray": "weights are sent as --vllm_sync_backend says",
}


def ineffective_flags(args: Namespace, given: Set[str]) -> list[str]:
    """Sentences about flags that were given to a command and have no effect.

    given: names without dashes, from `flags.given_flags`.
    """
    reasons: dict[str, str] = {}
    for names, reason in _reasons(args, given):
        for name in names.split():
            reasons.setdefault(name, reason)
    return [f"--{name} has no effect: {reasons[name]}." for name in sorted(given & reasons.keys())]


def _reasons(args: Namespace, given: Set[str]) -> Iterator[tuple[str, str]]:
    yield from ONLY_ACCEPTED.items()
    if hasattr(args, "csft_prompt"):
        yield from _inference_reasons(args)
    if not hasattr(args, "advantage_estimator"):
        return
    yield "max_len", "lengths are limited by --prompt_max_len and --generate_max_len"
    if not args.eval_dataset:
        yield NO_EVALUATION, "there is no --eval_dataset"
    if args.advantage_estimator != "intro":
        intro = " ".join(sorted(name for name in given if name.startswith(("intro_", "hinted_eval_"))))
        yield intro, f"--advantage_estimator is {args.advantage_estimator}, not intro"
        yield "no_pack_samples", "only InTRO packs rows without --packing_samples"
        return
    yield NO_CRITIC, "InTRO trains no critic"
    yield NO_ADVANTAGE, "InTRO has no advantages; a response is either right and trained on, or it is not"
    yield NO_REWARD_MODEL, "InTRO uses no reward model; --remote_rm_url decides what is right"
    yield NO_PRETRAINING, "InTRO adds no loss on pre-training data"
    if not args.use_kl_loss:
        yield NO_KL, "InTRO has no KL term without --use_kl_loss"
    elif not args.init_kl_coef:
        yield "use_kl_loss kl_estimator", "the KL term's weight --init_kl_coef is 0"
    if needs_reference(args):
        yield REFERENCE_PLACES, "the reference model shares the GPUs of the policy"
    else:
        yield REFERENCE_PLACES, "no reference model is loaded, since no KL term is asked for"
    if args.intro_estimator == "exact":
        yield NO_SAMPLING, "the exact estimator draws no candidates"
    if args.intro_posterior != "ema":
        yield "intro_posterior_ema", f"--intro_posterior is {args.intro_posterior}, not ema"
    if args.hinted_eval_steps <= 0:
        yield "hinted_eval_prompts", "--hinted_eval_steps asks for no hinted evaluation"


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
