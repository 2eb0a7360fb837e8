"""Which positions and labels a text with placeholders gives."""

import pytest

from openrlhf.datasets.process import StepTokens, build_step_samples
from openrlhf.errors import UserError

TEXT = "ab?cd?"


def build(tokenizer, *records: dict, rewards: tuple[str, ...] = ("Q", "A"), max_len: int = 99):
    tokens = StepTokens.build(tokenizer, "?", rewards)
    return build_step_samples(records, tokenizer, tokens, input_key="x", label_key="y", max_len=max_len)


def test_each_placeholder_predicts_its_label_also_at_the_end_of_the_text(tokenizer):
    sample = build(tokenizer, {"x": TEXT, "y": ["Q", "A"]}).samples[0]
    assert tokenizer.convert_ids_to_tokens(sample.token_ids) == ["a", "b", "?", "c", "d", "?", "<eos>"]
    assert sample.scored == (3, 6)
    assert sample.labels == (1.0, 0.0)


def test_nothing_is_added_where_text_follows_the_last_placeholder(tokenizer):
    sample = build(tokenizer, {"x": "a?b", "y": ["A"]}).samples[0]
    assert len(sample.token_ids) == 3
    assert sample.scored == (2,)


def test_labels_are_probabilities_indices_or_token_ids_by_the_number_of_reward_tokens(tokenizer):
    def labels(y: list, *rewards: str):
        return build(tokenizer, {"x": TEXT, "y": y}, rewards=rewards).samples[0].labels

    assert labels([0.25, 1], "Q", "A") == (0.25, 1.0)
    assert labels([True, False], "Q", "A") == (1.0, 0.0)
    assert labels(["U", "Q"], "Q", "A", "U") == (2.0, 0.0)
    assert labels(["U", "Q"]) == tuple(map(float, tokenizer.convert_tokens_to_ids(["U", "Q"])))


@pytest.mark.parametrize("rewards", [("Q", "A"), ()])
def test_labels_may_stand_in_the_text_in_place_of_the_placeholders(tokenizer, rewards: tuple[str, ...]):
    marked = build(tokenizer, {"x": TEXT, "y": "abQcdA"}, rewards=rewards)
    assert marked.samples == build(tokenizer, {"x": TEXT, "y": ["Q", "A"]}, rewards=rewards).samples
    assert build(tokenizer, {"x": "?a? b", "y": "QaA b"}, rewards=rewards).samples[0].scored == (1, 3)


def test_long_samples_are_cut_with_their_labels_and_counted(tokenizer):
    found = build(tokenizer, {"x": TEXT, "y": ["Q", "A"]}, {"x": "abcde?", "y": ["Q"]}, max_len=5)
    assert [s.labels for s in found.samples] == [(1.0,)]
    assert len(found.samples[0].token_ids) == 5
    assert found.notes(5) == [
        "1 of 2 samples are longer than --max_len 5: cut there, 1 steps with their labels were lost.",
        "1 of 2 samples have no step within 5 tokens: left out.",
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"x": TEXT, "y": ["Q"]}, "1 labels in field 'y' for 2 placeholder tokens"),
        ({"x": TEXT, "y": ["Q", "U"]}, "label 'U' is none of --reward_tokens Q A"),
        ({"x": TEXT, "y": [0.5, 1.5]}, r"between 0 and 1; found 1\.5"),
        ({"x": TEXT, "y": [0.5, None]}, "between 0 and 1; found None"),
        ({"x": TEXT, "y": 1}, "must be a list"),
        ({"x": TEXT, "y": "abQcxA"}, "differs at character 3: 'cxA'"),
        ({"x": TEXT, "y": "abQcdA and more"}, "differs at character 6"),
        ({"x": TEXT, "y": "abUcdA"}, "differs at character 2"),
        ({"x": "ab", "y": []}, "none of 1 samples has a step"),
        ({"x": TEXT}, "no field 'y': choose --label_key"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tokenizer, record: dict, message: str):
    with pytest.raises(UserError, match=message):
        build(tokenizer, record)


def test_tokens_that_cannot_be_used_are_refused(tokenizer):
    with pytest.raises(UserError, match="--placeholder_token 'ab' is 2 tokens"):
        StepTokens.build(tokenizer, "ab", None)
    with pytest.raises(UserError, match="two of them are the same token"):
        StepTokens.build(tokenizer, "?", ["ä", "ö"])  # both unknown
    with pytest.raises(UserError, match="the label 1 is a number"):
        build(tokenizer, {"x": TEXT, "y": [1, 0]}, rewards=())
