"""What responses are made of: words of doubt, and the tokens that carry a calculation."""

import re
from collections.abc import Sequence
from typing import Any

# Expressions by which a writer stops to doubt or to check, as words or phrases of their own.
HEDGES = (
    "wait", "hmm", "hold on", "actually", "alternatively", "maybe", "perhaps", "double-check", "double check",
    "recheck", "check", "let me check", "let me verify", "let me re-examine", "let me think", "let me see", "let me",
    "not sure", "i think", "on second thought",
)  # fmt: skip
_HEDGE = re.compile(
    r"(?<![\w-])(?:" + "|".join(map(re.escape, sorted(HEDGES, key=len, reverse=True))) + r")(?![\w-])", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")

_OPERATORS = frozenset("+-−–*×·⋅/÷=≠≈<>≤≥≡^%√±∓∑∏∫∞!|")
# LaTeX's words for operators, with or without the backslash, since tokenizers split it off.
_COMMANDS = frozenset(
    {"frac", "dfrac", "tfrac", "times", "cdot", "div", "sqrt", "sum", "prod", "int", "pm", "mp", "le", "leq", "ge"}
    | {"geq", "ne", "neq", "approx", "equiv", "pmod", "bmod", "binom"}
)


def hedging(texts: Sequence[str]) -> tuple[int, int]:
    """Expressions of doubt in all of them, the longest ones first and each once, and the number of their words."""
    return sum(len(_HEDGE.findall(text)) for text in texts), sum(len(_WORD.findall(text)) for text in texts)


class TaskTokens:
    """Which tokens of a vocabulary are numbers or operators; each is looked at once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, float] = {}

    def column(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        """1 for numbers and operators, 0 for everything else."""
        for token in set(token_ids) - self._known.keys():
            self._known[token] = float(is_task(self._tokenizer.decode([token])))
        return tuple(self._known[token] for token in token_ids)


def is_task(token: str) -> bool:
    """Digits and operators, with nothing but blanks and punctuation beside them, or a LaTeX operator."""
    text = token.strip()
    if text.lstrip("\\") in _COMMANDS:
        return True
    return any(c.isdigit() or c in _OPERATORS for c in text) and not any(c.isalpha() for c in text)
