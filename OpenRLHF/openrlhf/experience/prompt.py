"""One problem."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prompt:
    """One problem.

    index: its row in the records it was made from, whatever was dropped before it.
    token_ids: the text's ids; at least one. Plain text gets what the tokenizer itself puts in front (a
        beginning-of-sequence token, if any), as when the model is evaluated; a chat template brings its own.
    label: the gold answer as text; "" without a label key.
    """

    index: int
    text: str
    token_ids: tuple[int, ...]
    label: str
