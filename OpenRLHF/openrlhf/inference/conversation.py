"""A conversation as token ids: what was said before is never tokenised again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from openrlhf.datasets.prompts import fill
from openrlhf.datasets.templates import render_chat
from openrlhf.errors import UserError
from openrlhf.utils.special_tokens import prompt_ids


class Style(Protocol):
    """Where the texts between messages come from."""

    def render(self, turns: Sequence[tuple[str, str]], message: str) -> str:
        """The whole prompt: earlier (message, answer) pairs and the new message, up to where the answer begins."""
        ...


@dataclass(frozen=True)
class TemplateStyle:
    """Turns of `template`, one after the other, each on a new line; `opening` comes before them (--ta_prompt)."""

    template: str | None
    opening: str = ""
    suffix: str = ""

    def render(self, turns: Sequence[tuple[str, str]], message: str) -> str:
        said = [f"{fill(self.template, asked)}{self.suffix}{answer}" for asked, answer in turns]
        parts = [*said, f"{fill(self.template, message)}{self.suffix}"]
        return "\n".join([self.opening, *parts] if self.opening else parts)


@dataclass(frozen=True)
class ChatStyle:
    """The tokenizer's chat template; `opening` becomes the system message (--ta_prompt)."""

    tokenizer: Any
    opening: str = ""
    suffix: str = ""

    def render(self, turns: Sequence[tuple[str, str]], message: str) -> str:
        messages = [{"role": "system", "content": self.opening}] if self.opening else []
        for asked, answer in turns:
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        messages.append({"role": "user", "content": message})
        return render_chat(self.tokenizer, messages, generation_prompt=True) + self.suffix


class Conversation:
    """What was said so far, as texts and as the ids that the model read and wrote.

    A new prompt continues the ids of the last one where its text continues that text. Where it does not (a template
    that writes earlier turns differently, or dropped turns), the whole text is tokenised.
    """

    def __init__(self, tokenizer: Any, style: Style, *, special_tokens: bool) -> None:
        """special_tokens: whether the tokenizer puts its own in front (plain text; a chat template brings its own)."""
        self._tokenizer = tokenizer
        self._style = style
        self._special_tokens = special_tokens
        self.clear()

    def clear(self) -> None:
        self.turns: list[tuple[str, str]] = []
        self._text = ""
        self._ids: list[int] = []

    def prompt(self, message: str) -> tuple[int, ...]:
        """Ids of the whole conversation with `message` at its end; it does not become part of the conversation yet."""
        text = self._style.render(self.turns, message)
        if self._text and text.startswith(self._text):
            rest = self._tokenizer(text[len(self._text) :], add_special_tokens=False)["input_ids"]
            return (*self._ids, *rest)
        return self._encode(text)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(prompt_ids(self._tokenizer, text, special_tokens=self._special_tokens))

    def prompt_within(self, message: str, limit: int) -> tuple[tuple[int, ...], int]:
        """As `prompt`, of at most `limit` tokens: the oldest turns are dropped for it, and counted.

        Raises: UserError where the message alone is too long; nothing is dropped then.
        """
        ids = self.prompt(message)
        if len(ids) <= limit:
            return ids, 0
        alone = self._encode(self._style.render([], message))
        if len(alone) > limit:
            raise UserError(
                f"the message takes {len(alone)} tokens, but {limit} fit (three quarters of --max_len): it is not part"
                " of the conversation; shorten it"
            )
        dropped = 0
        while len(ids) > limit:
            del self.turns[0]
            self._text, self._ids = "", []
            dropped += 1
            ids = self.prompt(message)
        return ids, dropped

    def add(self, message: str, prompt_ids: Sequence[int], answer_ids: Sequence[int], answer: str) -> None:
        """Adds a turn. answer_ids: as generated; answer: their text without special tokens. The token that ended the
        answer is kept where the style writes it there, too."""
        text = self._style.render(self.turns, message)
        self.turns.append((message, answer))
        following = self._style.render(self.turns, "")
        for kept in (list(answer_ids), list(answer_ids[:-1])):
            said = text + self._tokenizer.decode(kept, skip_special_tokens=False)
            if following.startswith(said):
                self._text, self._ids = said, [*prompt_ids, *kept]
                return
        self._text, self._ids = "", []
