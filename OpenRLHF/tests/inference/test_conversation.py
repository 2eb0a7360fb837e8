"""Conversations as ids: what was generated is read again as it was, not tokenised anew."""

import pytest

from openrlhf.errors import UserError
from openrlhf.inference.conversation import ChatStyle, Conversation, TemplateStyle
from toy_models import byte_tokenizer

TEMPLATE = "User: {}\nAssistant: "
CHAT = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
TRIMMING = CHAT.replace("m['content']", "m['content'] | trim")
END = 256


class MergingTokenizer:
    """The byte tokenizer, but 'ab' is one token (300) wherever a text holds it."""

    def __init__(self, chat_template=None):
        self._bytes = byte_tokenizer()
        self._bytes.chat_template = chat_template
        self.chat_template = chat_template
        self.apply_chat_template = self._bytes.apply_chat_template
        self.name_or_path = "merging"

    def __call__(self, text, add_special_tokens=True):
        ids = []
        for number, part in enumerate(text.split("ab")):
            ids += ([300] if number else []) + self._bytes(part)["input_ids"]
        return {"input_ids": ids}

    def decode(self, ids, skip_special_tokens=False):
        text, run = "", []
        for token in [*ids, 300]:
            if token != 300:
                run.append(token)
                continue
            text += self._bytes.decode(run, skip_special_tokens=skip_special_tokens) + "ab"
            run = []
        return text.removesuffix("ab")


def single(text):
    return byte_tokenizer()(text)["input_ids"]


A_B = [*single("a"), *single("b")]  # what the model wrote, where the tokenizer would write 300


def test_a_template_conversation_continues_the_ids_that_were_generated():
    conversation = Conversation(MergingTokenizer(), TemplateStyle(TEMPLATE), special_tokens=True)
    first = conversation.prompt("hi")
    assert first == tuple(single("User: hi\nAssistant: "))
    conversation.add("hi", first, [*A_B, END], "ab")
    assert conversation.prompt("ab") == (*first, *A_B, *single("\nUser: "), 300, *single("\nAssistant: "))


def test_a_chat_conversation_keeps_the_end_token_that_its_template_writes():
    tokenizer = MergingTokenizer(CHAT)
    conversation = Conversation(tokenizer, ChatStyle(tokenizer), special_tokens=False)
    first = conversation.prompt("hi")
    assert first == tuple(single("[user] hi<|endoftext|>[assistant] "))
    conversation.add("hi", first, [*A_B, END], "ab")
    assert conversation.prompt("so") == (*first, *A_B, END, *single("[user] so<|endoftext|>[assistant] "))


def test_an_answer_that_was_cut_off_is_continued_too():
    tokenizer = MergingTokenizer(CHAT)
    conversation = Conversation(tokenizer, ChatStyle(tokenizer), special_tokens=False)
    first = conversation.prompt("hi")
    conversation.add("hi", first, A_B, "ab")
    assert conversation.prompt("so") == (*first, *A_B, END, *single("[user] so<|endoftext|>[assistant] "))


def test_a_template_that_rewrites_earlier_turns_is_followed():
    tokenizer = MergingTokenizer(TRIMMING)
    conversation = Conversation(tokenizer, ChatStyle(tokenizer), special_tokens=False)
    conversation.add("hi", conversation.prompt("hi"), [*single(" "), *A_B, END], " ab")
    expected = "[user] hi<|endoftext|>[assistant] ab<|endoftext|>[user] so<|endoftext|>[assistant] "
    assert list(conversation.prompt("so")) == tokenizer(expected)["input_ids"]


def test_the_opening_comes_first_and_the_suffix_before_every_answer():
    style = TemplateStyle("Q: {} A:", opening="Be kind.", suffix="<5> ")
    assert style.render([("x", "1")], "y") == "Be kind.\nQ: x A:<5> 1\nQ: y A:<5> "
    assert TemplateStyle(None).render([("x", "1")], "y") == "x1\ny"
    tokenizer = MergingTokenizer(CHAT)
    text = ChatStyle(tokenizer, opening="Be kind.", suffix="<5> ").render([("x", "1")], "y")
    assert text == (
        "[system] Be kind.<|endoftext|>[user] x<|endoftext|>[assistant] 1<|endoftext|>[user] y<|endoftext|>"
        "[assistant] <5> "
    )


def test_clearing_begins_anew_with_the_opening():
    conversation = Conversation(MergingTokenizer(), TemplateStyle(TEMPLATE, opening="Be kind."), special_tokens=True)
    first = conversation.prompt("hi")
    conversation.add("hi", first, single("x"), "x")
    conversation.clear()
    assert conversation.prompt("hi") == first
    assert conversation.turns == []


def test_the_oldest_turns_are_dropped_when_the_conversation_becomes_too_long():
    conversation = Conversation(MergingTokenizer(), TemplateStyle("{}>", opening="O"), special_tokens=True)
    for message in "123":
        conversation.add(message, conversation.prompt(message), single("yyyy"), "yyyy")
    # "O\n1>yyyy\n2>yyyy\n3>yyyy\n4>": 2 + 3·7 + 2 tokens
    assert conversation.prompt_within("4", 25) == (tuple(single("O\n1>yyyy\n2>yyyy\n3>yyyy\n4>")), 0)
    assert conversation.prompt_within("4", 24) == (tuple(single("O\n2>yyyy\n3>yyyy\n4>")), 1)
    assert conversation.prompt_within("4", 5) == (tuple(single("O\n4>")), 2)


def test_a_message_that_alone_is_too_long_is_refused_and_nothing_is_forgotten():
    conversation = Conversation(MergingTokenizer(), TemplateStyle("{}>"), special_tokens=True)
    conversation.add("1", conversation.prompt("1"), single("y"), "y")
    with pytest.raises(UserError, match="takes 21 tokens, but 20 fit"):
        conversation.prompt_within("z" * 20, 20)
    assert conversation.turns == [("1", "y")]
