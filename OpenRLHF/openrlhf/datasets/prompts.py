"""Prompts for reinforcement learning and evaluation: text, token ids and the gold answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openrlhf.datasets.files import Record
from openrlhf.datasets.templates import as_messages, render_chat
from openrlhf.errors import UserError
from openrlhf.experience.prompt import Prompt
from openrlhf.utils.special_tokens import closing_note, prompt_ids


@dataclass(frozen=True)
class PromptSet:
    """Prompts in the order of their records, and how many records were left out. said: about the tokenizer."""

    prompts: tuple[Prompt, ...]
    too_long: int
    empty: int
    said: tuple[str, ...] = ()

    def notes(self, max_tokens: int) -> list[str]:
        """Sentences to print about what was left out."""
        total = len(self.prompts) + self.too_long + self.empty
        notes = list(self.said)
        if self.too_long:
            notes.append(f"{self.too_long} of {total} prompts are longer than {max_tokens} tokens: left out.")
        if self.empty:
            notes.append(f"{self.empty} of {total} prompts are empty: left out.")
        return notes


def build_prompts(
    records: Sequence[Record],
    tokenizer: Any,
    *,
    max_tokens: int,
    input_key: str = "input",
    label_key: str | None = None,
    input_template: str | None = None,
    apply_chat_template: bool = False,
    suffix: str = "",
) -> PromptSet:
    """Makes prompts of records; the chat template wins over `input_template`, as in 0.6.2; `suffix` ends every prompt.

    Prompts longer than `max_tokens` and prompts without any token are left out and counted, never cut.
    UserError: a key is missing, a field has the wrong type, or no prompt is left.
    """
    texts = []
    for number, record in enumerate(records):
        content = field(record, input_key, "--input_key", number)
        if apply_chat_template:
            messages = as_messages(content, input_key, number)
            texts.append(render_chat(tokenizer, messages, generation_prompt=True) + suffix)
        else:
            texts.append(fill(input_template, as_text(content, input_key, number)) + suffix)
    labels = [read_label(record, label_key, number) for number, record in enumerate(records)]
    all_ids = prompt_ids(tokenizer, texts, special_tokens=not apply_chat_template) if texts else []
    others = list(dict.fromkeys(key for record in records for key in record if key not in (input_key, label_key)))
    prompts = tuple(
        Prompt(index, text, tuple(ids), label, {key: records[index].get(key) for key in others})
        for index, (text, ids, label) in enumerate(zip(texts, all_ids, labels, strict=True))
        if 0 < len(ids) <= max_tokens
    )
    empty = sum(not ids for ids in all_ids)
    if not prompts:
        raise UserError(
            f"none of {len(records)} prompts has between 1 and {max_tokens} tokens: check --input_key"
            f" {input_key} or raise the length limit"
        )
    said = () if apply_chat_template else tuple(closing_note(tokenizer))
    return PromptSet(prompts, too_long=len(records) - empty - len(prompts), empty=empty, said=said)


def fill(template: str | None, text: str) -> str:
    """`text` in place of the template's `{}`."""
    return template.format(text) if template else text


def field(record: Record, key: str, flag: str, number: int) -> Any:
    """UserError where the record has no such key; it lists those that it has."""
    if key not in record:
        found = ", ".join(record) or "none"
        raise UserError(f"row {number} has no field {key!r}: choose {flag} among the fields found: {found}")
    return record[key]


def as_text(content: Any, key: str, number: int) -> str:
    """UserError unless `content` is text."""
    if isinstance(content, str):
        return content
    hint = "; conversations need --apply_chat_template" if isinstance(content, list) else ""
    raise UserError(f"row {number}: field {key!r} must be text, found {type(content).__name__}{hint}")


def read_label(record: Record, key: str | None, number: int) -> str:
    """The label as text: numbers are written out. UserError for anything else."""
    if key is None:
        return ""
    label = field(record, key, "--label_key", number)
    if isinstance(label, bool) or not isinstance(label, str | int | float):
        raise UserError(
            f"row {number}: the label in field {key!r} must be a text or number, found {type(label).__name__}"
        )
    if isinstance(label, float) and not math.isfinite(label):
        raise UserError(f"row {number}: the label in field {key!r} is {label}, no gold answer; remove such rows")
    return str(label)
