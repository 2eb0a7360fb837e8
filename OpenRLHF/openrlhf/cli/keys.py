"""Keys on a command line, where everybody on the machine can read them in the list of processes."""

import os
import sys
from collections.abc import Mapping, Sequence

_FLAG, VARIABLE = "--use_wandb", "WANDB_API_KEY"
_NO_KEYS = ("true", "1", "offline")


def without_key(words: Sequence[str]) -> tuple[list[str], str | None]:
    """The same command line with `True` in place of a key of Weights & Biases, and that key."""
    kept, key = list(words), None
    for place, word in enumerate(kept):
        flag, equals, value = word.partition("=")
        if flag != _FLAG or (not equals and place + 1 == len(kept)):
            continue
        value = value if equals else kept[place + 1]
        if value.lower() not in _NO_KEYS:
            key = value
            kept[place if equals else place + 1] = f"{_FLAG}=True" if equals else "True"
    return kept, key


def hide_key() -> None:
    """Starts this process again without the key, which goes into its environment; only its own user can read that."""
    words, key = without_key(sys.orig_argv)
    if key is None:
        return
    print(
        f"note: the key in {_FLAG} could be read by others until now: set {VARIABLE}, or log in with `wandb login`, and"
        f" give {_FLAG} True.",
        file=sys.stderr,
        flush=True,
    )
    os.execve(sys.executable, [sys.executable, *words[1:]], {**os.environ, VARIABLE: key})


def job_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a job needs of this process's environment, since it runs in another."""
    return {VARIABLE: environment[VARIABLE]} if environment.get(VARIABLE) else {}
