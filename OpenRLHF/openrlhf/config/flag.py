"""One command-line flag: a row of the tables in `config.tables`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Flag:
    """A row: name without dashes, converter (`bool`: a switch without value), default, help, argparse's rest.

    `default` may be a function without arguments; it is called when a parser is built.
    """

    name: str
    kind: Callable[[str], Any]
    default: Any
    help: str
    choices: Sequence[str] | None = None
    nargs: int | str | None = None
    required: bool = False


def switch(name: str, help: str) -> Flag:
    """A flag without value: False unless given."""
    return Flag(name, bool, False, help)


def integer(text: str) -> int:
    """Converts `1024` and also `1e8`, which some defaults of OpenRLHF are written as; refuses fractions.

    Raises ValueError, which argparse reports with the flag's name.
    """
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():
            raise ValueError(f"{text} is not a whole number") from None
        return int(value)


def gpu_count(text: str) -> int:
    """Converts a number, or `visible`: the number of GPUs visible to this process, at least 1.

    argparse converts a default written as text only when the flag was not given, and not for `--help`; so
    torch is imported only when its answer is needed.
    """
    if text != "visible":
        return integer(text)
    import torch

    return max(1, torch.cuda.device_count())
