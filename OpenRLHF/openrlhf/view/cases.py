"""Where the responses of token pictures come from: a run's rollouts, data, or the model itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openrlhf.config.rules import settled_template
from openrlhf.datasets.prompts import as_text, build_prompts, field
from openrlhf.datasets.sources import load_records
from openrlhf.errors import UserError
from openrlhf.experience.prompt import Prompt
from openrlhf.rollout.engine import Request, Sampling
from openrlhf.rollout.hf_engine import HfEngine
from openrlhf.trainer.assembly import hint_ids
from openrlhf.trainer.rollout_files import origin_of, read_steps, rollout_folder
from openrlhf.utils.seeding import derive_seed
from openrlhf.view.token_picture import Case

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Hints:
    """template: with {answer} where the answer goes. wrong_answer: for contrast, "" for none."""

    tokenizer: Any
    template: str
    wrong_answer: str = ""

    def of(self, answer: str) -> Ids:
        return hint_ids(self.tokenizer, self.template.replace("{answer}", answer))

    @property
    def wrong(self) -> Ids:
        return self.of(self.wrong_answer) if self.wrong_answer else ()


@dataclass(frozen=True)
class PromptStyle:
    """Fields of a record, as the flags of training name them; no response_key: the model shall write responses."""

    input_key: str
    label_key: str
    response_key: str | None = None
    input_template: str | None = None
    apply_chat_template: bool = False


def of_rollouts(
    where: Path,
    hints: Hints,
    steps: Sequence[int] | None,
    prompts: Sequence[int] | None,
    right: bool | None,
    limit: int,
) -> list[Case]:
    """The first ones of a run's rollouts that fit; None fits all. Hints are those that were trained with, if any.

    Raises:
        UserError: no rollouts there, or those of another tokenizer.
    """
    cases: list[Case] = []
    vocabulary = origin_of("", hints.tokenizer, "")["vocabulary"]
    for file in read_steps(rollout_folder(where), steps):
        if file.origin.get("vocabulary") != vocabulary:
            raise UserError(f"{file.path} holds token ids of another tokenizer, that of {file.origin.get('model')}")
        for row in file.rows:
            is_right = (row["reward"] or 0.0) > 0.5
            if (prompts is not None and row["prompt_index"] not in prompts) or right not in (None, is_right):
                continue
            if len(cases) == limit:
                return cases
            cases.append(
                Case(
                    title=f"step {row['step']}, prompt {row['prompt_index']}, sample {row['sample']}",
                    prompt=row["prompt"],
                    answer=row["label"],
                    prompt_ids=tuple(row["prompt_ids"]),
                    response_ids=tuple(row["token_ids"]),
                    hint=next((tuple(hint) for hint in row["hint_ids"] if hint), hints.of(row["label"])),
                    wrong_hint=hints.wrong,
                    wrong_answer=hints.wrong_answer,
                    right=is_right,
                    columns=file.columns(row),
                )
            )
    return cases


def prompts_of(
    source: str | Sequence[Mapping[str, Any]], tokenizer: Any, style: PromptStyle, limit: int = 1
) -> tuple[list[Prompt], list[Ids] | None]:
    """The first prompts of a source, and their responses where the style names a field of them."""
    records = [dict(row) for row in (load_records(source) if isinstance(source, str) else source)[:limit]]
    template, _ = settled_template(style.input_template, style.apply_chat_template)
    made = build_prompts(
        records,
        tokenizer,
        max_tokens=2**31,
        input_key=style.input_key,
        label_key=style.label_key,
        input_template=template,
        apply_chat_template=style.apply_chat_template,
    )
    prompts, key = list(made.prompts), style.response_key
    if key is None:
        return prompts, None
    texts = [as_text(field(records[p.index], key, "--response_key", p.index), key, p.index) for p in prompts]
    return prompts, [tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]


def write(
    model: str, prompts: Sequence[Prompt], dtype: str, temperature: float, max_new_tokens: int, seed: int
) -> list[Ids]:
    """What the model answers."""
    engine = HfEngine(model, dtype=dtype)
    requests = [Request((n,), p.token_ids, derive_seed(seed, "explain", n)) for n, p in enumerate(prompts)]
    sampling = Sampling(temperature=temperature, max_new_tokens=max_new_tokens)
    made = {done.key[0]: done.token_ids for batch in engine.generate(requests, sampling) for done in batch}
    return [made[n] for n in range(len(prompts))]


def of_prompts(prompts: Sequence[Prompt], responses: Sequence[Ids], hints: Hints) -> list[Case]:
    return [
        Case(
            title=f"problem {prompt.index}",
            prompt=prompt.text,
            answer=prompt.label,
            prompt_ids=prompt.token_ids,
            response_ids=response,
            hint=hints.of(prompt.label),
            wrong_hint=hints.wrong,
            wrong_answer=hints.wrong_answer,
        )
        for prompt, response in zip(prompts, responses, strict=True)
    ]
