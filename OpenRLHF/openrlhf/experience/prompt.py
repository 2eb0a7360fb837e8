"""One problem."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Prompt:
    """One problem.

    index: its row in the records it was made from, whatever was dropped before it.
    token_ids: the text's ids; at least one. Plain text gets what the tokenizer itself puts in front (a
        beginning-of-sequence token, if any), as when the model is evaluated; a chat template brings its own.
    label: the gold answer as text; "" without a label key.
    fields: the record's other columns, as they are; all prompts of a set have the same, None where a record has no
        such column. No part of the hash, since values may be lists.
    """

    index: int
    text: str
    token_ids: tuple[int, ...]
    label: str
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
