"""What an RL run needs before any model is loaded: data, tokenizer and plan, all checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openrlhf.config.memory import GIB, shape_of
from openrlhf.config.plan import Plan, describe, make_plan
from openrlhf.config.rules import reward_models
from openrlhf.datasets.blending import load_blend
from openrlhf.datasets.files import Record
from openrlhf.datasets.prompts import Prompt, build_prompts
from openrlhf.datasets.sft import SFTFormat, build_sft_samples
from openrlhf.errors import UserError
from openrlhf.models.loader import check_same_vocabulary, find_head, load_config, load_tokenizer
from openrlhf.models.reward_scale import reward_scale
from openrlhf.trainer.algorithm import hint_ids
from openrlhf.trainer.batching import Example
from openrlhf.trainer.pretraining import Pretraining


@dataclass(frozen=True)
class Prepared:
    """What is known before any model is loaded. longest_hint: tokens."""

    tokenizer: Any
    prompts: list[Prompt]
    held_out: list[Prompt]
    longest_hint: int
    pretraining: Pretraining | None
    plan: Plan
    notes: list[str]
    description: str


def prepare(args: Any) -> Prepared:
    """Reads data, tokenizer and configuration, and works out the plan.

    args: after the rules between flags.

    Raises:
        UserError: data, model folder or flags that cannot work.
    """
    config = load_config(args.pretrain)
    tokenizer = load_tokenizer(args.pretrain, use_fast=not args.disable_fast_tokenizer)
    prompts, notes = load_prompts(args, tokenizer)
    held_out: list[Prompt] = []
    if args.eval_dataset:
        held_out, eval_notes = _prompts_of(args, tokenizer, args.eval_dataset, "1.0", "test")
        held_out = held_out[: int(args.eval_max_samples)] if args.eval_max_samples else held_out
        notes += [f"--eval_dataset: {note}" for note in eval_notes]
    hints = [len(hint) for hint in _hints(args, tokenizer, prompts)]
    _check_reward_models(args, tokenizer)
    pretraining, text_notes = _pretraining(args, tokenizer)
    notes += text_notes
    plan = make_plan(args, len(prompts))
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    description = describe(plan, shape_of(config), context, gpu_memory_gib(args))
    return Prepared(tokenizer, prompts, held_out, max(hints, default=0), pretraining, plan, notes, description)


def load_prompts(args: Any, tokenizer: Any) -> tuple[list[Prompt], list[str]]:
    """Training prompts, and what was left out: too long, empty; for InTRO no answer, or one too long for a hint."""
    prompts, notes = _prompts_of(args, tokenizer, args.prompt_data, args.prompt_data_probs, args.prompt_split)
    if args.advantage_estimator != "intro":
        return prompts, notes
    usable = [prompt for prompt in prompts if prompt.label.strip()]
    if len(usable) < len(prompts):
        notes.append(f"{len(prompts) - len(usable)} of {len(prompts)} prompts have an empty answer: left out.")
    hints = _hints(args, tokenizer, usable)
    fitting = [prompt for prompt, hint in zip(usable, hints, strict=True) if len(hint) <= args.prompt_max_len]
    if len(fitting) < len(usable):
        notes.append(f"{len(usable) - len(fitting)} answers are longer than --prompt_max_len as a hint: left out.")
    if not fitting:
        raise UserError(f"no prompt of {args.prompt_data} has a usable answer in --label_key {args.label_key}")
    return fitting, notes


def _hints(args: Any, tokenizer: Any, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
    """InTRO's hint for each prompt; none for other methods."""
    if args.advantage_estimator != "intro":
        return []
    return [hint_ids(tokenizer, args.intro_answer_template, prompt.label) for prompt in prompts]


def _check_reward_models(args: Any, tokenizer: Any) -> None:
    """They read the policy's token ids; another family of models can be served with serve_rm."""
    for path in reward_models(args):
        check_same_vocabulary(tokenizer, path, "--reward_pretrain")
        find_head(path, args.value_head_prefix)
        if args.normalize_reward:
            reward_scale(path)


def _pretraining(args: Any, tokenizer: Any) -> tuple[Pretraining | None, list[str]]:
    """The texts of --pretrain_data."""
    if not args.pretrain_data:
        return None, []
    records = load_blend(
        args.pretrain_data,
        args.pretrain_data_probs,
        split=args.pretrain_split,
        seed=args.seed,
        max_samples=args.max_samples,
    )
    longest = args.prompt_max_len + args.generate_max_len
    style = SFTFormat(input_key=args.input_key, pretrain_mode=True)
    made = build_sft_samples(records, tokenizer, style, max_len=longest)
    samples = [Example(ids=s.token_ids, scored=s.scored, weight=1.0) for s in made.samples]
    notes = [f"--pretrain_data: {note}" for note in made.notes(longest)]
    return Pretraining(samples, args.train_batch_size, args.ptx_coef, args.seed), notes


def _prompts_of(
    args: Any, tokenizer: Any, source: str, probabilities: str, split: str
) -> tuple[list[Prompt], list[str]]:
    def records_of(split: str, required: bool) -> list[Record]:
        return load_blend(
            source, probabilities, split=split, seed=args.seed, max_samples=args.max_samples, required=required
        )

    # A single file has one split, called train, whatever it holds.
    records = records_of(split, required=split == "train") or records_of("train", required=True)
    made = build_prompts(
        records,
        tokenizer,
        max_tokens=args.prompt_max_len,
        input_key=args.input_key,
        label_key=args.label_key,
        input_template=args.input_template,
        apply_chat_template=args.apply_chat_template,
    )
    return list(made.prompts), made.notes(args.prompt_max_len)


def gpu_memory_gib(args: Any) -> float | None:
    """What the user says, else what this machine's first GPU has, else None."""
    if args.gpu_memory_gib:
        return args.gpu_memory_gib
    import torch

    return torch.cuda.get_device_properties(0).total_memory / GIB if torch.cuda.is_available() else None
