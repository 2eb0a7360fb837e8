"""Text for a terminal: what a model wrote must not move the cursor, change colours or turn the line round."""

import os
import unicodedata
from typing import TextIO

# Right-to-left marks are format characters (Cf) as well; joiners belong to emoji and scripts.
_JOINERS = "\u200c\u200d"


def plain(text: str) -> str:
    """`text` with control and format characters written out, line breaks and tabs excepted."""
    return "".join(
        f"\\u{ord(char):04x}"
        if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char not in "\n\t" + _JOINERS
        else char
        for char in text
    )


def has_colours(out: TextIO) -> bool:
    """Whether `out` is a terminal whose user has not asked for none (no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
