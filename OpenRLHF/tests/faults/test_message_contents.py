"""What conversations may hold: texts, and parts of text; anything else is named by row, field and message."""

from typing import Any

import pytest

from openrlhf.config.inference import BatchDataConfig
from openrlhf.datasets.preference import PreferenceFormat, build_pairs
from openrlhf.datasets.prompts import build_prompts
from openrlhf.datasets.texts import TextFormat, build_text_samples
from openrlhf.errors import UserError
from openrlhf.inference.scoring import segments_of
from toy_models import byte_tokenizer

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
GOOD: list[dict[str, Any]] = [{"role": "user", "content": "1 + 1"}, {"role": "assistant", "content": "2"}]


def tokenizer() -> Any:
    made = byte_tokenizer()
    made.chat_template = TEMPLATE
    return made


def prompts(content: Any) -> Any:
    return build_prompts(
        [{"x": "a"}, {"x": content}], tokenizer(), max_tokens=99, input_key="x", apply_chat_template=True
    )


def texts(content: Any) -> Any:
    style = TextFormat(input_key="x", apply_chat_template=True)
    return build_text_samples([{"x": GOOD}, {"x": content}], tokenizer(), style, max_len=99)


def outputs(content: Any) -> Any:
    style = TextFormat(input_key="y", output_key="x", apply_chat_template=True)
    return build_text_samples([{"y": "a", "x": "b"}, {"y": "a", "x": content}], tokenizer(), style, max_len=99)


def pairs(content: Any) -> Any:
    style = PreferenceFormat(chosen_key="x", rejected_key="y", apply_chat_template=True)
    other = [GOOD[0], {"role": "assistant", "content": "3"}]
    return build_pairs(
        [{"x": GOOD, "y": other}, {"x": content, "y": other}], tokenizer(), style, max_len=99, for_reward=True
    )


def scores(content: Any) -> Any:
    data = BatchDataConfig(input_key="x", output_key="y", apply_chat_template=True)
    return segments_of({"x": content, "y": "b"}, tokenizer(), data, 1)


READERS = (prompts, texts, outputs, pairs, scores)
WRONG: dict[str, Any] = {
    "null": [{"role": "user", "content": None}],
    "a number": [{"role": "user", "content": 3}],
    "a dictionary": [{"role": "user", "content": {"text": "a"}}],
    "an image": [{"role": "user", "content": [{"type": "image", "url": "a.png"}]}],
    "a part without text": [{"role": "user", "content": [{"type": "text"}]}],
    "null in parts": [{"role": "user", "content": [{"type": "text", "text": None}]}],
    "no content": [{"role": "user"}],
    "no role": [{"content": "a"}],
    "a role that is no text": [{"role": 1, "content": "a"}],
    "a text among messages": ["a"],
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_what_is_no_text_is_refused_with_row_field_and_message(reader: Any, content: Any) -> None:
    with pytest.raises(UserError, match="row 1: field 'x', message 0"):
        reader(content)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", [None, 3, {"role": "user", "content": "a"}])
def test_what_is_no_conversation_is_refused_with_row_and_field(reader: Any, content: Any) -> None:
    with pytest.raises(UserError, match="row 1: field 'x' must be a text or a list"):
        reader(content)


def test_parts_of_text_are_joined() -> None:
    parts = [{"type": "text", "text": "1 "}, {"text": "+"}, " 1"]
    made = prompts([{"role": "user", "content": parts}])
    assert made.prompts[1].text == "[user]1 + 1[assistant]"
    whole = texts([{"role": "user", "content": parts}, GOOD[1]]).samples
    assert whole[0] == whole[1]


def test_a_call_of_tools_needs_no_words() -> None:
    calls = [{"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}]
    assert prompts([GOOD[0], *calls]).prompts[1].text == "[user]1 + 1[assistant][assistant]"
