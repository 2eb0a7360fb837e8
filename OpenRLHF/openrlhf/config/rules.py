"""Rules between flags: what a command line turns into, and what is refused before anything expensive starts.

`rl_rules`, `sft_rules` and so on leave the parsed namespace alone and return an adjusted copy with notes for the
user. The rules are those of OpenRLHF 0.6.2, but packing needs neither vLLM nor flash-attn here.
"""

from argparse import Namespace
from copy import copy
from importlib.util import find_spec
from pathlib import Path

from openrlhf.config.ranges import check_ranges
from openrlhf.datasets.templates import check_template
from openrlhf.errors import UserError

NEEDS_SEVERAL_SAMPLES = ("rloo", "reinforce_baseline", "group_norm", "dr_grpo", "intro")
KEEPS_CORRECT = ("intro", "raft")  # train on correct responses alone, so that there is nothing to clip or to compare
MATH_REWARD = "math"
PAIRWISE_LOSSES = ("sigmoid", "logexp")
BACKBONE_NAMES = ("model", "transformer", "gpt_neox", "backbone")


def rl_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """Adjusts the flags of train_ppo_ray and train_ppo_ray_intro; returns them with notes worth printing.

    Afterwards `remote_rm_url` is a list or None (`["math"]`: the built-in grader, InTRO's default),
    `input_template` is None or contains `{}`, `critic_pretrain` is None exactly where no critic is trained,
    `packing_samples` and `attn_implementation` are decided. UserError: the flags contradict each other.
    """
    args, notes = copy(args), []
    _require(args, "pretrain", "the model to train: a Hugging Face folder or hub name")
    _require(args, "prompt_data", "the training prompts: a file, folder or hub name")
    check_ranges(args)
    notes += _settle_template(args)
    _settle_rewards(args)
    notes += _settle_critic(args)
    if args.advantage_estimator == "intro":
        _check_intro(args)
        args.packing_samples = not args.no_pack_samples
    else:
        args.hinted_eval_steps = -1  # hints are InTRO's
    notes += _settle_sequence_parallelism(args)
    notes += _settle_model(args)
    if args.advantage_estimator == "raft" and args.use_kl_loss:
        raise UserError("--advantage_estimator raft has no KL term: remove --use_kl_loss, or use intro")
    if args.use_kl_loss and args.kl_estimator == "k1":
        notes.append("--kl_estimator k1 has an expected gradient of zero as a loss: k2 or k3 pulls to the reference.")
    _check_sampling(args)
    if args.pretrain_data and args.advantage_estimator in KEEPS_CORRECT:
        raise UserError(
            f"--pretrain_data: --advantage_estimator {args.advantage_estimator} adds no loss on plain text; remove it"
        )
    if args.vllm_enable_sleep and not args.colocate_all_models:
        args.vllm_enable_sleep = False
        notes.append("--vllm_enable_sleep is dropped: engines sleep only with --colocate_all_models.")
    if args.deepspeed_enable_sleep and args.adam_offload:
        args.deepspeed_enable_sleep = False  # nothing would be left to move
    if args.deepspeed_enable_sleep and args.zero_stage != 3:
        raise UserError(f"--deepspeed_enable_sleep needs --zero_stage 3, found {args.zero_stage}: change one of them")
    _check_placement(args)
    return args, notes


def offline_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """Rules that all commands that train on fixed data share; the commands' own come on top.

    Returns an adjusted copy with notes worth printing. UserError: as `rl_rules`.
    """
    _require(args, "pretrain", "the model to train: a Hugging Face folder or hub name")
    _require(args, "dataset", "the training data: a file, folder or hub name")
    return model_rules(args)


def model_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """Rules of every command that loads a model: ranges of numbers, attention, the template."""
    args, notes = copy(args), []
    check_ranges(args)
    notes += _settle_sequence_parallelism(args)
    notes += _settle_model(args)
    if hasattr(args, "input_template"):
        notes += _settle_template(args)
    return args, notes


def sft_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """`offline_rules`, and those of train_sft."""
    args, notes = offline_rules(args)
    if args.multiturn and not args.apply_chat_template:
        raise UserError("--multiturn needs --apply_chat_template: turns are found by the chat template; add it")
    if args.multiturn and args.pretrain_mode:
        raise UserError("--multiturn and --pretrain_mode choose different parts of the text: remove one")
    if not args.pretrain_mode and not args.output_key and not args.apply_chat_template:
        raise UserError(
            "nothing says where the responses are: give --output_key, or --pretrain_mode to train on the"
            " whole text, or --apply_chat_template with conversations in --input_key"
        )
    return args, notes


def kd_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """`offline_rules`, and those of train_kd."""
    args, notes = offline_rules(args)
    _require(args, "teacher_model", "the model whose distribution is distilled: a Hugging Face folder or hub name")
    return args, notes


def prm_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """`offline_rules`, and those of train_prm."""
    args, notes = offline_rules(args)
    _require(args, "placeholder_token", "the token that ends every step in the texts, such as ки")
    args.reward_tokens = args.reward_tokens or None
    if args.reward_tokens is not None and len(args.reward_tokens) < 2:
        raise UserError(
            f"--reward_tokens {args.reward_tokens[0]}: the label is chosen among them, so give at least two, or none "
            "to choose among all tokens"
        )
    return args, notes


def rm_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """`offline_rules`, and those of train_rm."""
    args, notes = offline_rules(args)
    if args.loss not in PAIRWISE_LOSSES:
        raise UserError(f"--loss {args.loss} does not exist: use {' or '.join(PAIRWISE_LOSSES)}")
    if not args.value_head_prefix.isidentifier() or args.value_head_prefix in BACKBONE_NAMES:
        raise UserError(
            f"--value_head_prefix {args.value_head_prefix!r} cannot be the name of the last layer: give a word that no"
            " other part of the model has, such as score or value_head"
        )
    return args, notes


def dpo_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """`offline_rules`, and those of train_dpo; afterwards `ref_pretrain` is always a model."""
    args, notes = offline_rules(args)
    if args.label_smoothing >= 0.5:
        raise UserError(
            f"--label_smoothing {args.label_smoothing} is out of range: it is the share of swapped preferences, so"
            " from 0.5 on they say nothing or the contrary; give less than 0.5"
        )
    args.ref_pretrain = args.ref_pretrain or args.pretrain
    return args, notes


def kto_rules(args: Namespace) -> tuple[Namespace, list[str]]:
    """`offline_rules`, and those of train_kto."""
    args, notes = offline_rules(args)
    if args.train_batch_size < 2:
        raise UserError(
            "--train_batch_size 1: KTO's KL term is estimated from prompts with the responses of other samples of the"
            " batch; give at least 2, better 32"
        )
    if not args.desirable_loss_weight and not args.undesirable_loss_weight:
        raise UserError(
            "--desirable_loss_weight and --undesirable_loss_weight are both 0: nothing would be learned; raise one"
        )
    if not args.output_key and not args.apply_chat_template:
        raise UserError(
            "nothing says where the responses are: give --output_key, or --apply_chat_template with conversations in"
            " --input_key"
        )
    return args, notes


def needs_reference(args: Namespace) -> bool:
    """Whether a reference model is loaded: for a KL weight; under InTRO and RAFT only where KL is in the loss."""
    if args.advantage_estimator == "raft":
        return False
    return args.init_kl_coef > 0 and (args.advantage_estimator != "intro" or args.use_kl_loss)


def reference_is_a_role(args: Namespace) -> bool:
    """InTRO's reference lives beside the policy, which may need the same model as its posterior."""
    return needs_reference(args) and args.advantage_estimator != "intro"


def reward_models(args: Namespace) -> list[str]:
    """Reward models that get ranks of their own; --remote_rm_url replaces them. args: after `rl_rules`."""
    if args.remote_rm_url or not args.reward_pretrain:
        return []
    return [path.strip() for path in args.reward_pretrain.split(",") if path.strip()]


def actor_world_size(args: Namespace) -> int:
    """Ranks that train the policy."""
    return args.actor_num_nodes * args.actor_num_gpus_per_node


def _require(args: Namespace, name: str, what: str) -> None:
    if not getattr(args, name):
        raise UserError(f"--{name} is missing: {what}")


def _settle_model(args: Namespace) -> list[str]:
    """Decides `attn_implementation`; refuses what is not installed or not built."""
    notes = []
    if args.use_ms:
        raise UserError("--use_ms: ModelScope is not supported; download there and give the local folder instead")
    if getattr(args, "load_in_4bit", False):
        _check_4bit(args)
    installed = find_spec("flash_attn") is not None
    args.attn_implementation = getattr(args, "attn_implementation", None)
    if args.attn_implementation == "flash_attention_2" and not installed:
        raise UserError(
            "--attn_implementation flash_attention_2 needs the package flash-attn: install the extra"
            " [flash], or use sdpa"
        )
    if args.attn_implementation is None:
        args.attn_implementation = "flash_attention_2" if args.flash_attn and installed else "sdpa"
        if args.flash_attn and not installed:
            notes.append("--flash_attn: the package flash-attn is not installed, so sdpa attention is used.")
    if args.attn_implementation == "flash_attention_2" and not args.bf16:
        raise UserError("FlashAttention does not compute in float32: add --bf16 or remove --flash_attn")
    return notes


def _check_4bit(args: Namespace) -> None:
    if find_spec("bitsandbytes") is None:
        raise UserError("--load_in_4bit needs bitsandbytes: pip install -e '.[bnb]', or remove the flag")
    if not hasattr(args, "lora_rank"):
        return
    if args.lora_rank == 0:
        raise UserError("--load_in_4bit: weights of 4 bits cannot be trained themselves; add --lora_rank, such as 16")
    if args.zero_stage == 3:
        raise UserError("--load_in_4bit does not go with --zero_stage 3, which cannot shard them: use 2")


def _settle_sequence_parallelism(args: Namespace) -> list[str]:
    """--ring_attn_size: sdpa on packed rows only; what the model and the ranks allow is checked when they are known."""
    size = getattr(args, "ring_attn_size", 1)
    if size == 1:
        return []
    if not args.packing_samples:
        instead = "remove --no_pack_samples" if getattr(args, "no_pack_samples", False) else "add --packing_samples"
        raise UserError(f"--ring_attn_size {size} splits packed rows: {instead}")
    if args.torch_compile:
        raise UserError(f"--ring_attn_size {size} and --torch_compile were never shown to work together: remove one")
    if args.attn_implementation not in (None, "sdpa"):
        raise UserError(
            f"--ring_attn_size {size} works with sdpa attention, not with --attn_implementation"
            f" {args.attn_implementation}: remove that flag"
        )
    args.attn_implementation = "sdpa"
    if not args.flash_attn:
        return []
    return ["--flash_attn: split rows use PyTorch's sdpa, which has FlashAttention kernels of its own."]


def _settle_template(args: Namespace) -> list[str]:
    """Drops an `input_template` without `{}`, the literal None included; points out a literal \\n."""
    template = args.input_template
    if template is None:
        return []
    if "{}" not in template:
        args.input_template = None
        if template in ("None", ""):
            return []
        return [f"--input_template {template!r} has no {{}} for the prompt, so no template is used."]
    check_template(template)
    if "\\n" in template and not args.apply_chat_template:
        return ["--input_template contains a backslash and an n: in bash, write $'…\\n…' for a line break."]
    return []


def _settle_rewards(args: Namespace) -> None:
    """Splits `remote_rm_url`; InTRO and RAFT grade with the built-in grader unless told otherwise."""
    urls = [part.strip() for part in (args.remote_rm_url or "").split(",") if part.strip()]
    if not urls and args.advantage_estimator in KEEPS_CORRECT:
        urls = [MATH_REWARD]
    if not urls and not args.reward_pretrain:
        raise UserError("no reward: give --remote_rm_url (a .py file or URLs) or --reward_pretrain (a model)")
    files = [url for url in urls if not url.startswith(("http://", "https://")) and url != MATH_REWARD]
    for file in files:
        if not file.endswith(".py"):
            raise UserError(
                f"--remote_rm_url {file} is neither a .py file, nor a URL (http:// or https://), nor {MATH_REWARD!r}"
            )
        if not Path(file).is_file():
            raise UserError(f"--remote_rm_url {file}: there is no such file")
    if len(urls) > 1 and len(urls) != sum(url.startswith("http") for url in urls):
        raise UserError(f"--remote_rm_url {args.remote_rm_url}: only URLs can be summed; give one file, or URLs")
    args.remote_rm_url = urls or None


def _settle_critic(args: Namespace) -> list[str]:
    if args.advantage_estimator != "gae":
        dropped, args.critic_pretrain = args.critic_pretrain, None
        if dropped is None:
            return []
        return ["--critic_pretrain is dropped: only --advantage_estimator gae trains a critic."]
    if args.critic_pretrain is None:
        args.critic_pretrain = args.pretrain if args.remote_rm_url else args.reward_pretrain.split(",")[0]
        return [f"The critic starts from {args.critic_pretrain} (--critic_pretrain chooses another)."]
    return []


def _check_sampling(args: Namespace) -> None:
    estimator = args.advantage_estimator
    if estimator in NEEDS_SEVERAL_SAMPLES and args.n_samples_per_prompt < 2:
        raise UserError(
            f"--advantage_estimator {estimator} compares responses to the same prompt, but"
            f" --n_samples_per_prompt is {args.n_samples_per_prompt}: give at least 2"
        )
    if args.temperature == 0 and args.n_samples_per_prompt > 1:
        raise UserError(
            f"--temperature 0 makes all --n_samples_per_prompt {args.n_samples_per_prompt} responses equal: raise it"
        )
    if args.eval_temperature == 0 and args.eval_n_samples > 1:
        raise UserError(
            f"--eval_n_samples {args.eval_n_samples} responses at --eval_temperature 0 are all equal: give"
            " --eval_temperature a positive value or --eval_n_samples 1"
        )
    if args.vllm_sync_backend not in ("nccl", "gloo"):
        raise UserError(f"--vllm_sync_backend {args.vllm_sync_backend} does not exist: use nccl (GPU) or gloo (CPU)")


def _check_intro(args: Namespace) -> None:
    if args.label_key is None:
        raise UserError("InTRO learns from gold answers: name their field with --label_key, e.g. --label_key answer")
    if "{answer}" not in args.intro_answer_template:
        raise UserError(
            f"--intro_answer_template {args.intro_answer_template!r} has no {{answer}}: the posterior would"
            " not"
            " know the answer; put {answer} where it belongs"
        )
    if args.packing_samples and args.no_pack_samples:
        raise UserError("--packing_samples and --no_pack_samples contradict each other: remove one")


def _check_placement(args: Namespace) -> None:
    """The divisibility rules of 0.6.2, and equal GPU counts for roles that share GPUs."""
    actors = actor_world_size(args)
    if args.rollout_batch_size % actors:
        raise UserError(
            f"--rollout_batch_size {args.rollout_batch_size} cannot be shared equally by {actors} actor ranks"
            f" (--actor_num_nodes × --actor_num_gpus_per_node): make it a multiple of {actors}"
        )
    engines = args.vllm_num_engines or 0
    if engines and actors % engines and engines % actors:
        raise UserError(
            f"{actors} actor ranks and --vllm_num_engines {engines}: one must be a multiple of the other;"
            " change --vllm_num_engines or --actor_num_gpus_per_node"
        )
    if args.critic_pretrain:
        critics = args.critic_num_nodes * args.critic_num_gpus_per_node
        if critics < 1 or actors % critics:
            raise UserError(
                f"{actors} actor ranks are not a multiple of {critics} critic ranks: change"
                " --critic_num_gpus_per_node or --critic_num_nodes"
            )
    _check_split_roles(args)
    engine_gpus = engines * args.vllm_tensor_parallel_size
    if args.colocate_all_models and engines and engine_gpus != actors:
        raise UserError(
            f"--colocate_all_models puts engines on the actor's {actors} GPUs, but {engines} engines ×"
            f" --vllm_tensor_parallel_size {args.vllm_tensor_parallel_size} need {engine_gpus}: change"
            " --vllm_num_engines"
        )
    everything = args.colocate_all_models
    if (args.colocate_actor_ref or everything) and reference_is_a_role(args):
        _check_same_gpus(args, "actor", "ref")
    if everything and args.critic_pretrain:
        _check_same_gpus(args, "actor", "critic")
    if everything and reward_models(args):
        _check_same_gpus(args, "actor", "reward")
    if args.colocate_critic_reward and args.critic_pretrain and reward_models(args):
        _check_same_gpus(args, "critic", "reward")


def _check_split_roles(args: Namespace) -> None:
    """Every role that reads rows splits them, so that each can have rows as long as the policy's."""
    wanted = {
        "actor": True,
        "ref": reference_is_a_role(args),
        "critic": bool(args.critic_pretrain),
        "reward": bool(reward_models(args)),
    }
    for role in (role for role, there in wanted.items() if there):
        ranks = getattr(args, f"{role}_num_nodes") * getattr(args, f"{role}_num_gpus_per_node")
        if ranks % args.ring_attn_size:
            raise UserError(
                f"--ring_attn_size {args.ring_attn_size} splits rows over as many ranks, but {role} has {ranks}: make"
                f" --{role}_num_nodes × --{role}_num_gpus_per_node a multiple of {args.ring_attn_size}"
            )


def _check_same_gpus(args: Namespace, one: str, other: str) -> None:
    for what in ("num_nodes", "num_gpus_per_node"):
        left, right = getattr(args, f"{one}_{what}"), getattr(args, f"{other}_{what}")
        if left != right:
            raise UserError(
                f"{one} and {other} share their GPUs, but --{one}_{what} is {left} and --{other}_{what} is"
                f" {right}: make them equal"
            )
