"""What a tokenizer puts around plain text of its own accord, found by probing: classes and settings do not tell."""

from typing import Any


def added_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Ids in front of a text and behind it."""
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    whole = list(tokenizer("a")["input_ids"])
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    return [], []


def prompt_ids(tokenizer: Any, text: Any, *, special_tokens: bool) -> Any:
    """Ids of a text that a model shall continue; of each text where a list is given.

    special_tokens: whether the tokenizer's own come in front; those that it would put behind never do, since a prompt
    that ends in an end-of-sequence token has a response that begins after the end.
    """
    front, behind = added_tokens(tokenizer) if special_tokens else ([], [])
    whole = special_tokens and not behind
    found = tokenizer(text, add_special_tokens=whole)["input_ids"]
    if whole:
        return found
    return [*front, *found] if isinstance(text, str) else [[*front, *row] for row in found]


def closing_note(tokenizer: Any) -> list[str]:
    """Says that something is taken off, where it is."""
    _, behind = added_tokens(tokenizer)
    if not behind:
        return []
    names = " ".join(map(str, tokenizer.convert_ids_to_tokens(behind)))
    return [f"the tokenizer puts {names} behind every text; prompts go without it."]
