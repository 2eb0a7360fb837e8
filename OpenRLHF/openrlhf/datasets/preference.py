"""Pairs of responses, the preferred one first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openrlhf.datasets.files import Record
from openrlhf.datasets.prompts import as_text, field, fill
from openrlhf.datasets.segments import Segment, chat_segments, encode, finished, opening_tokens
from openrlhf.datasets.templates import Message, as_messages
from openrlhf.datasets.texts import TextSample
from openrlhf.errors import UserError

MARGIN_KEY = "margin"


@dataclass(frozen=True)
class PreferencePair:
    """Both rows as `TextSample`s; margin: by how much the reward of the first should be larger, 0 where not given."""

    chosen: TextSample
    rejected: TextSample
    margin: float = 0.0


@dataclass(frozen=True)
class PreferenceSet:
    """Pairs in the order of their records, and what was cut or left out.

    truncated: pairs with a row that was cut. without_response: left out, since the prompt fills the row.
    equal: left out, since both rows are the same (perhaps only up to where they were cut). margins: pairs kept whose
    record has a margin.
    """

    pairs: tuple[PreferencePair, ...]
    truncated: int
    without_response: int
    equal: int
    margins: int

    def notes(self, max_len: int) -> list[str]:
        """Sentences to print about what was cut or left out."""
        total = len(self.pairs) + self.without_response + self.equal
        notes = []
        if self.truncated:
            notes.append(f"{self.truncated} of {total} pairs are longer than --max_len {max_len}: cut there.")
        if self.without_response:
            notes.append(
                f"{self.without_response} of {total} pairs have no response within {max_len} tokens: left out."
            )
        if self.equal:
            notes.append(f"{self.equal} of {total} pairs have two equal rows within {max_len} tokens: left out.")
        return notes


@dataclass(frozen=True)
class PreferenceFormat:
    """How a record becomes text; the names are those of the flags.

    Without `prompt_key`, the two fields hold whole texts, or, under `apply_chat_template`, whole conversations whose
    last turn is the response.
    """

    prompt_key: str | None = None
    chosen_key: str = "chosen"
    rejected_key: str = "rejected"
    input_template: str | None = None
    apply_chat_template: bool = False


def build_pairs(
    records: Sequence[Record], tokenizer: Any, style: PreferenceFormat, *, max_len: int, for_reward: bool
) -> PreferenceSet:
    """Tokenises records; rows longer than `max_len` tokens are cut at their end and counted.

    for_reward: the last token of a row that was cut becomes the end-of-sequence token, as in 0.6.2: a reward is read
        there. Otherwise it stays what it was, since a policy must not learn to stop in mid-sentence, and both
        rows of a pair must have the same prompt.

    Raises:
        UserError: a key is missing, a field has the wrong type, prompts differ, the tokenizer has no end-of-sequence
            token, or no pair is left.
    """
    opening = opening_tokens(tokenizer, style.apply_chat_template)
    pairs, truncated, without, equal, margins = [], 0, 0, 0, 0
    for number, record in enumerate(records):
        chosen = _segments(record, tokenizer, style, style.chosen_key, "--chosen_key", number)
        rejected = _segments(record, tokenizer, style, style.rejected_key, "--rejected_key", number)
        if not for_reward and chosen[0] != rejected[0]:
            raise UserError(
                f"row {number}: {style.chosen_key!r} and {style.rejected_key!r} differ before their last turn, but"
                " responses to the same prompt are compared: remove such rows"
            )
        margin = _margin(record, number)
        whole = [encode(finished(segments, tokenizer), tokenizer, opening) for segments in (chosen, rejected)]
        rows = [_cut(*row, max_len, tokenizer.eos_token_id if for_reward else None) for row in whole]
        if not all(row.scored for row in rows):
            without += 1
        elif rows[0].token_ids == rows[1].token_ids:
            equal += 1
        else:
            truncated += any(len(ids) > max_len for ids, _ in whole)
            margins += margin is not None
            pairs.append(PreferencePair(rows[0], rows[1], margin or 0.0))
    if not pairs:
        raise UserError(
            f"none of {len(records)} pairs has two different responses within --max_len {max_len}: check --prompt_key,"
            " --chosen_key and --rejected_key, or raise --max_len"
        )
    return PreferenceSet(tuple(pairs), truncated, without, equal, margins)


def _segments(
    record: Record, tokenizer: Any, style: PreferenceFormat, key: str, flag: str, number: int
) -> list[Segment]:
    """Prompt and response."""
    content = field(record, key, flag, number)
    prompt = field(record, style.prompt_key, "--prompt_key", number) if style.prompt_key else None
    if style.apply_chat_template:
        return chat_segments(tokenizer, _conversation(prompt, content, style, key, number), number, multiturn=False)
    response = as_text(content, key, number)
    text = "" if prompt is None else fill(style.input_template, as_text(prompt, str(style.prompt_key), number))
    return [(text, False), (response, True)]


def _conversation(prompt: Any, content: Any, style: PreferenceFormat, key: str, number: int) -> list[Message]:
    if prompt is None:
        if isinstance(content, str):
            raise UserError(
                f"row {number}: field {key!r} is a text, but --apply_chat_template without --prompt_key needs a whole"
                " conversation there (a list of messages); name the prompt's field with --prompt_key"
            )
        return as_messages(content, key, number)
    response = as_messages(content, key, number, text_is="assistant")
    if response[0]["role"] != "assistant":
        raise UserError(
            f"row {number}: field {key!r} starts with a turn of the {response[0]['role']}, not of the assistant; where"
            " it holds the whole conversation, leave --prompt_key out"
        )
    return as_messages(prompt, str(style.prompt_key), number) + response


def _margin(record: Record, number: int) -> float | None:
    margin = record.get(MARGIN_KEY)
    if margin is None:
        return None
    try:
        if isinstance(margin, bool):
            raise ValueError
        return float(margin)
    except (TypeError, ValueError):
        raise UserError(f"row {number}: field {MARGIN_KEY!r} must be a number, found {margin!r}") from None


def _cut(ids: list[int], scored: list[int], max_len: int, last: int | None) -> TextSample:
    """last: what the last token of a longer row is replaced by; None leaves it."""
    kept = tuple(position for position in scored if 0 < position < max_len)
    if len(ids) > max_len and last is not None:
        ids = [*ids[: max_len - 1], last]
    return TextSample(tuple(ids[:max_len]), kept)
