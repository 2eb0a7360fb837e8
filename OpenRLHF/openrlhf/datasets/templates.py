"""Text around a prompt: `--input_template` and chat templates. Imports nothing heavy."""

from typing import Any

from openrlhf.errors import UserError


def as_messages(content: Any) -> list[dict[str, str]]:
    """A conversation as it is, a plain string as one user message. UserError for anything else."""
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    if isinstance(content, list) and content and all(_is_message(message) for message in content):
        return content
    raise UserError(
        f"a chat template needs a text or a list of {{'role', 'content'}} messages, found {_shown(content)}"
    )


def render_chat(tokenizer: Any, messages: list[dict[str, str]], *, generation_prompt: bool) -> str:
    """The conversation as text, by the tokenizer's chat template.

    UserError: the tokenizer has no template, or the template refuses the conversation.
    """
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template: remove"
            " --apply_chat_template (and use --input_template), or give a template"
            " (--tokenizer_chat_template in train_sft)"
        )
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation_prompt)
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise UserError(f"the chat template refuses a conversation with the roles {roles}: {error}") from error


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("role"), str) and "content" in message


def _shown(content: Any) -> str:
    text = repr(content)
    return text if len(text) <= 80 else f"{text[:80]}…"
