"""The command batch_inference from its flags to its files: generating, scoring, post-processing, several ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from openrlhf.cli.batch_inference import main
from openrlhf.utils.network import free_port
from toy_models import byte_tokenizer, save_toy, save_toy_reward_model, toy_reward

END_ID = 256
TEMPLATE = "Q: {}\nA: "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("batch")
    save_toy(path / "policy")
    save_toy_reward_model(path / "reward", seed=5, head="value_head", mean=0.25, std=4.0)
    rows = [{"question": f"Number {n}?"} for n in range(5)] + [{"question": "x" * 60}]
    (path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def flags(folder: Path, output: str, *more: str, task: str = "generate") -> list[str]:
    return [
        *("--eval_task", task, "--pretrain", str(folder / "policy"), "--dataset", str(folder / "prompts.jsonl")),
        *("--input_key", "question", "--input_template", TEMPLATE, "--prompt_max_len", "40", "--max_new_tokens", "8"),
        *("--output_path", str(folder / output), *more),
    ]


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ids(text: str) -> list[int]:
    return byte_tokenizer()(text)["input_ids"]


def greedy(model, prompt: str, length: int) -> str:
    written = ids(prompt)
    for _ in range(length):
        with torch.no_grad():
            written.append(int(model(torch.tensor([written])).logits[0, -1].argmax()))
        if written[-1] == END_ID:
            break
    return byte_tokenizer().decode(written[len(ids(prompt)) :], skip_special_tokens=True)


def test_greedy_responses_are_the_models_and_long_prompts_are_left_out_and_counted(folder: Path, capsys) -> None:
    assert main(flags(folder, "greedy.jsonl", "--greedy_sampling", "--micro_batch_size", "2")) == 0
    model = AutoModelForCausalLM.from_pretrained(folder / "policy").eval()
    expected = [TEMPLATE.format(f"Number {n}?") for n in range(5)]
    assert rows_of(folder / "greedy.jsonl") == [{"input": text, "output": greedy(model, text, 8)} for text in expected]
    said = capsys.readouterr().out
    assert "note: 1 of 6 prompts are longer than 40 tokens: left out." in said
    assert "5 responses in " in said


def test_several_samples_come_prompts_first_and_each_slice_has_its_own_part_of_them(folder: Path) -> None:
    assert main(flags(folder, "all.jsonl", "--best_of_n", "3", "--enable_csft")) == 0
    rows = rows_of(folder / "all.jsonl")
    prompts = [f"Q: Number {n}?\nA: <rm_score>: 5.00 " for n in range(5)]
    assert [row["input"] for row in rows] == prompts * 3
    assert len({row["output"] for row in rows}) == 15
    sliced: list[dict] = []
    for part in (0, 1):
        more = ("--best_of_n", "3", "--enable_csft", "--rollout_batch_size", "3", "--iter", str(part))
        assert main(flags(folder, f"part{part}.jsonl", *more)) == 0
        sliced += rows_of(folder / f"part{part}.jsonl")
    key = json.dumps
    assert sorted(sliced, key=key) == sorted(rows, key=key)


@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_writes_the_same_file_with_greedy_sampling(folder: Path) -> None:
    pytest.importorskip("vllm")
    more = ("--greedy_sampling", "--repetition_penalty", "1.3")
    assert main(flags(folder, "hf.jsonl", *more)) == 0
    command = flags(folder, "vllm.jsonl", *more, "--enable_prefix_caching", "--max_num_seqs", "4", "--tp_size", "1")
    command[1] = "generate_vllm"
    done = subprocess.run(
        [sys.executable, "-m", "openrlhf.cli.batch_inference", *command], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert rows_of(folder / "vllm.jsonl") == rows_of(folder / "hf.jsonl")


@pytest.fixture(scope="module")
def responses(folder: Path) -> Path:
    rows = [
        {"input": f"P{prompt}: ", "output": f"answer {prompt * 3 + sample}", "more": sample}
        for prompt in range(3)
        for sample in range(3)
    ] + [{"input": "P0: ", "output": "", "more": 9}]
    path = folder / "responses.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def score(folder: Path, responses: Path, output: str, *more: str) -> list[str]:
    return [
        *("--eval_task", "rm", "--pretrain", str(folder / "reward"), "--dataset", str(responses)),
        *("--output_path", str(folder / output), "--micro_batch_size", "4", *more),
    ]


def test_every_row_gets_the_reward_models_number_and_keeps_its_other_fields(folder: Path, responses: Path, capsys):
    assert main(score(folder, responses, "scored.jsonl")) == 0
    given, scored = rows_of(responses), rows_of(folder / "scored.jsonl")
    rewards = [toy_reward(5, [*ids(row["input"] + row["output"] + " "), END_ID]) for row in given]
    assert [{**row, "reward": 0} for row in scored] == [{**row, "reward": 0} for row in given]
    torch.testing.assert_close([row["reward"] for row in scored], rewards, rtol=0, atol=2e-5)
    values = torch.tensor(rewards)
    said = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Reward mean: "))
    mean, std = (float(part.split(": ")[1]) for part in said.split(", "))
    assert (mean, std) == pytest.approx((values.mean().item(), values.std().item()), abs=2e-5)


def test_normalised_and_cut_rows(folder: Path, responses: Path, capsys) -> None:
    assert main(score(folder, responses, "cut.jsonl", "--normalize_reward", "--max_len", "6")) == 0
    for row, given in zip(rows_of(folder / "cut.jsonl"), rows_of(responses), strict=True):
        whole = [*ids(given["input"] + given["output"] + " "), END_ID]
        assert row["reward"] == pytest.approx((toy_reward(5, whole[-6:]) - 0.25) / 4.0, abs=2e-5)
    assert "9 of 10 rows are longer than --max_len 6: their beginnings were cut." in capsys.readouterr().out


def test_the_template_of_the_prompt_is_part_of_what_is_scored_and_written(folder: Path, responses: Path) -> None:
    assert main(score(folder, responses, "templated.jsonl", "--input_template", "<{}>")) == 0
    row, given = rows_of(folder / "templated.jsonl")[0], rows_of(responses)[0]
    assert (row["input"], row["output"]) == (f"<{given['input']}>", given["output"])
    expected = toy_reward(5, [*ids(f"<{given['input']}>{given['output']} "), END_ID])
    assert row["reward"] == pytest.approx(expected, abs=2e-5)


def test_conversations_are_scored_as_their_chat_template_writes_them(folder: Path, responses: Path) -> None:
    reward = folder / "chat_reward"
    save_toy_reward_model(reward, seed=5, head="value_head")
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}<|endoftext|>{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    tokenizer.save_pretrained(reward)
    command = score(folder, responses, "chat.jsonl", "--apply_chat_template")
    command[3] = str(reward)
    assert main(command) == 0
    row, given = rows_of(folder / "chat.jsonl")[0], rows_of(responses)[0]
    prompt = f"[user] {given['input']}<|endoftext|>[assistant] "
    assert (row["input"], row["output"]) == (prompt, given["output"])
    expected = toy_reward(5, ids(f"{prompt}{given['output']}<|endoftext|>"))
    assert row["reward"] == pytest.approx(expected, abs=2e-5)


def test_post_processors_read_the_rewards_of_the_same_run(folder: Path, responses: Path) -> None:
    for name in ("rs", "iter_dpo", "csft"):
        assert main(score(folder, responses, f"{name}.jsonl", "--post_processor", name)) == 0
    assert main(score(folder, responses, "plain.jsonl", "--post_processor", "null")) == 0
    best, worst = {}, {}
    for row in rows_of(folder / "plain.jsonl"):
        best[row["input"]] = max(best.get(row["input"], row), row, key=lambda r: r["reward"])
        worst[row["input"]] = min(worst.get(row["input"], row), row, key=lambda r: r["reward"])
    assert rows_of(folder / "rs.jsonl") == list(best.values())
    pairs = {row["prompt"]: (row["chosen"], row["rejected"]) for row in rows_of(folder / "iter_dpo.jsonl")}
    assert pairs == {name: (best[name]["output"], worst[name]["output"]) for name in best}
    first, plain = rows_of(folder / "csft.jsonl")[0], rows_of(folder / "plain.jsonl")[0]
    assert first["input"] == f"{plain['input']} <rm_score>: {plain['reward']:.2f} "


@pytest.mark.slow
@pytest.mark.parametrize("task", ["generate", "rm"])
def test_two_ranks_write_the_file_of_one(folder: Path, responses: Path, task: str) -> None:
    one, two = f"one_{task}.jsonl", f"two_{task}.jsonl"
    if task == "rm":
        commands = [score(folder, responses, name) for name in (one, two)]
    else:
        commands = [flags(folder, name, "--best_of_n", "2") for name in (one, two)]
    assert main(commands[0]) == 0
    port = str(free_port())
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "openrlhf.cli.batch_inference", *commands[1]],
            env={
                **os.environ,
                **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
                **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    logs = [rank.communicate(timeout=500)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(logs)
    alone, shared = rows_of(folder / one), rows_of(folder / two)
    assert [{**row, "reward": 0} for row in alone] == [{**row, "reward": 0} for row in shared]
    rewards = [[row.get("reward", 0.0) for row in rows] for rows in (alone, shared)]
    torch.testing.assert_close(rewards[0], rewards[1], rtol=0, atol=2e-5)


def test_what_is_wrong_is_told_with_status_2_and_no_file(folder: Path, responses: Path, capsys) -> None:
    wrong = [
        (flags(folder, "no.jsonl", task="chat"), "--eval_task chat: choose one of generate, generate_vllm, rm"),
        (flags(folder, "no.jsonl", "--iter", "1"), "there are 6 prompts, so with --rollout_batch_size 2048 the last"),
        (flags(folder, "no.jsonl", "--max_new_tokens", "600"), "lower --prompt_max_len or"),
        ([*score(folder, responses, "no.jsonl"), "--pretrain", str(folder / "policy")], "no layer value_head.weight"),
        ([*score(folder, responses, "no.jsonl"), "--output_key", "answer"], "row 0 has no field 'answer'"),
    ]
    for command, said in wrong:
        assert main(command) == 2
        assert said in capsys.readouterr().err
    assert not (folder / "no.jsonl").exists()
