"""Pairs for reward models and DPO, and labelled samples for KTO: which tokens, what is cut, what is refused."""

import pytest

from openrlhf.datasets.preference import PreferenceFormat, build_pairs
from openrlhf.datasets.texts import TextFormat
from openrlhf.datasets.unpaired import build_labelled
from openrlhf.errors import UserError

PROMPT = PreferenceFormat(prompt_key="q")
CHAT = PreferenceFormat(apply_chat_template=True)


def build(tokenizer, record: dict, style: PreferenceFormat = PROMPT, max_len: int = 99, for_reward: bool = False):
    return build_pairs([record], tokenizer, style, max_len=max_len, for_reward=for_reward)


def marked(tokenizer, row) -> str:
    tokens = tokenizer.convert_ids_to_tokens(row.token_ids)
    return "".join(f"<{token}>" if at in row.scored else token for at, token in enumerate(tokens))


def both(tokenizer, found) -> tuple[str, str]:
    (pair,) = found.pairs
    return marked(tokenizer, pair.chosen), marked(tokenizer, pair.rejected)


def test_both_rows_are_prompt_and_response_with_an_end(tokenizer):
    found = build(tokenizer, {"q": "1?", "chosen": "a", "rejected": "bc"})
    assert both(tokenizer, found) == ("1?<a>< ><<eos>>", "1?<b><c>< ><<eos>>")
    assert found.notes(99) == []


def test_without_a_prompt_key_the_fields_are_whole_texts(tokenizer):
    found = build(tokenizer, {"chosen": "ab", "rejected": "ac"}, PreferenceFormat(input_template="Q: {}"))
    assert both(tokenizer, found) == ("a<b>< ><<eos>>", "a<c>< ><<eos>>")  # nothing predicts the first token


def test_the_template_goes_around_the_prompt(tokenizer):
    style = PreferenceFormat("q", input_template="Q:{}A:")
    found = build(tokenizer, {"q": "1", "chosen": "a", "rejected": "b"}, style)
    assert both(tokenizer, found) == ("Q:1A:<a>< ><<eos>>", "Q:1A:<b>< ><<eos>>")


def test_conversations_are_split_before_their_last_turn(tokenizer):
    def talk(answer: str) -> list[dict]:
        return [{"role": "user", "content": "1"}, {"role": "assistant", "content": answer}]

    expected = ("[user]1\n[assistant]<a><<eos>>", "[user]1\n[assistant]<b><<eos>>")
    assert both(tokenizer, build(tokenizer, {"chosen": talk("a"), "rejected": talk("b")}, CHAT)) == expected
    split = PreferenceFormat("q", apply_chat_template=True)
    assert both(tokenizer, build(tokenizer, {"q": "1", "chosen": "a", "rejected": "b"}, split)) == expected
    turns = {"q": talk("")[:1], "chosen": talk("a")[1:], "rejected": talk("b")[1:]}
    assert both(tokenizer, build(tokenizer, turns, split)) == expected


def test_dpo_refuses_conversations_that_differ_before_the_last_turn_and_reward_models_take_them(tokenizer):
    record = {
        side: [{"role": "user", "content": prompt}, {"role": "assistant", "content": "a"}]
        for side, prompt in (("chosen", "1"), ("rejected", "2"))
    }
    with pytest.raises(UserError, match="row 0: 'chosen' and 'rejected' differ before their last turn"):
        build(tokenizer, record, CHAT)
    assert len(build(tokenizer, record, CHAT, for_reward=True).pairs) == 1


def test_fields_that_do_not_fit_the_flags_are_explained(tokenizer):
    whole = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "a"}]
    with pytest.raises(UserError, match="name the prompt's field with --prompt_key"):
        build(tokenizer, {"chosen": "a", "rejected": "b"}, CHAT)
    with pytest.raises(UserError, match=r"starts with a turn of the user.* leave --prompt_key out"):
        build(
            tokenizer, {"q": "1", "chosen": whole, "rejected": whole}, PreferenceFormat("q", apply_chat_template=True)
        )
    with pytest.raises(UserError, match=r"row 0 has no field 'rejected': choose --rejected_key among .* q, chosen"):
        build(tokenizer, {"q": "1", "chosen": "a"})
    with pytest.raises(UserError, match="conversations need --apply_chat_template"):
        build(tokenizer, {"q": "1", "chosen": whole, "rejected": "b"})


def test_a_cut_row_ends_with_eos_for_a_reward_model_and_as_it_was_cut_for_dpo(tokenizer):
    record = {"q": "12", "chosen": "abcdef", "rejected": "a"}
    reward = build(tokenizer, record, max_len=5, for_reward=True)
    assert both(tokenizer, reward) == ("12<a><b><<eos>>", "12<a>< ><<eos>>")
    dpo = build(tokenizer, record, max_len=5)
    assert both(tokenizer, dpo) == ("12<a><b><c>", "12<a>< ><<eos>>")
    assert dpo.notes(5) == reward.notes(5) == ["1 of 1 pairs are longer than --max_len 5: cut there."]


@pytest.mark.parametrize("for_reward", [False, True])
def test_pairs_that_cutting_leaves_without_response_or_difference_are_left_out_and_counted(tokenizer, for_reward):
    records = [
        {"q": "1", "chosen": "a", "rejected": "b"},
        {"q": "1", "chosen": "abcdef", "rejected": "abcdeg"},
        {"q": "123456", "chosen": "a", "rejected": "b"},
    ]
    found = build_pairs(records, tokenizer, PROMPT, max_len=6, for_reward=for_reward)
    assert (len(found.pairs), found.without_response, found.equal) == (1, 1, 1)
    assert found.notes(6) == [
        "1 of 3 pairs have no response within 6 tokens: left out.",
        "1 of 3 pairs have two equal rows within 6 tokens: left out.",
    ]
    with pytest.raises(UserError, match="none of 2 pairs has two different responses within --max_len 6"):
        build_pairs(records[1:], tokenizer, PROMPT, max_len=6, for_reward=for_reward)


def test_an_empty_response_is_one_too(tokenizer):
    found = build(tokenizer, {"q": "1", "chosen": "a", "rejected": ""})
    assert both(tokenizer, found) == ("1<a>< ><<eos>>", "1< ><<eos>>")


def test_margins_are_numbers_and_counted(tokenizer):
    records = [{"q": "1", "chosen": "a", "rejected": "b", "margin": m} for m in (0.5, "2", None)]
    found = build_pairs(
        [*records, {"q": "1", "chosen": "a", "rejected": "b"}], tokenizer, PROMPT, max_len=9, for_reward=True
    )
    assert [pair.margin for pair in found.pairs] == [0.5, 2.0, 0.0, 0.0]
    assert found.margins == 2
    with pytest.raises(UserError, match="row 0: field 'margin' must be a number, found 'much'"):
        build(tokenizer, {"q": "1", "chosen": "a", "rejected": "b", "margin": "much"})


def test_labels_stay_with_their_samples_when_others_are_left_out(tokenizer):
    rows = [("1", "a", True), ("123456", "a", False), ("2", "b", 0), ("3", "c", "1"), ("4", "d", "False")]
    records = [{"q": q, "a": a, "good": good} for q, a, good in rows]
    style = TextFormat(input_key="q", output_key="a")
    found = build_labelled(records, tokenizer, style, "good", max_len=6)
    assert [marked(tokenizer, sample)[0] for sample in found.samples] == ["1", "2", "3", "4"]
    assert found.labels == (True, False, True, False)
    assert found.notes == ("1 of 5 samples have no response within 6 tokens: left out.",)
    alike = build_labelled(records[:1], tokenizer, style, "good", max_len=6)
    assert alike.notes == ("all 1 samples are desirable: there is nothing to tell apart.",)


@pytest.mark.parametrize("label", [2, "yes", None, [1], 0.5])
def test_other_labels_are_refused(tokenizer, label):
    style = TextFormat(input_key="q", output_key="a")
    with pytest.raises(UserError, match="row 0: the label in field 'good' must be true, false, 1 or 0, found"):
        build_labelled([{"q": "1", "a": "a", "good": label}], tokenizer, style, "good", max_len=9)
