"""Says which flags were given although they do nothing in this run."""

from collections.abc import Iterator, Mapping, Set
from typing import Any

from openrlhf.config.inference import BatchConfig, ChatConfig, SamplingConfig
from openrlhf.config.method import MethodConfig
from openrlhf.config.offline import OfflineConfig
from openrlhf.config.reinforcement import BUILT_IN_GRADER, CriticConfig, EvaluationConfig, RLConfig
from openrlhf.config.settings import flags_of
from openrlhf.config.training import TrainConfig

CRITIC_PLACES = "critic_num_nodes critic_num_gpus_per_node colocate_critic_reward"
REWARD_MODELS = "reward_pretrain reward_num_nodes reward_num_gpus_per_node normalize_reward"
PRETRAINING = "pretrain_data pretrain_data_probs pretrain_split ptx_coef"
REFERENCE_PLACES = "ref_num_nodes ref_num_gpus_per_node colocate_actor_ref"
KL_DETAILS = "kl_estimator kl_target"
GENERATION = "best_of_n iter rollout_batch_size prompt_max_len max_new_tokens"
SCORING = "value_head_prefix output_key max_len normalize_reward reward_template"
ONLY_VLLM = "tp_size max_num_seqs enable_prefix_caching"


def ineffective_flags(
    config: Any, given: Set[str], methods: Mapping[str, type[MethodConfig]] = {}, *, dense: bool = False
) -> list[str]:
    """Sentences about flags that were given to a command and have no effect.

    given: names without dashes. methods: those that the command offers, by name. dense: the model is known to be no
    mixture of experts.
    """
    reasons: dict[str, str] = {}
    for names, reason in _reasons(config, methods, dense):
        for name in names.split():
            reasons.setdefault(name, reason)
    return [f"--{name} has no effect: {reasons[name]}." for name in sorted(given & reasons.keys())]


def _reasons(config: Any, methods: Mapping[str, type[MethodConfig]], dense: bool) -> Iterator[tuple[str, str]]:
    kinds = [type(config)]
    if isinstance(config, RLConfig | OfflineConfig):
        kinds.append(type(config.method))
    for _, flag in (found for kind in kinds for found in flags_of(kind)):
        if flag.without_effect:
            yield flag.name, flag.without_effect
    if isinstance(config, TrainConfig) and config.model.aux_loss_coef > 0 and dense:
        yield "aux_loss_coef", "the model is no mixture of experts"
    if isinstance(config, RLConfig | OfflineConfig):
        yield from config.method.without_effect(config)
        yield from _of_other_methods(config.method, methods)
    if isinstance(config, OfflineConfig):
        yield "max_restarts", "ranks are started by their launcher (torchrun --max-restarts, with --load_checkpoint)"
    if isinstance(config, RLConfig):
        yield from _of_reinforcement(config)
    elif isinstance(config, BatchConfig):
        yield from _of_batches(config)
    if isinstance(config, BatchConfig | ChatConfig):
        yield from _of_sampling(config)


def _of_other_methods(chosen: MethodConfig, methods: Mapping[str, type[MethodConfig]]) -> Iterator[tuple[str, str]]:
    own = {flag.name for _, flag in flags_of(type(chosen))}
    owners: dict[str, list[str]] = {}
    for name, method in methods.items():
        for _, flag in flags_of(method):
            if flag.name not in own:
                owners.setdefault(flag.name, []).append(name)
    for name, having in owners.items():
        yield (
            name,
            f"{chosen.title} has no such setting; {', '.join(having)} {'has' if len(having) == 1 else 'have'} it",
        )


def _of_reinforcement(config: RLConfig) -> Iterator[tuple[str, str]]:
    title = config.method.title
    yield "max_ckpt_mem", "--max_ckpt_num limits the checkpoints that are kept"
    if config.deepspeed.adam_offload:
        yield "deepspeed_enable_sleep", "--adam_offload keeps the optimiser's state in CPU memory anyway"
    if not config.evaluation.eval_dataset:
        about = [flag.name for _, flag in flags_of(EvaluationConfig) if flag.name.startswith("eval_")]
        yield " ".join(about), "there is no --eval_dataset"
    if not config.data.pretrain_data:
        yield PRETRAINING, "there is no --pretrain_data"
    if not config.has_critic:
        own = " ".join(flag.name for _, flag in flags_of(CriticConfig))
        yield f"{own} {CRITIC_PLACES}", f"{title} trains no critic"
    if not config.reward.models:
        yield REWARD_MODELS, "--remote_rm_url gives the rewards, so no reward model is loaded"
        if not config.has_critic:
            yield "value_head_prefix", "there is no reward model and no critic"
        if not config.method.needs_old_logprobs:
            yield (
                "micro_rollout_batch_size",
                f"engines choose the size of their batches, and {title} scores nothing beforehand",
            )
    if not any("://" in source for source in config.reward.sources):
        yield "api_key_file", "no server gives the rewards"
    if config.reward.sources != [BUILT_IN_GRADER]:
        yield "reward_policy", "the built-in grader does not give the rewards"
    if not config.rollout.rollout_ahead:
        yield "rollout_inflight", "without --rollout_ahead nobody generates when weights come"
    correction = config.rollout.off_policy_correction
    for name, kind in (("correction_cap", "tis"), ("correction_range", "icepop")):
        if correction != kind:
            yield name, f"--off_policy_correction is {correction}, not {kind}"
    yield from _of_kl(config)


def _of_kl(config: RLConfig) -> Iterator[tuple[str, str]]:
    places = config.method.kl_places
    if config.reference_is_a_role:
        return
    if config.needs_reference:
        yield REFERENCE_PLACES, "the reference model shares the GPUs of the policy"
    elif config.kl.init_kl_coef == 0:
        yield f"use_kl_loss {KL_DETAILS} {REFERENCE_PLACES}", "the KL term's weight --init_kl_coef is 0"
    else:
        why = "has no KL term without --use_kl_loss" if "loss" in places else "has no KL term"
        yield f"init_kl_coef {KL_DETAILS} {REFERENCE_PLACES}", f"{config.method.title} {why}"


def _of_batches(config: BatchConfig) -> Iterator[tuple[str, str]]:
    yield "zero_stage", "every rank holds the whole model"
    task = config.task.eval_task
    if task == "rm":
        sampling = " ".join(flag.name for _, flag in flags_of(SamplingConfig))
        yield f"{GENERATION} {sampling} {ONLY_VLLM}", "--eval_task rm generates nothing"
        if config.task.post_processor != "csft":
            yield "reward_template", "only --post_processor csft writes with it"
        return
    yield SCORING, f"--eval_task {task} scores nothing"
    if config.task.iter is None:
        yield "rollout_batch_size", "without --iter all prompts are used"
    if task == "generate":
        yield ONLY_VLLM, "--eval_task generate does not use vLLM"
    else:
        yield "micro_batch_size", "vLLM makes its own batches, of up to --max_num_seqs"
        yield "flash_attn", "vLLM chooses its own attention"
        yield "full_determinism", "vLLM samples every response from its own seed, with its own kernels"


def _of_sampling(config: BatchConfig | ChatConfig) -> Iterator[tuple[str, str]]:
    if isinstance(config, BatchConfig):
        chat, scores = config.data.apply_chat_template, config.task.eval_task == "rm"
    else:
        chat, scores = config.conversation.apply_chat_template, False
    if not scores:
        if not config.sampling.enable_csft:
            yield "csft_prompt", "it is used with --enable_csft"
        if config.sampling.greedy_sampling:
            yield "temperature top_p", "--greedy_sampling takes the most likely token"
        if chat:
            yield "input_template", "--apply_chat_template uses the tokenizer's"
