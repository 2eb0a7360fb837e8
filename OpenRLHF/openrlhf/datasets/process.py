"""Samples for process reward models: texts whose steps end with a placeholder, and a label for each step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openrlhf.datasets.files import Record
from openrlhf.datasets.prompts import as_text, field
from openrlhf.errors import UserError


@dataclass(frozen=True)
class StepTokens:
    """placeholder: its token id. rewards: ids of the reward tokens by their text, in the order of the flag."""

    placeholder_text: str
    placeholder: int
    rewards: dict[str, int]

    @classmethod
    def build(cls, tokenizer: Any, placeholder: str, rewards: Sequence[str] | None) -> "StepTokens":
        """UserError: one of them is not exactly one token, or reward tokens are equal."""
        ids = {text: single_token(tokenizer, text, "--reward_tokens") for text in rewards or ()}
        if len(set(ids.values())) < len(rewards or ()):
            raise UserError(f"--reward_tokens {' '.join(rewards or ())}: two of them are the same token")
        return cls(placeholder, single_token(tokenizer, placeholder, "--placeholder_token"), ids)


@dataclass(frozen=True)
class StepSample:
    """One row to train on.

    token_ids: the text, and one more token behind a placeholder that ends it, since a scored token has to follow.
    scored: the position after each placeholder, which the placeholder predicts.
    labels: one for each: a token's id without reward tokens, with two of them the probability of the first, with more
        the index of one.
    """

    token_ids: tuple[int, ...]
    scored: tuple[int, ...]
    labels: tuple[float, ...]


@dataclass(frozen=True)
class StepSet:
    """Samples in the order of their records.

    truncated: samples that were cut, with `lost_steps` in all. without_step: samples left out.
    """

    samples: tuple[StepSample, ...]
    truncated: int
    lost_steps: int
    without_step: int

    def notes(self, max_len: int) -> list[str]:
        """Sentences to print about what was cut or left out."""
        total = len(self.samples) + self.without_step
        notes = []
        if self.truncated:
            notes.append(
                f"{self.truncated} of {total} samples are longer than --max_len {max_len}: cut there, "
                f"{self.lost_steps} steps with their labels were lost."
            )
        if self.without_step:
            notes.append(f"{self.without_step} of {total} samples have no step within {max_len} tokens: left out.")
        return notes


def single_token(tokenizer: Any, text: str, flag: str) -> int:
    """The id of a text that is one token. UserError: it is none or several."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise UserError(
            f"{flag} {text!r} is {len(ids)} tokens of the tokenizer of {tokenizer.name_or_path or 'this model'}: "
            "choose a text that is one token"
        )
    return ids[0]


def build_step_samples(
    records: Sequence[Record],
    tokenizer: Any,
    tokens: StepTokens,
    *,
    input_key: str,
    label_key: str,
    max_len: int,
) -> StepSet:
    """Tokenises records, as 0.6.2 does without a beginning-of-sequence token; longer ones are cut and counted.

    Raises:
        UserError: a key is missing, the labels do not fit the placeholders or the reward tokens, or no sample is left.
    """
    samples, truncated, lost, without = [], 0, 0, 0
    for number, record in enumerate(records):
        text = as_text(field(record, input_key, "--input_key", number), input_key, number)
        given = _labels(field(record, label_key, "--label_key", number), text, tokens, label_key, number)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        ends = [position for position, token in enumerate(ids) if token == tokens.placeholder]
        if len(ends) != len(given):
            raise UserError(
                f"row {number}: {len(given)} labels in field {label_key!r} for {len(ends)} placeholder tokens "
                f"{tokens.placeholder_text!r} in {input_key!r}: every step needs one of each. A placeholder that the "
                "tokenizer joins with its neighbours does not count"
            )
        kept = [end for end in ends if end < max_len]
        if not kept:
            without += 1
            continue
        labels = tuple(_encoded(label, tokens, tokenizer, number) for label in given)
        truncated += len(ids) > max_len
        lost += len(ends) - len(kept)
        ids = ids[:max_len]
        if kept[-1] == len(ids) - 1:
            ids = [*ids, tokenizer.eos_token_id]
        samples.append(StepSample(tuple(ids), tuple(end + 1 for end in kept), labels[: len(kept)]))
    if not samples:
        raise UserError(
            f"none of {len(records)} samples has a step (placeholder {tokens.placeholder_text!r}) within --max_len "
            f"{max_len} tokens: check --input_key and --placeholder_token, or raise --max_len"
        )
    return StepSet(tuple(samples), truncated, lost, without)


def _labels(content: Any, text: str, tokens: StepTokens, key: str, number: int) -> list[Any]:
    """A list as it is; of a text, what stands where `text` has placeholders."""
    if isinstance(content, str):
        return _labels_in_place(content, text, tokens, key, number)
    if isinstance(content, list):
        return content
    raise UserError(
        f"row {number}: field {key!r} must be a list with one label for each placeholder, or the text with labels in "
        f"their place; found {type(content).__name__}"
    )


def _labels_in_place(labelled: str, text: str, tokens: StepTokens, key: str, number: int) -> list[str]:
    """Walks both texts together, as in Math-Shepherd's own files."""
    first, *pieces = text.split(tokens.placeholder_text)
    labels, position = [], len(first)
    fits = labelled.startswith(first)
    for piece in pieces if fits else ():
        label = _label_at(labelled, position, piece, tokens)
        position += len(label)
        fits = bool(label) and labelled.startswith(piece, position)
        if not fits:
            break
        labels.append(label)
        position += len(piece)
    if not fits or position != len(labelled):
        found = labelled[position : position + 20]
        raise UserError(
            f"row {number}: the text in field {key!r} is not the input with a label in place of each placeholder; it "
            f"differs at character {position}: {found!r}"
        )
    return labels


def _label_at(labelled: str, position: int, following: str, tokens: StepTokens) -> str:
    """The longest reward token that stands there, or without reward tokens everything before `following`."""
    if tokens.rewards:
        fitting = [text for text in tokens.rewards if labelled.startswith(text, position)]
        return max(fitting, key=len, default="")
    end = labelled.find(following, position + 1) if following else len(labelled)
    return labelled[position:end] if end > position else ""


def _encoded(label: Any, tokens: StepTokens, tokenizer: Any, number: int) -> float:
    """A label as a number, see `StepSample`."""
    rewards = list(tokens.rewards)
    if isinstance(label, str):
        if not rewards:
            return float(single_token(tokenizer, label, f"row {number}: label"))
        if label not in rewards:
            raise UserError(f"row {number}: label {label!r} is none of --reward_tokens {' '.join(rewards)}")
        index = rewards.index(label)
        return float(1 - index if len(rewards) == 2 else index)
    if not isinstance(label, bool | int | float) or not 0 <= label <= 1:
        raise UserError(f"row {number}: a label is a token's text, or a number between 0 and 1; found {label!r}")
    if len(rewards) != 2:
        raise UserError(
            f"row {number}: the label {label!r} is a number, the probability of the first of two --reward_tokens; "
            f"found {len(rewards)} reward tokens"
        )
    return float(label)
