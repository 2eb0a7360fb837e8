"""HTML pages that load nothing, and in which text from a model is never markup."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openrlhf.utils.atomic import write_atomically


def script_data(value: Any) -> str:
    """JSON for a script element: only "<" could end it or open a comment. ValueError: a number that is not finite."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate, which JSON data may hold, has no UTF-8.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def filled_page(template: str, values: Mapping[str, str]) -> str:
    """`template` with each {{name}} replaced. What is put in is never searched for names itself."""
    first, *others = template.split("{{")
    parts = [first]
    for piece in others:
        name, _, rest = piece.partition("}}")
        parts += [values[name], rest]
    return "".join(parts)


def write_page(path: Path, template: str, values: Mapping[str, str]) -> None:
    """As `filled_page`, into a file, whole or not at all."""
    write_atomically(path, filled_page(template, values))
