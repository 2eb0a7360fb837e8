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
NO_EVALUATION = "eval_n_samples eval_temperature eval_max_samples"
# Accepted for OpenRLHF's sake; what they ask for is done otherwise here, or not at all.
ONLY_ACCEPTED = {
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
    """Sentences about flags of a training command that were given and have no effect.

    given: names without dashes, from `flags.given_flags`. UserError: where the model's configuration has to be known
    and cannot be had.
    """
    reasons: dict[str, str] = {}
    for names, reason in _reasons(args, given):
        for name in names.split():
            reasons.setdefault(name, reason)
    return [f"--{name} has no effect: {reasons[name]}." for name in sorted(given & reasons.keys())]


def _reasons(args: Namespace, given: Set[str]) -> Iterator[tuple[str, str]]:
    yield from ONLY_ACCEPTED.items()
    if "aux_loss_coef" in given and args.aux_loss_coef > 0 and not _has_experts(args.pretrain):
        yield "aux_loss_coef", "the model is no mixture of experts"
    if not hasattr(args, "advantage_estimator"):
        return
    yield "max_ckpt_mem", "--max_ckpt_num limits the checkpoints that are kept"
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


def _has_experts(model: str) -> bool:
    from openrlhf.models.loader import load_config
    from openrlhf.models.moe import is_mixture_of_experts

    return is_mixture_of_experts(load_config(model))
