"""Which tokens of a supervised sample carry loss."""

import pytest

from openrlhf.datasets.texts import TextFormat, build_text_samples
from openrlhf.errors import UserError

PLAIN = TextFormat(input_key="q", output_key="a")
CHAT = TextFormat(input_key="q", output_key="a", apply_chat_template=True)


def build(tokenizer, record: dict, style: TextFormat = PLAIN, max_len: int = 99):
    return build_text_samples([record], tokenizer, style, max_len=max_len)


def marked(tokenizer, sample) -> str:
    """The sample's text with the tokens that carry loss in angle brackets."""
    tokens = tokenizer.convert_ids_to_tokens(sample.token_ids)
    return "".join(f"<{token}>" if at in sample.scored else token for at, token in enumerate(tokens))


def test_the_loss_is_on_all_response_tokens_the_first_and_the_end_included(tokenizer):
    found = build(tokenizer, {"q": "1?", "a": "ab"})
    assert marked(tokenizer, found.samples[0]) == "1?<a><b>< ><<eos>>"
    assert found.samples[0].scored == (2, 3, 4, 5)
    assert found.notes(99) == []


def test_an_end_token_that_is_there_is_not_doubled_and_trailing_line_feeds_go(tokenizer):
    found = build(tokenizer, {"q": "1", "a": "a<eos>\n\n"})
    assert marked(tokenizer, found.samples[0]) == "1<a><<eos>>"


def test_prompt_and_response_are_tokenised_apart(tokenizer):
    prompt = tokenizer("1 ", add_special_tokens=False)["input_ids"]
    response = tokenizer(" a", add_special_tokens=False)["input_ids"]
    sample = build(tokenizer, {"q": "1 ", "a": " a"}).samples[0]
    assert list(sample.token_ids[:4]) == prompt + response


def test_the_template_goes_around_the_prompt_only(tokenizer):
    style = TextFormat(input_key="q", output_key="a", input_template="Q: {}\nA: ")
    assert marked(tokenizer, build(tokenizer, {"q": "1", "a": "b"}, style).samples[0]) == "Q: 1\nA: <b>< ><<eos>>"


def test_long_samples_are_cut_at_their_end_and_counted(tokenizer):
    found = build(tokenizer, {"q": "12", "a": "abcdef"}, max_len=5)
    assert marked(tokenizer, found.samples[0]) == "12<a><b><c>"
    assert found.truncated == 1
    assert found.notes(5) == ["1 of 1 samples are longer than 5 tokens: cut there."]
    assert build(tokenizer, {"q": "12", "a": "a"}, max_len=5).truncated == 0


def test_samples_without_a_response_are_left_out_and_counted(tokenizer):
    records = [{"q": "1", "a": "a"}, {"q": "123456", "a": "a"}, {"q": "1", "a": ""}]
    found = build_text_samples(records, tokenizer, PLAIN, max_len=6)
    assert (len(found.samples), found.without_response, found.truncated) == (1, 2, 0)
    assert found.notes(6) == ["2 of 3 samples have no response within 6 tokens: left out."]


def test_in_pretrain_mode_all_but_the_first_token_carry_loss_and_templates_are_not_used(tokenizer):
    style = TextFormat(input_key="q", input_template="Q: {}", apply_chat_template=True, pretrain_mode=True)
    assert marked(tokenizer, build(tokenizer, {"q": "abc"}, style).samples[0]) == "a<b><c>< ><<eos>>"


def test_an_empty_prompt_leaves_the_first_response_token_without_loss(tokenizer):
    assert marked(tokenizer, build(tokenizer, {"q": "", "a": "ab"}).samples[0]) == "a<b>< ><<eos>>"


def test_two_strings_are_a_user_and_an_assistant_message(tokenizer):
    found = build(tokenizer, {"q": "1?", "a": "ab"}, CHAT)
    assert marked(tokenizer, found.samples[0]) == "[user]1?\n[assistant]<a><b><<eos>>"


CONVERSATION = [
    {"role": "user", "content": "1"},
    {"role": "assistant", "content": "a"},
    {"role": "user", "content": "2"},
    {"role": "assistant", "content": "b"},
]


def test_of_a_conversation_only_the_last_assistant_turn_carries_loss(tokenizer):
    style = TextFormat(input_key="q", apply_chat_template=True)
    text = marked(tokenizer, build(tokenizer, {"q": CONVERSATION}, style).samples[0])
    assert text == "[user]1\n[assistant]a<eos>\n[user]2\n[assistant]<b><<eos>>"


def test_multiturn_puts_loss_on_every_assistant_turn(tokenizer):
    style = TextFormat(input_key="q", apply_chat_template=True, multiturn=True)
    text = marked(tokenizer, build(tokenizer, {"q": CONVERSATION}, style).samples[0])
    assert text == "[user]1\n[assistant]<a><<eos>><\n>[user]2\n[assistant]<b><<eos>>"


def test_a_conversation_may_have_its_last_turn_in_the_output_field(tokenizer):
    for output in (CONVERSATION[3:], "b"):
        record = {"q": CONVERSATION[:3], "a": output}
        text = marked(tokenizer, build(tokenizer, record, CHAT).samples[0])
        assert text == "[user]1\n[assistant]a<eos>\n[user]2\n[assistant]<b><<eos>>"


def test_records_are_left_as_they_were(tokenizer):
    record = {"q": CONVERSATION[:3], "a": CONVERSATION[3:]}
    build(tokenizer, record, CHAT)
    assert record == {"q": CONVERSATION[:3], "a": CONVERSATION[3:]}


def test_a_template_that_rewrites_earlier_turns_is_refused(make_tokenizer):
    forgetful = make_tokenizer(chat_template="{{ messages[-1]['content'] }}")
    with pytest.raises(UserError, match="writes earlier turns differently"):
        build(forgetful, {"q": "1?", "a": "ab"}, CHAT)


@pytest.mark.parametrize(
    ("record", "style", "message"),
    [
        ({"x": "1", "a": "b"}, PLAIN, "choose --input_key among the fields found: x, a"),
        ({"q": "1", "b": "b"}, PLAIN, "choose --output_key among the fields found: q, b"),
        ({"q": ["1"], "a": "b"}, PLAIN, "field 'q' must be text, found list"),
        ({"q": "1", "a": 5}, PLAIN, "field 'a' must be text, found int"),
        (
            {"q": CONVERSATION[:3]},
            TextFormat("q", apply_chat_template=True),
            "found the roles user, assistant, user",
        ),
        ({"q": "123", "a": "b"}, PLAIN, "none of 1 samples has a response token within 3 tokens"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tokenizer, record: dict, style: TextFormat, message: str):
    with pytest.raises(UserError) as refusal:
        build(tokenizer, record, style, max_len=3)
    assert message in str(refusal.value)


def test_a_tokenizer_without_end_token_is_refused(make_tokenizer):
    with pytest.raises(UserError, match="no end-of-sequence token"):
        build(make_tokenizer(eos=False), {"q": "1", "a": "b"})
