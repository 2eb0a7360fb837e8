"""Single responses, each marked as desirable or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openrlhf.datasets.files import Record
from openrlhf.datasets.prompts import field
from openrlhf.datasets.texts import TextFormat, TextSample, build_text_samples
from openrlhf.errors import UserError

_WORDS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True)
class LabelledSet:
    """Samples as for fine-tuning, for each whether it is desirable, and sentences to print."""

    samples: tuple[TextSample, ...]
    labels: tuple[bool, ...]
    notes: tuple[str, ...]


def build_labelled(
    records: Sequence[Record], tokenizer: Any, style: TextFormat, label_key: str, *, max_len: int
) -> LabelledSet:
    """Tokenises records as `build_text_samples` does, which cuts what is too long and counts it.

    A label is true, false, 1 or 0 (as a number or, from CSV files, as text). UserError: it is something else, and as
    there.
    """
    labels = [_label(field(record, label_key, "--label_key", i), label_key, i) for i, record in enumerate(records)]
    made = build_text_samples(records, tokenizer, style, max_len=max_len)
    kept = tuple(labels[row] for row in made.rows)
    notes = made.notes(max_len)
    if len(set(kept)) == 1:
        kind = "desirable" if kept[0] else "undesirable"
        notes.append(f"all {len(kept)} samples are {kind}: there is nothing to tell apart.")
    return LabelledSet(made.samples, kept, tuple(notes))


def _label(value: Any, key: str, number: int) -> bool:
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise UserError(f"row {number}: the label in field {key!r} must be true, false, 1 or 0, found {value!r}")
