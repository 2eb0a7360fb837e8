"""The command interactive_chat: answers on stdout, remarks on stderr, once over real pipes."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from openrlhf.cli.interactive_chat import main
from toy_models import byte_tokenizer, save_toy

ENDS = [256, *range(0, 256, 6)]  # so many that answers are short


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("chat")
    save_toy(path)
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": ENDS}))
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture
def chat(model_path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Says lines to the model; gives status, what was answered, and the remarks."""

    def run(said: str, *flags: str) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        capsys.readouterr()
        status = main(["--pretrain", model_path, *flags])
        written = capsys.readouterr()
        return status, written.out, written.err.splitlines()

    return run


def ids(text: str) -> list[int]:
    return byte_tokenizer()(text)["input_ids"]


def answer(model_path: str, prompt: list[int], max_len: int, penalty: float = 1.2) -> list[int]:
    """The greedy answer, token by token, without the token that ends it."""
    model = AutoModelForCausalLM.from_pretrained(model_path).eval()
    written = list(prompt)
    while len(written) < max_len:
        with torch.no_grad():
            scores = model(torch.tensor([written])).logits[0, -1]
        seen = torch.tensor(sorted(set(written)))
        scores[seen] = torch.where(scores[seen] > 0, scores[seen] / penalty, scores[seen] * penalty)
        if int(scores.argmax()) in ENDS:
            break
        written.append(int(scores.argmax()))
    return written[len(prompt) :]


def text(token_ids: list[int]) -> str:
    return byte_tokenizer().decode(token_ids, skip_special_tokens=True)


def test_over_pipes_a_conversation_is_continued_cleared_and_ended(model_path: str, tmp_path: Path) -> None:
    opening = tmp_path / "opening.txt"
    opening.write_text("Be brief.")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openrlhf.cli.interactive_chat", "--pretrain", model_path),
            *("--greedy_sampling", "--max_len", "400", "--ta_prompt", str(opening)),
        ],
        input=b"hi\n\nagain\nCLEAR\nhi\nexit\nnever\n",
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    prompt = ids("Be brief.\nUser: hi\nAssistant: ")
    first = answer(model_path, prompt, 400)
    second = answer(model_path, [*prompt, *first, *ids("\nUser: again\nAssistant: ")], 400)
    assert done.stdout.decode() == f"{text(first)}\n{text(second)}\n{text(first)}\n"
    assert "(a new conversation)" in done.stderr.decode()
    assert "cut off" not in done.stderr.decode()


def test_a_chat_template_gets_messages_with_the_opening_as_its_system(chat, model_path: str, tmp_path: Path) -> None:
    opening = tmp_path / "opening.txt"
    opening.write_text("Be brief.")
    flags = ("--apply_chat_template", "--ta_prompt", str(opening), "--repetition_penalty", "1", "--temperature", "0")
    status, answers, _ = chat("hi\nagain", *flags, "--max_len", "400")
    prompt = ids("[system] Be brief.\n[user] hi\n[assistant] ")
    first = answer(model_path, prompt, 400, 1.0)
    second = answer(model_path, [*prompt, *first, *ids("\n[user] again\n[assistant] ")], 400, 1.0)
    assert (status, answers) == (0, f"{text(first)}\n{text(second)}\n")


def test_a_reward_may_be_asked_for_before_every_answer(chat, model_path: str) -> None:
    status, answers, _ = chat("hi\n", "--enable_csft", "--csft_prompt", "<5>", "--greedy_sampling", "--max_len", "200")
    expected = answer(model_path, ids("User: hi\nAssistant: <5> "), 200)
    assert (status, answers) == (0, f"{text(expected)}\n")


def test_sampled_answers_repeat_from_run_to_run_but_not_within_one(chat) -> None:
    flags = ("--temperature", "1.5", "--top_p", "1", "--max_len", "200")
    first, second = (chat("hi\nclear\nhi\n", *flags)[1] for _ in range(2))
    assert first == second
    assert len(set(first.split("\n")[:2])) == 2


def test_a_conversation_that_becomes_too_long_forgets_its_first_turns(chat, model_path: str) -> None:
    # 30 of 40 tokens are for the prompt: the second message takes 29, with the first turn before it 32 and more.
    status, answers, remarks = chat(
        "1\n" + "x" * 28 + "\n", "--max_len", "40", "--input_template", "{}>", "--greedy_sampling"
    )
    first, second = answer(model_path, ids("1>"), 40), answer(model_path, ids("x" * 28 + ">"), 40)
    assert (status, answers) == (0, f"{text(first)}\n{text(second)}\n")
    assert "(the conversation became too long: its first 1 turn(s) are forgotten)" in remarks


def test_a_message_that_is_too_long_is_refused_and_the_conversation_goes_on(chat, model_path: str) -> None:
    status, answers, remarks = chat("x" * 40 + "\nhi\n", "--max_len", "40", "--greedy_sampling")
    assert any("the message takes 58 tokens, but 30 fit" in remark for remark in remarks)
    expected = answer(model_path, ids("User: hi\nAssistant: "), 40)
    assert (status, answers) == (0, f"{text(expected)}\n")


def test_an_answer_without_an_end_stops_at_the_limit_and_this_is_said(chat, model_path: str) -> None:
    whole = answer(model_path, ids("hi>"), 200)
    for room, cut in ((len(whole), True), (len(whole) + 1, False)):  # with and without the token that ends it
        limit = str(3 + room)
        _, answers, remarks = chat("hi\n", "--max_len", limit, "--greedy_sampling", "--input_template", "{}>")
        assert answers == f"{text(whole)}\n"
        assert (f"(cut off: prompt and answer fill --max_len {limit})" in remarks) == cut


def test_a_longer_limit_than_the_model_has_positions_for_is_lowered_and_said(chat) -> None:
    status, answers, remarks = chat("exit\n")
    assert (status, answers) == (0, "")
    assert "note: the model has 512 positions, so the conversation may take these, not 4096." in remarks


def test_flags_without_effect_and_mistakes_are_told(chat) -> None:
    status, _, remarks = chat("exit\n", "--greedy_sampling", "--top_p", "0.5", "--csft_prompt", "x")
    assert status == 0
    assert "note: --top_p has no effect: --greedy_sampling takes the most likely token." in remarks
    assert "note: --csft_prompt has no effect: it is used with --enable_csft." in remarks
    status, _, remarks = chat("hi\n", "--ta_prompt", "none.txt")
    assert (status, remarks) == (2, ["error: --ta_prompt none.txt: there is no such file"])
    status, _, remarks = chat("hi\n", "--repetition_penalty", "0")
    assert (status, remarks) == (2, ["error: --repetition_penalty 0.0 is out of range: give more than 0"])
