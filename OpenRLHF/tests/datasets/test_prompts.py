"""Prompts, and the order in which they are seen."""

import pickle

import pytest

from openrlhf.config.rules import check_template
from openrlhf.datasets.prompts import build_prompts
from openrlhf.datasets.sampler import EpochSampler
from openrlhf.errors import UserError

RECORDS = [
    {"problem": "1 ?", "answer": "1"},
    {"problem": "", "answer": 2},
    {"problem": "123456", "answer": 0.5},
]


def build(tokenizer, records=RECORDS, **options):
    return build_prompts(
        records, tokenizer, **{"max_tokens": 5, "input_key": "problem", "label_key": "answer", **options}
    )


def test_long_and_empty_prompts_are_left_out_and_counted_never_cut(tokenizer):
    found = build(tokenizer)
    assert [(prompt.index, prompt.text, prompt.label) for prompt in found.prompts] == [(0, "1 ?", "1")]
    assert tokenizer.convert_ids_to_tokens(found.prompts[0].token_ids) == ["1", " ", "?"]
    assert (found.too_long, found.empty) == (1, 1)
    assert found.notes(5) == [
        "1 of 3 prompts are longer than 5 tokens: left out.",
        "1 of 3 prompts are empty: left out.",
    ]


def test_prompts_keep_the_number_of_their_record_and_labels_become_texts(tokenizer):
    found = build(tokenizer, max_tokens=6)
    assert [(prompt.index, prompt.label) for prompt in found.prompts] == [(0, "1"), (2, "0.5")]


def test_prompts_keep_the_other_columns_of_their_record_and_all_have_the_same(tokenizer):
    records = [{"problem": "1", "answer": "1", "level": 3}, {"problem": "2", "answer": "2", "tags": ["a"]}]
    first, second = build(tokenizer, records).prompts
    assert (first.fields, second.fields) == ({"level": 3, "tags": None}, {"level": None, "tags": ["a"]})
    assert pickle.loads(pickle.dumps(second)) == second
    assert len({first, second, first}) == 2
    assert build(tokenizer, records, label_key=None).prompts[0].fields["answer"] == "1"


def test_the_input_template_goes_around_the_prompt_with_doubled_braces_as_braces(tokenizer):
    found = build(tokenizer, RECORDS[:1], input_template="Q: {} {{a}}\n", max_tokens=99)
    assert found.prompts[0].text == "Q: 1 ? {a}\n"


def test_a_plain_string_is_one_user_message_and_the_chat_template_wins(tokenizer):
    found = build(tokenizer, RECORDS[:1], input_template="Q: {}", apply_chat_template=True, max_tokens=99)
    assert found.prompts[0].text == "[user]1 ?\n[assistant]"
    assert tokenizer.convert_ids_to_tokens(found.prompts[0].token_ids)[:2] == ["[user]", "1"]


def test_a_conversation_is_rendered_as_it_is(tokenizer):
    chat = [{"role": "system", "content": "be"}, {"role": "user", "content": "a"}]
    found = build(tokenizer, [{"problem": chat, "answer": "1"}], apply_chat_template=True, max_tokens=99)
    assert found.prompts[0].text == "[system]be\n[user]a\n[assistant]"


def test_without_a_label_key_labels_are_empty(tokenizer):
    assert build(tokenizer, label_key=None).prompts[0].label == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_key": "question"}, "choose --input_key among the fields found: problem, answer"),
        ({"label_key": "gold"}, "choose --label_key among the fields found: problem, answer"),
        ({"max_tokens": 2}, "none of 3 prompts has between 1 and 2 tokens"),
        ({"records": [{"problem": 3, "answer": "1"}]}, "row 0: field 'problem' must be text, found int"),
        (
            {"records": [{"problem": [], "answer": "1"}]},
            "found list; conversations need --apply_chat_template",
        ),
        ({"records": [{"problem": "a", "answer": None}]}, "must be a text or number, found NoneType"),
        ({"records": [{"problem": "a", "answer": ["1"]}]}, "must be a text or number, found list"),
        (
            {"records": [{"problem": 3, "answer": "1"}], "apply_chat_template": True},
            "row 0: field 'problem' must be a text or a list of {'role', 'content'} messages, found 3",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_what_was_found(tokenizer, options: dict, message: str):
    with pytest.raises(UserError) as refusal:
        build(tokenizer, **options)
    assert message in str(refusal.value)


def test_a_tokenizer_without_chat_template_is_refused(make_tokenizer):
    with pytest.raises(UserError, match="has no chat template: remove --apply_chat_template"):
        build(make_tokenizer(chat_template=None), apply_chat_template=True)


def test_a_chat_template_that_refuses_the_roles_is_reported(make_tokenizer):
    strict = make_tokenizer(chat_template="{{ raise_exception('only users here') }}")
    with pytest.raises(UserError, match="the roles user: only users here"):
        build(strict, apply_chat_template=True)


@pytest.mark.parametrize("template", ["{} {}", "{x} {}", "{0}", "\\boxed{} {}", "{", "plain"])
def test_templates_have_exactly_one_place_for_the_prompt(template: str):
    with pytest.raises(UserError, match="exactly one"):
        check_template(template)


def flat(batches):
    return [index for batch in batches for index in batch]


def test_every_epoch_sees_every_sample_once_in_another_order():
    sampler = EpochSampler(10, 4, seed=1, epochs=2)
    batches = list(sampler)
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    assert len(sampler) == 6
    first, second = (flat(part) for part in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second != list(range(10))


def test_the_order_depends_on_the_seed_alone():
    orders = [list(EpochSampler(50, 8, seed=seed)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert flat(orders[0]) == flat(EpochSampler(50, 7, seed=1))


def test_a_sampler_continues_after_the_batch_that_was_being_worked_on():
    for done in range(7):
        whole = EpochSampler(10, 4, seed=1, epochs=2)
        batches = iter(whole)
        for _ in range(done):
            next(batches)
        resumed = EpochSampler(10, 4, seed=1, epochs=2)
        resumed.load_state_dict(whole.state_dict())
        assert list(resumed) == list(batches)


def test_a_position_in_other_data_is_refused():
    state = EpochSampler(10, 4, seed=1).state_dict()
    for other in (EpochSampler(11, 4, seed=1), EpochSampler(10, 4, seed=2)):
        with pytest.raises(ValueError, match="belongs to 10 samples and seed 1"):
            other.load_state_dict(state)


def test_every_sample_is_equally_likely_to_come_first():
    # 2,000 epochs over 4 samples: each is first about 500 times; 6 standard deviations are 116.
    firsts = [next(iter(EpochSampler(4, 1, seed=seed)))[0] for seed in range(2000)]
    assert all(abs(firsts.count(index) - 500) < 117 for index in range(4))


def test_plain_prompts_and_sft_rows_begin_as_the_tokenizer_begins_a_text() -> None:
    """As for Llama: a beginning-of-sequence token in front of plain text, none in front of a chat template's."""
    from tokenizers.processors import TemplateProcessing

    from openrlhf.datasets.texts import TextFormat, build_text_samples
    from toy_models import byte_tokenizer

    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    bos = tokenizer.bos_token_id
    tokenizer._tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", bos)])
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    (plain,) = build_prompts([{"input": "ab"}], tokenizer, max_tokens=9).prompts
    (chat,) = build_prompts([{"input": "ab"}], tokenizer, max_tokens=9, apply_chat_template=True).prompts
    assert plain.token_ids == (bos, *chat.token_ids)
    style = TextFormat(output_key="output")
    (row,) = build_text_samples([{"input": "ab", "output": "c"}], tokenizer, style, max_len=9).samples
    assert row.token_ids[:3] == plain.token_ids
    assert row.scored[0] == 3
