"""Text around a prompt: `--input_template` and chat templates. Imports nothing heavy."""

from collections.abc import Sequence
from typing import Any

from openrlhf.errors import UserError

Message = dict[str, Any]


def as_messages(content: Any, key: str, number: int, *, text_is: str = "user") -> list[Message]:
    """A conversation with plain texts as contents; a text alone is one message of the role `text_is`.

    A content that is a list of parts, as in multimodal data, becomes the text of its parts. UserError, with row and
    field: there is something else than text, which templates would write out as Python does, or leave away.
    """
    where = f"row {number}: field {key!r}"
    if isinstance(content, str):
        return [{"role": text_is, "content": content}]
    if not isinstance(content, list) or not content:
        raise UserError(f"{where} must be a text or a list of {{'role', 'content'}} messages, found {_shown(content)}")
    return [_message(message, f"{where}, message {turn}") for turn, message in enumerate(content)]


def render_chat(tokenizer: Any, messages: Sequence[Message], *, generation_prompt: bool) -> str:
    """The conversation as text, by the tokenizer's chat template.

    UserError: the tokenizer has no template, or the template refuses the conversation.
    """
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template: remove"
            " --apply_chat_template (and use --input_template), or give a template"
            " (--tokenizer_chat_template in train_sft and train_rm)"
        )
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=generation_prompt)
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise UserError(f"the chat template refuses a conversation with the roles {roles}: {error}") from error


def _message(message: Any, where: str) -> Message:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str) or "content" not in message:
        raise UserError(f"{where}: expected {{'role': a text, 'content': a text}}, found {_shown(message)}")
    content = message["content"]
    if isinstance(content, list):
        content = "".join(_part(part, f"{where}, part {number}") for number, part in enumerate(content))
    if content is None and message.get("tool_calls"):
        content = ""  # a call of tools needs no words
    if not isinstance(content, str):
        raise UserError(f"{where}: the content must be a text, found {_shown(content)}; remove such rows")
    return {**message, "content": content}


def _part(part: Any, where: str) -> str:
    text = part.get("text") if isinstance(part, dict) and part.get("type", "text") == "text" else part
    if not isinstance(text, str):
        raise UserError(f"{where}: only parts of text can be read, found {_shown(part)}; remove such rows")
    return text


def _shown(content: Any) -> str:
    text = repr(content)
    return text if len(text) <= 80 else f"{text[:80]}…"
