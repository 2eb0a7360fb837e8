"""A tokenizer to follow by hand: a token per character, `<eos>`, and the markers of a chat template."""

import pytest

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 \n:.?!QAU"
# Jinja drops a line feed that follows a block, so those of the text are written as expressions.
CHAT = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}<eos>{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="session")
def make_tokenizer():
    """A function that makes such a tokenizer, with or without chat template and end-of-sequence token."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    def make(chat_template: str | None = CHAT, eos: bool = True):
        words = ["<eos>", "<unk>", "[user]", "[assistant]", "[system]", *LETTERS]
        raw = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
        raw.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=raw,
            eos_token="<eos>" if eos else None,
            unk_token="<unk>",
            additional_special_tokens=["[user]", "[assistant]", "[system]"],
        )
        tokenizer.chat_template = chat_template
        return tokenizer

    return make


@pytest.fixture(scope="session")
def tokenizer(make_tokenizer):
    return make_tokenizer()
