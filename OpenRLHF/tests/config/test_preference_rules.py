"""Rules of train_rm, train_dpo and train_kto, and what they say about flags without effect."""

import pytest

from configuring import Flat, parsed
from openrlhf.cli.reading import settled as with_notes
from openrlhf.config.rules import offline_rules
from openrlhf.errors import UserError


def settled(command: str, *argv: str) -> Flat:
    return Flat(offline_rules(parsed(command, "--pretrain", "m", "--dataset", "d", *argv).config)[0])


def ineffective(command: str, *argv: str) -> list[str]:
    notes = with_notes(parsed(command, "--pretrain", "m", "--dataset", "d", *argv), offline_rules)[1]
    return [note for note in notes if "has no effect" in note]


def test_defaults_of_0_6_2_pass():
    assert settled("train_rm").value_head_prefix == "score"
    for argv, expected in ((), "m"), (("--ref_pretrain", "r"), "r"):
        config = settled("train_dpo", *argv).config
        assert config.method.reference_model(config).path == expected
    assert settled("train_kto", "--output_key", "out").beta == 0.01


@pytest.mark.parametrize(
    ("command", "argv", "message"),
    [
        ("train_rm", "--loss hinge", "--loss hinge does not exist: use sigmoid or logexp"),
        ("train_rm", "--value_head_prefix model", "'model' cannot be the name of the last layer"),
        ("train_rm", "--value_head_prefix a.b", "'a.b' cannot be the name of the last layer"),
        ("train_dpo", "--beta 0", "--beta 0.0 is out of range: give more than 0"),
        ("train_dpo", "--label_smoothing 0.5", "--label_smoothing 0.5 is out of range: .* give less than 0.5"),
        ("train_dpo", "--label_smoothing -0.1", "--label_smoothing -0.1 is out of range: give at least 0"),
        ("train_dpo", "--nll_loss_coef -1", "--nll_loss_coef -1.0 is out of range"),
        ("train_kto", "--output_key o --beta -1", "--beta -1.0 is out of range: give more than 0"),
        ("train_kto", "--output_key o --desirable_loss_weight -1", "--desirable_loss_weight -1.0 is out of range"),
        (
            "train_kto",
            "--output_key o --desirable_loss_weight 0 --undesirable_loss_weight 0",
            "are both 0: nothing would be learned",
        ),
        ("train_kto", "--output_key o --train_batch_size 1", "--train_batch_size 1: KTO's KL term .* at least 2"),
        ("train_kto", "", "nothing says where the responses are: give --output_key"),
    ],
)
def test_what_cannot_work_is_refused(command: str, argv: str, message: str):
    with pytest.raises(UserError, match=message):
        settled(command, *argv.split())


def test_flags_without_effect_are_named():
    assert ineffective("train_rm", "--prompt_key", "q", "--margin_loss", "--input_template", "Q: {}") == []
    assert ineffective("train_rm", "--loss", "logexp", "--margin_loss", "--compute_fp32_loss") == [
        "--compute_fp32_loss has no effect: rewards and losses are always computed in float32.",
        "--margin_loss has no effect: --loss logexp has no margin; use sigmoid.",
    ]
    assert ineffective("train_dpo", "--ipo", "--label_smoothing", "0.1") == [
        "--label_smoothing has no effect: IPO has no label smoothing."
    ]
    assert ineffective("train_dpo", "--input_template", "Q: {}") == [
        "--input_template has no effect: there is no --prompt_key, so chosen and rejected fields hold prompt and"
        " response."
    ]
    assert ineffective("train_kto", "--output_key", "o", "--apply_chat_template", "--input_template", "Q: {}") == [
        "--input_template has no effect: --apply_chat_template writes the prompt."
    ]
