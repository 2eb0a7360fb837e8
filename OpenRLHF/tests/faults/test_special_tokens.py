"""Tokenizers that put an end-of-sequence token behind every text."""

from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from openrlhf.datasets.prompts import build_prompts
from openrlhf.datasets.segments import opening_tokens
from openrlhf.datasets.texts import TextFormat, build_text_samples
from openrlhf.evaluation.questions.prompts import Prompter
from openrlhf.inference.conversation import Conversation, TemplateStyle
from openrlhf.utils.special_tokens import added_tokens
from toy_models import byte_tokenizer

BEGIN, END = 257, 256
AB = byte_tokenizer()("ab", add_special_tokens=False)["input_ids"]
RECORDS = [{"input": "ab", "output": "a"}]


def tokenizer(form: str) -> Any:
    """form: what it writes, such as "B $A E"."""
    made = byte_tokenizer()
    tokens = {"B": ("<|pad|>", BEGIN), "E": ("<|endoftext|>", END)}
    words = [tokens[word][0] if word in tokens else word for word in form.split()]
    made._tokenizer.post_processor = TemplateProcessing(single=" ".join(words), special_tokens=list(tokens.values()))
    return made


@pytest.mark.parametrize(
    ("form", "front", "behind"),
    [
        ("$A", [], []),
        ("B $A", [BEGIN], []),
        ("$A E", [], [END]),
        ("B $A E", [BEGIN], [END]),
        ("B B $A", [BEGIN] * 2, []),
    ],
)
def test_prompts_keep_what_stands_in_front_and_lose_what_stands_behind_everywhere(
    form: str, front: list[int], behind: list[int]
) -> None:
    made, wanted = tokenizer(form), (*front, *AB)
    assert added_tokens(made) == (front, behind)
    prompts = build_prompts(RECORDS, made, max_tokens=9)
    assert prompts.prompts[0].token_ids == wanted
    said = ["the tokenizer puts <|endoftext|> behind every text; prompts go without it."] if behind else []
    assert prompts.notes(9) == said
    assert Prompter("none", tokenizer=made).ids("ab") == wanted
    assert Conversation(made, TemplateStyle(None), special_tokens=True).prompt("ab") == wanted
    assert opening_tokens(made, apply_chat_template=False) == front


def test_a_response_does_not_begin_with_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    style = TextFormat(output_key="output")
    (sample,) = build_text_samples(RECORDS, tokenizer("B $A E"), style, max_len=9).samples
    assert sample.token_ids[:4] == (BEGIN, *AB, AB[0])
    assert sample.token_ids.index(END) == len(sample.token_ids) - 1
