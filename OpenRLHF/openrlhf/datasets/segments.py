"""From texts to one row of tokens: which pieces a model is to learn or to be judged by, and where they end up."""

from collections.abc import Sequence
from typing import Any

from openrlhf.datasets.templates import Message, render_chat
from openrlhf.errors import UserError
from openrlhf.utils.special_tokens import added_tokens

# A piece of a sample's text, and whether it belongs to the response.
Segment = tuple[str, bool]


def chat_segments(tokenizer: Any, messages: list[Message], number: int, *, multiturn: bool) -> list[Segment]:
    """Splits the rendered conversation before and after its last assistant turn (every one where `multiturn`).

    number: the row, for the messages of the UserErrors: no assistant turn at the end, or a template that writes
    earlier turns differently once one is added.
    """
    turns = [turn for turn, message in enumerate(messages) if message["role"] == "assistant" and turn > 0]
    if not turns or (not multiturn and turns[-1] != len(messages) - 1):
        raise UserError(
            f"row {number}: the conversation does not end with an assistant turn after another one; found the"
            f" roles {', '.join(message['role'] for message in messages)}"
        )
    segments: list[Segment] = []
    done = ""
    for turn in turns if multiturn else turns[-1:]:
        for end, generation_prompt in ((turn, True), (turn + 1, False)):
            text = render_chat(tokenizer, messages[:end], generation_prompt=generation_prompt)
            if not text.startswith(done):
                raise UserError(
                    f"row {number}: the chat template writes earlier turns differently once a turn is added,"
                    " so the response cannot be told from the prompt; save another template with the tokenizer, or"
                    " give one (--tokenizer_chat_template in train_sft and train_rm)"
                )
            segments.append((text[len(done) :], not generation_prompt))
            done = text
    return segments


def finished(segments: Sequence[Segment], tokenizer: Any) -> list[Segment]:
    """Ends the last segment with a space and the end-of-sequence token, as in 0.6.2, unless it ends with that token."""
    if not segments:
        return []
    *before, (last, scored) = segments
    last = last.rstrip("\n")
    return [*before, (last if last.endswith(tokenizer.eos_token) else f"{last} {tokenizer.eos_token}", scored)]


def opening_tokens(tokenizer: Any, apply_chat_template: bool) -> list[int]:
    """What the tokenizer itself puts in front of plain text (a beginning-of-sequence token); a template brings its own.

    UserError: the tokenizer has no end-of-sequence token, with which all rows end.
    """
    if not tokenizer.eos_token:
        raise UserError(f"the tokenizer of {tokenizer.name_or_path} has no end-of-sequence token: set eos_token")
    return [] if apply_chat_template else added_tokens(tokenizer)[0]


def encode(segments: Sequence[Segment], tokenizer: Any, opening: Sequence[int]) -> tuple[list[int], list[int]]:
    """Token ids, each segment tokenised on its own as rollouts are, and the positions of the response's tokens."""
    ids = list(opening)
    scored: list[int] = []
    for text, learned in segments:
        piece = tokenizer(text, add_special_tokens=False)["input_ids"]
        if learned:
            scored.extend(range(len(ids), len(ids) + len(piece)))
        ids.extend(piece)
    return ids, scored
