"""Rules between the flags of batch_inference, interactive_chat and serve_rm, one sentence each."""

from pathlib import Path

import pytest

from configuring import Flat, parsed
from openrlhf.cli.reading import settled
from openrlhf.config.inference_rules import batch_rules, chat_rules, serving_rules
from openrlhf.errors import UserError

BATCH = ["--pretrain", "m", "--dataset", "d.jsonl", "--output_path", "out.jsonl", "--tp_size", "1"]
GENERATE = ["--eval_task", "generate", *BATCH]
RULES = {"batch_inference": batch_rules, "interactive_chat": chat_rules, "serve_rm": serving_rules}


def after_rules(command: str, *argv: str) -> tuple[Flat, list[str]]:
    config, notes = RULES[command](parsed(command, *argv).config)
    return Flat(config), notes


def batch(*argv: str) -> tuple[Flat, list[str]]:
    return after_rules("batch_inference", *GENERATE, *argv)


def serve(*argv: str) -> tuple[Flat, list[str]]:
    return after_rules("serve_rm", "--reward_pretrain", "r", *argv)


def ineffective(command: str, *argv: str) -> set[str]:
    _, notes = settled(parsed(command, *argv), RULES[command])
    lines = [note for note in notes if " has no effect: " in note]
    return {line.split(" has no effect: ")[0].removeprefix("--") for line in lines}


@pytest.mark.parametrize("task", ["generate", "generate_vllm", "rm"])
def test_a_task_with_model_data_and_output_is_enough(task: str):
    args, notes = after_rules("batch_inference", "--eval_task", task, *BATCH)
    assert notes == []
    assert (args.attn_implementation, args.post_processor) == ("sdpa", None)


@pytest.mark.parametrize("missing", ["--pretrain", "--dataset", "--output_path", "--eval_task"])
def test_what_is_missing_is_named(missing: str):
    argv = list(GENERATE)
    at = argv.index(missing)
    del argv[at : at + 2]
    with pytest.raises(UserError, match=missing):
        after_rules("batch_inference", *argv)


def test_an_output_path_that_is_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="is a folder"):
        batch("--output_path", str(tmp_path))


def test_several_equal_responses_are_refused():
    for flags in (["--greedy_sampling"], ["--temperature", "0"]):
        with pytest.raises(UserError, match="--best_of_n 4 responses without sampling are all equal"):
            batch("--best_of_n", "4", *flags)
        assert batch("--best_of_n", "1", *flags)[0].best_of_n == 1


def test_post_processors_need_rewards_and_have_one_of_three_names():
    with pytest.raises(UserError, match="--post_processor rs works on rewards: first --eval_task generate alone"):
        batch("--post_processor", "rs")
    with pytest.raises(UserError, match="choose one of rs, csft, iter_dpo"):
        batch("--eval_task", "rm", "--post_processor", "best")
    assert batch("--eval_task", "rm", "--post_processor", "null")[0].post_processor is None


def test_a_reward_template_must_hold_both_fields():
    conditional = ["--eval_task", "rm", "--post_processor", "csft", "--reward_template"]
    with pytest.raises(UserError, match=r"has no {reward}: write it"):
        batch(*conditional, "{input}")
    with pytest.raises(UserError, match=r"has no {input} and no {reward}"):
        batch(*conditional, "\\boxed{")
    assert batch(*conditional, "{reward}{input}{")[0].reward_template == "{reward}{input}{"


def test_vllm_under_a_launcher_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="run it with python3 -m"):
        batch("--eval_task", "generate_vllm")
    assert batch()[0].eval_task == "generate"


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--iter", "-1"),
        ("--best_of_n", "0"),
        ("--repetition_penalty", "0"),
        ("--top_p", "0"),
        ("--temperature", "-1"),
        ("--micro_batch_size", "0"),
        ("--max_new_tokens", "0"),
        ("--tp_size", "0"),
    ],
)
def test_numbers_out_of_range_are_refused(flag: str, value: str):
    with pytest.raises(UserError, match=f"{flag} .* is out of range"):
        batch(flag, value)


def test_the_reward_server_points_out_that_it_listens_everywhere():
    with pytest.raises(UserError, match="can be reached from other machines: give --api_key_file"):
        serve()
    assert "--no_api_key lets everybody ask" in serve("--no_api_key")[1][0]
    assert serve("--api_key_file", "key")[1] == serve("--host", "::1")[1] == serve("--host", "127.0.0.1")[1] == []
    with pytest.raises(UserError, match="remove one of them"):
        serve("--no_api_key", "--api_key_file", "key")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--reward_pretrain", ""], "--reward_pretrain is missing"),
        (["--reward_pretrain", "a,b"], "one server holds one model"),
        (["--port", "70000"], "--port 70000 is out of range"),
        (["--workers", "0"], "--workers 0 is out of range"),
        (["--max_len", "1"], "leaves no room"),
        (["--batch_size", "0"], "--batch_size 0 is out of range"),
    ],
)
def test_a_reward_server_that_cannot_work_is_refused(flags: list[str], said: str):
    with pytest.raises(UserError, match=said):
        serve(*flags)


def test_a_chat_needs_a_model_and_the_file_that_it_opens_with():
    with pytest.raises(UserError, match="--pretrain is missing"):
        after_rules("interactive_chat")
    with pytest.raises(UserError, match="--ta_prompt none: there is no such file"):
        after_rules("interactive_chat", "--pretrain", "m", "--ta_prompt", "none")


def test_flags_of_other_tasks_are_said_to_have_no_effect():
    vllm = ["--max_num_seqs", "8", "--enable_prefix_caching"]
    scoring = ["--value_head_prefix", "v", "--max_len", "9", "--normalize_reward"]
    sampling = ["--best_of_n", "2", "--temperature", "0.5", "--max_new_tokens", "5"]
    given = [*BATCH, *vllm, *scoring, *sampling]
    scored = {"value_head_prefix", "max_len", "normalize_reward"}
    only_vllm = {"max_num_seqs", "enable_prefix_caching", "tp_size"}
    assert ineffective("batch_inference", "--eval_task", "generate", *given) == scored | only_vllm
    assert ineffective("batch_inference", "--eval_task", "generate_vllm", *given) == scored
    drawn = {"best_of_n", "temperature", "max_new_tokens"}
    assert ineffective("batch_inference", "--eval_task", "rm", *given) == drawn | only_vllm
    rest = ["--rollout_batch_size", "4", "--csft_prompt", "x", "--reward_template", "{input}{reward}"]
    assert ineffective("batch_inference", *GENERATE, *rest) == {
        *("tp_size", "rollout_batch_size", "csft_prompt", "reward_template"),
    }
    assert ineffective("batch_inference", *GENERATE, *rest, "--iter", "0", "--enable_csft") == {
        *("tp_size", "reward_template"),
    }


def test_every_flag_of_the_reward_server_has_an_effect():
    assert (
        ineffective("serve_rm", "--reward_pretrain", "r", "--host", "127.0.0.1", "--workers", "2", "--batch_size", "4")
        == set()
    )
