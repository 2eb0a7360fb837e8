"""Samples for supervised fine-tuning: token ids, and which of them carry loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openrlhf.datasets.files import Record
from openrlhf.datasets.prompts import as_text, field, fill
from openrlhf.datasets.segments import Segment, chat_segments, encode, finished, opening_tokens
from openrlhf.datasets.templates import as_messages
from openrlhf.errors import UserError


@dataclass(frozen=True)
class TextSample:
    """One row to train on.

    token_ids: prompt and response, each tokenised on its own and put end to end, as rollouts are.
    scored: positions of the tokens that carry loss, ascending: all response tokens, the first one and the
        end-of-sequence token included. Position 0 never carries loss, since nothing predicts it.
    """

    token_ids: tuple[int, ...]
    scored: tuple[int, ...]


@dataclass(frozen=True)
class TextSet:
    """Samples in the order of their records; how many were cut, and how many left out.

    rows: the index of each sample's record.
    """

    samples: tuple[TextSample, ...]
    rows: tuple[int, ...]
    truncated: int
    without_response: int

    def notes(self, max_len: int) -> list[str]:
        """Sentences to print about what was cut or left out."""
        total = len(self.samples) + self.without_response
        notes = []
        if self.truncated:
            notes.append(f"{self.truncated} of {total} samples are longer than {max_len} tokens: cut there.")
        if self.without_response:
            notes.append(
                f"{self.without_response} of {total} samples have no response within {max_len} tokens: left out."
            )
        return notes


@dataclass(frozen=True)
class TextFormat:
    """How a record becomes text; the names are those of the flags.

    multiturn: every assistant turn carries loss instead of the last one.
    pretrain_mode: the whole text carries loss, and no template is put around it.
    """

    input_key: str = "input"
    output_key: str | None = None
    input_template: str | None = None
    apply_chat_template: bool = False
    multiturn: bool = False
    pretrain_mode: bool = False


def build_text_samples(records: Sequence[Record], tokenizer: Any, style: TextFormat, *, max_len: int) -> TextSet:
    """Tokenises records; samples longer than `max_len` tokens are cut at their end and counted.

    Where the text does not end with the end-of-sequence token, a space and that token are added, as in 0.6.2;
    cutting may remove it again. UserError: a key is missing, a field has the wrong type, the tokenizer has no
    end-of-sequence token, or no sample is left.
    """
    samples, rows, truncated, without = [], [], 0, 0
    opening = opening_tokens(tokenizer, style.apply_chat_template)
    for number, record in enumerate(records):
        ids, scored = encode(finished(segments_of(record, tokenizer, style, number), tokenizer), tokenizer, opening)
        kept = tuple(position for position in scored if 0 < position < max_len)
        if not kept:
            without += 1
            continue
        truncated += len(ids) > max_len
        samples.append(TextSample(tuple(ids[:max_len]), kept))
        rows.append(number)
    if not samples:
        raise UserError(
            f"none of {len(records)} samples has a response token within {max_len} tokens: check the keys of the"
            " fields, such as --input_key, or raise the length limit"
        )
    return TextSet(tuple(samples), tuple(rows), truncated, without)


def segments_of(record: Record, tokenizer: Any, style: TextFormat, number: int) -> list[Segment]:
    """Prompt and response of one record, in pieces; none where the response is empty. UserError: unusable fields."""
    content = field(record, style.input_key, "--input_key", number)
    output = field(record, style.output_key, "--output_key", number) if style.output_key else None
    if style.apply_chat_template and not style.pretrain_mode:
        messages = [] if style.output_key and content == [] else as_messages(content, style.input_key, number)
        if style.output_key:
            messages += as_messages(output, str(style.output_key), number, text_is="assistant")
        return chat_segments(tokenizer, messages, number, multiturn=style.multiturn)
    text = as_text(content, style.input_key, number)
    response = as_text(output, style.output_key, number) if style.output_key else ""
    if style.pretrain_mode:
        return [(text + response, True)]
    return [(fill(style.input_template, text), False), (response, True)] if response else []
