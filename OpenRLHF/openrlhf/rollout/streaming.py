"""Text of a completion while it is being generated; only `hf_engine` imports this module."""

from collections.abc import Callable, Collection
from typing import Any

import torch
from transformers.generation.streamers import BaseStreamer

_UNFINISHED = "\ufffd"  # what a tokenizer writes for bytes that do not make up a character yet


class TextStream(BaseStreamer):
    """What `generate` of one row tells its tokens to; passes text on as soon as it cannot change any more.

    ends: ids that end a completion and belong to no text.
    """

    def __init__(self, tokenizer: Any, ends: Collection[int], show: Callable[[str], None]) -> None:
        self._tokenizer = tokenizer
        self._ends = ends
        self._show = show
        self._prompt_is_over = False
        self._ids: list[int] = []
        self._shown = ""

    def put(self, value: torch.Tensor) -> None:
        """The prompt's ids first, then one id at a time."""
        if not self._prompt_is_over:
            self._prompt_is_over = True
            return
        self._ids += [token for token in value.flatten().tolist() if token not in self._ends]
        text = self._text()
        if not text.endswith(_UNFINISHED):
            self._pass_on(text)

    def end(self) -> None:
        self._pass_on(self._text())

    def _text(self) -> str:
        return self._tokenizer.decode(self._ids, skip_special_tokens=True)

    def _pass_on(self, text: str) -> None:
        if len(text) > len(self._shown):
            self._show(text[len(self._shown) :])
            self._shown = text
