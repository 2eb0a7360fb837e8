"""Rules between settings: what a configuration turns into, and what is refused before anything expensive starts.

Each takes a configuration and returns an adjusted one with notes for the user; none changes what it was given. The
rules are those of OpenRLHF 0.6.2, but packing needs neither vLLM nor flash-attn here.
"""

import ast
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from string import Formatter
from typing import Any, TypeVar

from openrlhf.config.method import AnswerHint
from openrlhf.config.model import LoadingConfig, ModelConfig
from openrlhf.config.offline import OfflineConfig
from openrlhf.config.reinforcement import BUILT_IN_GRADER, RLConfig
from openrlhf.config.settings import flags_of, values_of, with_flags
from openrlhf.errors import UserError

L = TypeVar("L", bound=LoadingConfig)


def rl_rules(config: RLConfig) -> tuple[RLConfig, list[str]]:
    """Rules of reinforcement learning.

    Afterwards the sources of rewards, `input_template`, `critic_pretrain`, `packing_samples` and
    `attn_implementation` are decided. UserError: the settings contradict each other.
    """
    notes: list[str] = []
    require(config.model.pretrain, "pretrain", "the model to train: a Hugging Face folder or hub name")
    require(config.data.prompt_data, "prompt_data", "the training prompts: a file, folder or hub name")
    check_ranges(config)
    template, said = settled_template(config.data.input_template, config.data.apply_chat_template)
    config, notes = with_flags(config, input_template=template), notes + said
    config = _settle_rewards(config)
    for rule in (_settle_critic, config.method.settle):
        config, said = rule(config)
        notes += said
    model, said = settled_model(config.model, config.deepspeed.zero_stage)
    config, notes = replace(config, model=model), notes + said
    _check_kl(config)
    if config.kl.use_kl_loss and config.kl.kl_estimator == "k1":
        notes.append("--kl_estimator k1 has an expected gradient of zero as a loss: k2 or k3 pulls to the reference.")
    _check_sampling(config)
    if any("\\n" in text for text in config.rollout.stop):
        notes.append("--stop contains a backslash and an n: in bash, write $'…\\n…' for a line break.")
    if config.data.pretrain_data and not config.method.takes_pretraining:
        raise UserError(f"--pretrain_data: {config.method.title} adds no loss on plain text; remove it")
    for rule in (_settle_engines, _settle_sleep, _settle_ahead):
        config, said = rule(config)
        notes += said
    _check_placement(config)
    config, said = _settle_replay(config)
    return config, notes + said


def offline_rules(config: OfflineConfig) -> tuple[OfflineConfig, list[str]]:
    """Rules of training on fixed data, with those of the method. UserError: as `rl_rules`."""
    require(config.model.pretrain, "pretrain", "the model to train: a Hugging Face folder or hub name")
    require(config.data.dataset, "dataset", "the training data: a file, folder or hub name")
    check_ranges(config)
    model, notes = settled_model(config.model, config.deepspeed.zero_stage)
    config, said = config.method.settle(replace(config, model=model))
    return config, notes + said


def require(value: Any, flag: str, what: str) -> None:
    if not value:
        raise UserError(f"--{flag} is missing: {what}")


def check_ranges(config: Any) -> None:
    """UserError where a number is out of range."""
    values = values_of(config)
    kinds = [type(config), *([type(config.method)] if hasattr(config, "method") else [])]
    for _, flag in (found for kind in kinds for found in flags_of(kind)):
        flag.check(values[flag.name])
    betas = values.get("adam_betas", ())
    if not all(0 <= beta < 1 for beta in betas):
        raise UserError(f"--adam_betas {betas} is out of range: both are at least 0 and less than 1")


def settled_model(model: L, zero_stage: int = 0) -> tuple[L, list[str]]:
    """Decides `attn_implementation`; refuses what is not installed or not built."""
    notes: list[str] = []
    if isinstance(model, ModelConfig):
        split, notes = _settle_sequence_parallelism(model)
        model = split  # type: ignore[assignment]
    if model.use_ms:
        raise UserError("--use_ms: ModelScope is not supported; download there and give the local folder instead")
    if model.load_in_4bit:
        _check_4bit(model, zero_stage)
    installed = find_spec("flash_attn") is not None
    attention = model.attn_implementation
    if attention == "flash_attention_2" and not installed:
        raise UserError(
            "--attn_implementation flash_attention_2 needs the package flash-attn: install the extra"
            " [flash], or use sdpa"
        )
    if attention is None:
        attention = "flash_attention_2" if model.flash_attn and installed else "sdpa"
        if model.flash_attn and not installed:
            notes.append("--flash_attn: the package flash-attn is not installed, so sdpa attention is used.")
    if attention == "flash_attention_2" and not model.bf16:
        raise UserError("FlashAttention does not compute in float32: add --bf16 or remove --flash_attn")
    return replace(model, attn_implementation=attention), notes


def settled_template(template: str | None, apply_chat_template: bool = False) -> tuple[str | None, list[str]]:
    """A template without `{}`, the literal None included, is none; points out a literal \\n."""
    if template is None:
        return None, []
    if "{}" not in template:
        if template in ("None", ""):
            return None, []
        return None, [f"--input_template {template!r} has no {{}} for the prompt, so no template is used."]
    check_template(template)
    if "\\n" in template and not apply_chat_template:
        return template, ["--input_template contains a backslash and an n: in bash, write $'…\\n…' for a line break."]
    return template, []


def check_template(template: str) -> None:
    """UserError unless `template` has exactly one `{}`; other braces are doubled, as in 0.6.2."""
    try:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
    except ValueError as error:
        fields = [str(error)]
    if fields != [""]:
        raise UserError(
            f"--input_template {template!r} needs exactly one {{}}, where the prompt goes; write other braces"
            " twice, as in \\boxed{{}}"
        )


def _check_4bit(model: LoadingConfig, zero_stage: int) -> None:
    if find_spec("bitsandbytes") is None:
        raise UserError("--load_in_4bit needs bitsandbytes: pip install -e '.[bnb]', or remove the flag")
    if not isinstance(model, ModelConfig):
        return
    if model.lora.lora_rank == 0:
        raise UserError("--load_in_4bit: weights of 4 bits cannot be trained themselves; add --lora_rank, such as 16")
    if zero_stage == 3:
        raise UserError("--load_in_4bit does not go with --zero_stage 3, which cannot shard them: use 2")


def _settle_sequence_parallelism(model: ModelConfig) -> tuple[ModelConfig, list[str]]:
    """--ring_attn_size: sdpa on packed rows only; what the model and the ranks allow is checked when they are known."""
    size = model.ring_attn_size
    if size == 1:
        return model, []
    if not model.packing_samples:
        raise UserError(f"--ring_attn_size {size} splits packed rows: add --packing_samples")
    if model.torch_compile:
        raise UserError(f"--ring_attn_size {size} and --torch_compile were never shown to work together: remove one")
    if model.attn_implementation not in (None, "sdpa"):
        raise UserError(
            f"--ring_attn_size {size} works with sdpa attention, not with --attn_implementation"
            f" {model.attn_implementation}: remove that flag"
        )
    notes = ["--flash_attn: split rows use PyTorch's sdpa, which has FlashAttention kernels of its own."]
    return replace(model, attn_implementation="sdpa"), notes if model.flash_attn else []


def _settle_rewards(config: RLConfig) -> RLConfig:
    """A method may name who grades where nothing is said."""
    sources = config.reward.sources
    if not sources and config.method.default_reward is not None:
        sources = [config.method.default_reward]
        config = with_flags(config, remote_rm_url=config.method.default_reward)
    if not sources and not config.reward.models:
        raise UserError("no reward: give --remote_rm_url (a .py file or URLs) or --reward_pretrain (a model)")
    urls = [source for source in sources if source.startswith(("http://", "https://"))]
    for file in (source for source in sources if source not in urls and source != BUILT_IN_GRADER):
        if not file.endswith(".py"):
            raise UserError(
                f"--remote_rm_url {file} is neither a .py file, nor a URL (http:// or https://), nor"
                f" {BUILT_IN_GRADER!r}"
            )
        _check_reward_file(file)
    if len(sources) > 1 and len(sources) != len(urls):
        raise UserError(
            f"--remote_rm_url {config.reward.remote_rm_url}: only URLs can be summed; give one file, or URLs"
        )
    return config


def _check_reward_file(file: str) -> None:
    """What can be seen without running it."""
    try:
        source = Path(file).read_bytes()
        ast.parse(source, file)
    except OSError as error:
        raise UserError(f"--remote_rm_url {file}: cannot be read ({error.strerror})") from None
    except SyntaxError as error:
        raise UserError(f"--remote_rm_url {file}, line {error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise UserError(f"--remote_rm_url {file}: no Python ({error})") from None
    if b"reward_func" not in source and b"import *" not in source:
        raise UserError(f"--remote_rm_url {file}: the file defines no reward_func(queries, prompts, labels)")


def _settle_critic(config: RLConfig) -> tuple[RLConfig, list[str]]:
    given = config.critic.critic_pretrain
    if not config.method.needs_critic:
        notes = [] if given is None else [f"--critic_pretrain is dropped: {config.method.title} trains no critic."]
        return with_flags(config, critic_pretrain=None), notes
    if given is not None:
        return config, []
    start = config.reward.models[0] if config.reward.models else config.model.pretrain
    notes = [f"The critic starts from {start} (--critic_pretrain chooses another)."]
    return with_flags(config, critic_pretrain=start), notes


def _check_kl(config: RLConfig) -> None:
    method = config.method
    if config.kl.use_kl_loss and "loss" not in method.kl_places:
        raise UserError(f"{method.title} has no KL term in its loss: remove --use_kl_loss")


def _check_sampling(config: RLConfig) -> None:
    rollout, evaluation = config.rollout, config.evaluation
    if "" in rollout.stop:
        raise UserError("--stop has an empty text, which every response contains: remove it")
    if config.method.needs_groups and rollout.n_samples_per_prompt < 2:
        raise UserError(
            f"{config.method.title} needs several responses to the same prompt, but --n_samples_per_prompt is"
            f" {rollout.n_samples_per_prompt}: give at least 2"
        )
    if rollout.temperature == 0 and rollout.n_samples_per_prompt > 1:
        raise UserError(
            f"--temperature 0 makes all --n_samples_per_prompt {rollout.n_samples_per_prompt} responses equal: raise it"
        )
    if evaluation.eval_temperature == 0 and evaluation.eval_n_samples > 1:
        raise UserError(
            f"--eval_n_samples {evaluation.eval_n_samples} responses at --eval_temperature 0 are all equal: give"
            " --eval_temperature a positive value or --eval_n_samples 1"
        )
    if config.engine.vllm_sync_backend not in ("nccl", "gloo"):
        raise UserError(
            f"--vllm_sync_backend {config.engine.vllm_sync_backend} does not exist: use nccl (GPU) or gloo (CPU)"
        )


def _settle_engines(config: RLConfig) -> tuple[RLConfig, list[str]]:
    """Colocated engines are as many as fill the policy's GPUs where --vllm_num_engines does not say it."""
    engine, actors = config.engine, config.placement.actor_ranks
    size = engine.vllm_tensor_parallel_size
    if engine.rollout_engine == "hf" and size > 1:
        raise UserError(
            f"--rollout_engine hf runs on one GPU each, but --vllm_tensor_parallel_size is {size}: remove that flag"
        )
    if not config.placement.colocate_all_models or engine.vllm_num_engines:
        return config, []
    if actors % size:
        raise UserError(
            f"--colocate_all_models puts engines on the actor's {actors} GPUs, of which --vllm_tensor_parallel_size"
            f" {size} is no divisor: change it"
        )
    if actors == size:
        return config, []
    note = f"{actors // size} engines fill the actor's {actors} GPUs (--vllm_num_engines chooses another number)."
    return with_flags(config, vllm_num_engines=actors // size), [note]


def _settle_sleep(config: RLConfig) -> tuple[RLConfig, list[str]]:
    notes = []
    if config.engine.vllm_enable_sleep and not config.placement.colocate_all_models:
        config = with_flags(config, vllm_enable_sleep=False)
        notes.append("--vllm_enable_sleep is dropped: engines sleep only with --colocate_all_models.")
    if config.placement.deepspeed_enable_sleep and config.deepspeed.adam_offload:
        config = with_flags(config, deepspeed_enable_sleep=False)  # nothing would be left to move
    stage = config.deepspeed.zero_stage
    if config.placement.deepspeed_enable_sleep and stage != 3:
        raise UserError(f"--deepspeed_enable_sleep needs --zero_stage 3, found {stage}: change one of them")
    return config, notes


def _settle_replay(config: RLConfig) -> tuple[RLConfig, list[str]]:
    """Without engines nothing is sampled, graded or evaluated. UserError: a run that would read its own files."""
    if not config.rollout.replay:
        return config, []
    own, source = Path(config.checkpoint.save_path).resolve(), Path(config.rollout.replay).resolve()
    if own in (source, source.parent):
        raise UserError(f"--replay {config.rollout.replay} lies in --save_path: give the new run another folder")
    off: dict[str, Any] = {"remote_rm_url": None, "reward_pretrain": None, "eval_dataset": None, "eval_steps": -1}
    off["rollout_ahead"] = 0  # files are there at once
    if isinstance(config.method, AnswerHint):
        off["hinted_eval_steps"] = -1
    note = "--replay: rollouts and their rewards come from files; nothing is sampled, graded or evaluated."
    return with_flags(config, **off), [note]


def _settle_ahead(config: RLConfig) -> tuple[RLConfig, list[str]]:
    """--rollout_ahead and the correction for tokens that another policy sampled."""
    rollout = config.rollout
    if rollout.off_policy_correction is None:
        config = with_flags(config, off_policy_correction="tis" if rollout.rollout_ahead else "none")
    if rollout.rollout_ahead and config.placement.colocate_all_models:
        raise UserError(
            f"--rollout_ahead {rollout.rollout_ahead}: engines cannot generate while the ranks train on the same GPUs:"
            " remove --colocate_all_models, or --rollout_ahead"
        )
    engine = config.engine.rollout_engine
    if rollout.updates_in_flight and (engine == "hf" or (engine == "auto" and not find_spec("vllm"))):
        raise UserError(
            "--rollout_inflight continue needs vLLM: the Hugging Face engine takes no weights within a batch; use"
            " finish"
        )
    low, high = rollout.correction_range
    if not 0 <= low < high:
        raise UserError(f"--correction_range {low:g} {high:g} is no range of ratios: give two, the lower one first")
    if config.rollout.corrects:
        trained = config.method.trained_temperature(config)
        if rollout.top_p < 1 or rollout.temperature != trained:
            raise UserError(
                f"--off_policy_correction {config.rollout.off_policy_correction} compares probabilities of sampler and"
                f" policy, but responses are sampled with --temperature {rollout.temperature:g} --top_p"
                f" {rollout.top_p:g} and trained on at {trained:g} without a cut: make them equal, or give"
                " --off_policy_correction none"
            )
    return config, []


def _check_placement(config: RLConfig) -> None:
    """The divisibility rules of 0.6.2, and equal GPU counts for roles that share GPUs."""
    placement, engine = config.placement, config.engine
    actors, size = placement.actor_ranks, config.rollout.rollout_batch_size
    if size % actors:
        raise UserError(
            f"--rollout_batch_size {size} cannot be shared equally by {actors} actor ranks"
            f" (--actor_num_nodes × --actor_num_gpus_per_node): make it a multiple of {actors}"
        )
    engines = engine.vllm_num_engines or 0
    if engines and actors % engines and engines % actors:
        raise UserError(
            f"{actors} actor ranks and --vllm_num_engines {engines}: one must be a multiple of the other;"
            " change --vllm_num_engines or --actor_num_gpus_per_node"
        )
    if config.has_critic and actors % placement.critic_ranks:
        raise UserError(
            f"{actors} actor ranks are not a multiple of {placement.critic_ranks} critic ranks: change"
            " --critic_num_gpus_per_node or --critic_num_nodes"
        )
    _check_split_roles(config)
    engine_gpus = engines * engine.vllm_tensor_parallel_size
    everything = placement.colocate_all_models
    if everything and engines and engine_gpus != actors:
        raise UserError(
            f"--colocate_all_models puts engines on the actor's {actors} GPUs, but {engines} engines ×"
            f" --vllm_tensor_parallel_size {engine.vllm_tensor_parallel_size} need {engine_gpus}: change"
            " --vllm_num_engines"
        )
    there = _roles(config)
    if there["ref"] and (placement.colocate_actor_ref or everything):
        _check_same_gpus(config, "actor", "ref")
    if there["critic"] and everything:
        _check_same_gpus(config, "actor", "critic")
    if there["reward"] and everything:
        _check_same_gpus(config, "actor", "reward")
    if placement.colocate_critic_reward and there["critic"] and there["reward"]:
        _check_same_gpus(config, "critic", "reward")


def _roles(config: RLConfig) -> dict[str, bool]:
    """Roles by the beginnings of their flags, and whether this run has them."""
    return {
        "actor": True,
        "ref": config.reference_is_a_role,
        "critic": config.has_critic,
        "reward": bool(config.reward.models),
    }


def _check_split_roles(config: RLConfig) -> None:
    """Every role that reads rows splits them, so that each can have rows as long as the policy's."""
    size, values = config.model.ring_attn_size, values_of(config.placement)
    for role in (role for role, there in _roles(config).items() if there):
        ranks = values[f"{role}_num_nodes"] * values[f"{role}_num_gpus_per_node"]
        if ranks % size:
            raise UserError(
                f"--ring_attn_size {size} splits rows over as many ranks, but {role} has {ranks}: make"
                f" --{role}_num_nodes × --{role}_num_gpus_per_node a multiple of {size}"
            )


def _check_same_gpus(config: RLConfig, one: str, other: str) -> None:
    values = values_of(config.placement)
    for what in ("num_nodes", "num_gpus_per_node"):
        left, right = values[f"{one}_{what}"], values[f"{other}_{what}"]
        if left != right:
            raise UserError(
                f"{one} and {other} share their GPUs, but --{one}_{what} is {left} and --{other}_{what} is"
                f" {right}: make them equal"
            )


def hinted_evaluation(config: RLConfig) -> tuple[int, int]:
    """Every how many steps, and on how many prompts, the answer in the hint is tried; (-1, 0): never."""
    method = config.method
    return (method.hinted_eval_steps, method.hinted_eval_prompts) if isinstance(method, AnswerHint) else (-1, 0)
