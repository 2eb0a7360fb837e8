"""What an RL run needs before any model is loaded: data, tokenizer and plan, all checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openrlhf.config.memory import GIB, ModelShape, shape_of
from openrlhf.config.method import AnswerHint, PosteriorSettings, SolutionHint
from openrlhf.config.plan import Plan, describe, make_plan
from openrlhf.config.reinforcement import BUILT_IN_GRADER, RLConfig
from openrlhf.datasets.blending import load_blend
from openrlhf.datasets.files import Record
from openrlhf.datasets.prompts import build_prompts
from openrlhf.datasets.texts import TextFormat, build_text_samples
from openrlhf.errors import UserError
from openrlhf.experience.example import Example
from openrlhf.experience.prompt import Prompt
from openrlhf.models.loader import check_same_vocabulary, find_head, load_config, load_tokenizer
from openrlhf.models.reward_scale import reward_scale
from openrlhf.trainer.assembly import hint_ids
from openrlhf.trainer.pretraining import Pretraining
from openrlhf.trainer.run_folders import check_space
from openrlhf.utils.console import say


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

    def report(self, notes: Sequence[str]) -> None:
        """Says further notes, its own, and the plan."""
        say(self.text(notes))

    def text(self, notes: Sequence[str]) -> str:
        return "\n".join([*(f"note: {note}" for note in [*notes, *self.notes]), self.description])


def prepare(config: RLConfig) -> Prepared:
    """Reads data, tokenizer and the model's configuration, and works out the plan.

    config: after the rules.

    Raises:
        UserError: data, model folder or settings that cannot work.
    """
    model = load_config(str(config.model.pretrain))
    tokenizer = load_tokenizer(str(config.model.pretrain), use_fast=not config.model.disable_fast_tokenizer)
    prompts, longest_hint, notes = load_prompts(config, tokenizer)
    held_out: list[Prompt] = []
    evaluation = config.evaluation
    if evaluation.eval_dataset:
        held_out, eval_notes = _prompts_of(config, tokenizer, evaluation.eval_dataset, "1.0", "test")
        held_out = held_out[: int(evaluation.eval_max_samples)] if evaluation.eval_max_samples else held_out
        notes += [f"--eval_dataset: {note}" for note in eval_notes]
    _check_reward_models(config, tokenizer)
    pretraining, text_notes = _pretraining(config, tokenizer)
    notes += text_notes
    plan = make_plan(config, len(prompts))
    shape = shape_of(model)
    check_space(config, shape.parameters)
    context = getattr(model.get_text_config(), "max_position_embeddings", None)
    if context is not None:
        check_hinted_rows(config, tokenizer, longest_hint, context)
    description = describe(plan, _shapes(config), context, gpu_memory_gib(config.plan.gpu_memory_gib))
    return Prepared(tokenizer, prompts, held_out, longest_hint, pretraining, plan, notes, description)


def _shapes(config: RLConfig) -> dict[str, ModelShape]:
    """Of all models by role; each folder is read once."""
    paths = {"actor": str(config.model.pretrain)}
    if config.reference_is_a_role:
        paths["reference"] = paths["actor"]
    if config.has_critic:
        paths["critic"] = str(config.critic.critic_pretrain)
    paths.update({f"reward{number}": path for number, path in enumerate(config.reward.models)})
    shapes = {path: shape_of(load_config(path)) for path in dict.fromkeys(paths.values())}
    return {role: shapes[path] for role, path in paths.items()}


def load_prompts(config: RLConfig, tokenizer: Any) -> tuple[list[Prompt], int, list[str]]:
    """Training prompts, the tokens of the longest hint, and what was left out: too long, empty; where the posterior
    reads the answer, no answer, or one that is too long for a hint."""
    data, method = config.data, config.method
    prompts, notes = _prompts_of(config, tokenizer, str(data.prompt_data), data.prompt_data_probs, data.prompt_split)
    if not isinstance(method, AnswerHint):
        return prompts, 0, notes + _ungraded(config, prompts)
    hints = [method.prompt_hint(prompt.label, prompt.fields) for prompt in prompts]
    usable = [prompt for prompt, hint in zip(prompts, hints, strict=True) if hint]
    if len(usable) < len(prompts):
        empty = len(prompts) - len(usable)
        notes.append(f"{empty} of {len(prompts)} prompts have an empty {method.hint_says}: left out.")
    lengths = [len(hint_ids(tokenizer, hint)) for hint in hints if hint]
    limit = config.rollout.prompt_max_len
    fitting = [prompt for prompt, length in zip(usable, lengths, strict=True) if length <= limit]
    if len(fitting) < len(usable):
        said = f"{len(usable) - len(fitting)} {method.hint_says}s are longer than --prompt_max_len as a hint"
        notes.append(f"{said}: left out.")
    if not fitting:
        raise UserError(f"no prompt of {data.prompt_data} has a usable {method.hint_says} in {method.hint_field(data)}")
    return fitting, max(length for length in lengths if length <= limit), notes


def check_hinted_rows(config: RLConfig, tokenizer: Any, longest_hint: int, context: int) -> None:
    """UserError where solutions or siblings may make the posterior's rows longer than what the model can attend to."""
    method, rollout = config.method, config.rollout
    hint = longest_hint if isinstance(method, SolutionHint) and method.solution_key else 0
    if isinstance(method, PosteriorSettings) and method.reads_siblings:
        hint = max(hint, rollout.generate_max_len + len(hint_ids(tokenizer, method.sibling_hint(""))))
    total = rollout.prompt_max_len + hint + rollout.generate_max_len
    if hint and total > context:
        raise UserError(
            f"{method.title}'s posterior reads a hint of up to {hint} tokens: with --prompt_max_len"
            f" {rollout.prompt_max_len} and --generate_max_len {rollout.generate_max_len} its rows have up to {total}"
            f" tokens, more than the model's {context}: lower one of them"
        )


def _ungraded(config: RLConfig, prompts: Sequence[Prompt]) -> list[str]:
    """About prompts that the built-in grader cannot grade. UserError: there are no others."""
    if config.reward.sources != [BUILT_IN_GRADER]:
        return []
    empty = sum(not prompt.label.strip() for prompt in prompts)
    if empty == len(prompts):
        raise UserError(
            f"--remote_rm_url {BUILT_IN_GRADER} compares with gold answers, and no prompt has one: name their field"
            " with --label_key"
        )
    return [f"{empty} of {len(prompts)} prompts have an empty answer: no response is right for them."] if empty else []


def _check_reward_models(config: RLConfig, tokenizer: Any) -> None:
    """They read the policy's token ids; another family of models can be served with serve_rm."""
    for path in config.reward.models:
        check_same_vocabulary(tokenizer, path, "--reward_pretrain")
        find_head(path, config.reward.value_head_prefix)
        if config.reward.normalize_reward:
            reward_scale(path)


def _pretraining(config: RLConfig, tokenizer: Any) -> tuple[Pretraining | None, list[str]]:
    """The texts of --pretrain_data."""
    data, optimizer = config.data, config.optimizer
    if not data.pretrain_data:
        return None, []
    records = load_blend(
        data.pretrain_data,
        data.pretrain_data_probs,
        split=data.pretrain_split,
        seed=optimizer.seed,
        max_samples=data.max_samples,
    )
    longest = config.rollout.prompt_max_len + config.rollout.generate_max_len
    style = TextFormat(input_key=data.input_key, pretrain_mode=True)
    made = build_text_samples(records, tokenizer, style, max_len=longest)
    samples = [Example(ids=s.token_ids, scored=s.scored, weight=1.0) for s in made.samples]
    notes = [f"--pretrain_data: {note}" for note in made.notes(longest)]
    return Pretraining(samples, optimizer.train_batch_size, data.ptx_coef, optimizer.seed), notes


def _prompts_of(
    config: RLConfig, tokenizer: Any, source: str, probabilities: str, split: str
) -> tuple[list[Prompt], list[str]]:
    data = config.data

    def records_of(split: str, required: bool) -> list[Record]:
        return load_blend(
            source,
            probabilities,
            split=split,
            seed=config.optimizer.seed,
            max_samples=data.max_samples,
            required=required,
        )

    # A single file has one split, called train, whatever it holds.
    records = records_of(split, required=split == "train") or records_of("train", required=True)
    made = build_prompts(
        records,
        tokenizer,
        max_tokens=config.rollout.prompt_max_len,
        input_key=data.input_key,
        label_key=data.label_key,
        input_template=data.input_template,
        apply_chat_template=data.apply_chat_template,
    )
    return list(made.prompts), made.notes(config.rollout.prompt_max_len)


def gpu_memory_gib(given: float | None) -> float | None:
    """What the user says, else what this machine's first GPU has, else None."""
    if given:
        return given
    import torch

    return torch.cuda.get_device_properties(0).total_memory / GIB if torch.cuda.is_available() else None
