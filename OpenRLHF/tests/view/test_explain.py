"""Token pictures: every number against transformers' own logits, and what a terminal and a browser show of them."""

import json
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from browser import chromium, needs_chromium
from openrlhf.cli import explain
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.trainer.rollout_files import RolloutWriter, origin_of
from openrlhf.utils.terminal import plain
from openrlhf.view.picture_text import as_text
from openrlhf.view.token_picture import Case, Picture, token_texts
from toy_models import byte_tokenizer, save_toy

HOSTILE = "</script><script>document.title = 'owned'</script>\u202e\x1b[31m"
HINT = " ###Answer:{answer} ###Solution:"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explain")
    save_toy(path / "before")
    save_toy(path / "after", seed=1)
    return path


def explained(folder: Path, capsys: pytest.CaptureFixture, *flags: str) -> list[list[dict]]:
    assert explain.main(["--model", str(folder / "before"), "--json", *flags]) == 0
    return json.loads(capsys.readouterr().out)


def logprobs(folder: Path, context: str, response: str) -> torch.Tensor:
    """float64 [response tokens, vocabulary], one row at a time from the whole context."""
    model = AutoModelForCausalLM.from_pretrained(folder).double().eval()
    ids = byte_tokenizer()(context + response)["input_ids"]
    start = len(byte_tokenizer()(context)["input_ids"])
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, start - 1 : -1].log_softmax(-1)


def test_every_number_is_that_of_a_direct_computation(folder: Path, capsys: pytest.CaptureFixture) -> None:
    prompt, answer, wrong, response = "1 + 2 =", "3", "4", " it is 3"
    flags = ("--prompt", prompt, "--answer", answer, "--wrong_answer", wrong, "--response", response)
    ((one, after),) = explained(folder, capsys, *flags, "--after", str(folder / "after"), "--clip_max", "1.5")
    for picture, model in ((one, folder / "before"), (after, folder / "after")):
        q = logprobs(model, prompt, response)
        p = logprobs(model, prompt + HINT.replace("{answer}", answer), response)
        other = logprobs(model, prompt + HINT.replace("{answer}", wrong), response)
        ids = byte_tokenizer()(response)["input_ids"]
        assert [token["id"] for token in picture["tokens"]] == ids
        assert "".join(token["text"] for token in picture["tokens"]) == response
        for t, token in enumerate(picture["tokens"]):
            direct = {
                "log_q": q[t, ids[t]],
                "log_p": p[t, ids[t]],
                "log_w": p[t, ids[t]] - q[t, ids[t]],
                "log_w_wrong": other[t, ids[t]] - q[t, ids[t]],
                "entropy": -(q[t].exp() * q[t]).sum(),
                "kl": (p[t].exp() * (p[t] - q[t])).sum(),
            }
            assert {name: token[name] for name in direct} == pytest.approx(
                {name: float(value) for name, value in direct.items()}, abs=2e-5
            )
            assert len(token["candidates"]) == 5
            assert ids[t] in [candidate["id"] for candidate in token["candidates"]]
            likeliest = set(q[t].topk(20).indices.tolist()) | {ids[t]}
            for candidate in token["candidates"]:
                a = candidate["id"]
                assert a in likeliest
                w = min(math.exp(p[t, a] - q[t, a]), 1.5)
                assert (candidate["q"], candidate["w"]) == pytest.approx((math.exp(q[t, a]), w), rel=1e-4)
            best = p[t].topk(5)
            assert [o["id"] for o in token["preferred"]] == best.indices.tolist()
            assert [o["p"] for o in token["preferred"]] == pytest.approx(best.values.exp().tolist(), rel=1e-4)
            assert [o["q"] for o in token["preferred"]] == pytest.approx(q[t, best.indices].exp().tolist(), rel=1e-4)
        assert picture["means"]["log_w"] == pytest.approx(
            sum(token["log_w"] for token in picture["tokens"]) / len(ids), abs=1e-6
        )


def test_saved_rollouts_bring_their_tokens_hints_and_advantages(folder: Path, capsys: pytest.CaptureFixture) -> None:
    tokenizer = byte_tokenizer()
    prompt = Prompt(3, "2 + 2 =", tuple(tokenizer("2 + 2 =")["input_ids"]), "4")
    ids, hint = tuple(tokenizer("four")["input_ids"]), tuple(tokenizer(" (4)")["input_ids"])
    kept = [
        Rollout(
            prompt,
            0,
            ids,
            (-1.0,) * 4,
            "stop",
            "four",
            1.0,
            (0,) * 4,
            trained=True,
            hints=(hint,),
            columns={"advantage": [0.5, 0.25, 0.0, -1.0]},
        ),
        Rollout(prompt, 1, ids[:2], (-1.0,) * 2, "stop", "fo", 0.0),
    ]
    RolloutWriter(folder / "run" / "rollouts", origin_of("m", tokenizer, "")).write(7, kept)
    flags = ("--rollouts", str(folder / "run"))
    ((first,), (second,)) = explained(folder, capsys, *flags)
    assert first["title"] == "step 7, prompt 3, sample 0"
    assert (first["right"], second["right"]) == (True, False)
    assert [token["advantage"] for token in first["tokens"]] == [0.5, 0.25, 0.0, -1.0]
    p = logprobs(folder / "before", "2 + 2 = (4)", "four")
    assert [t["log_p"] for t in first["tokens"]] == pytest.approx([float(p[t, ids[t]]) for t in range(4)], abs=2e-5)
    p = logprobs(folder / "before", "2 + 2 =" + HINT.replace("{answer}", "4"), "fo")  # not trained on: the usual hint
    assert second["tokens"][1]["log_p"] == pytest.approx(float(p[1, ids[1]]), abs=2e-5)
    assert len(explained(folder, capsys, *flags, "--wrong")) == 1


def test_without_a_response_the_model_writes_one(folder: Path, capsys: pytest.CaptureFixture) -> None:
    flags = ("--prompt", "1 + 2 =", "--answer", "3", "--max_new_tokens", "5")
    ((picture,),) = explained(folder, capsys, *flags)
    assert 1 <= len(picture["tokens"]) <= 5
    assert [[picture]] == explained(folder, capsys, *flags)  # greedy, and candidates by seed


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--prompt", "p"], "--prompt needs --answer"),
        ([], "give one of --prompt, --data and --rollouts, found none"),
        (["--prompt", "p", "--answer", "1", "--answer_template", "x"], "has no {answer}"),
        (["--prompt", "p", "--answer", "1", "--response", ""], "no response with a token"),
        (["--rollouts", "nowhere"], "is no folder"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture, flags: list[str], said: str
) -> None:
    assert explain.main(["--model", str(folder / "before"), *flags]) == 2
    assert said in capsys.readouterr().err


def picture(*tokens: tuple[str, float]) -> Picture:
    def numbers(log_w: float) -> dict:
        chances = {"log_q": -1.0, "log_p": log_w - 1.0, "log_w": log_w, "entropy": 1.0, "kl": 0.5}
        return {"id": 0, **chances, "candidates": [], "preferred": [{"text": HOSTILE, "id": 1, "q": 0.1, "p": 0.2}]}

    case = Case("problem 0", HOSTILE, "7", (1,), (2,), (3,))
    return Picture(case, "toy", [{"text": text, **numbers(log_w)} for text, log_w in tokens])


def test_a_terminal_without_colours_gets_the_numbers_and_no_control_characters() -> None:
    text = as_text([picture((" so", 0.1), (" 7", 2.0), ("\nno", -1.0), (HOSTILE, 0.0))], colours=False)
    assert " so 7⟨+2.0⟩" in text
    assert "no⟨-1.0⟩" in text
    assert "log w +0.275, KL 0.500, entropy 1.000" in text
    assert '1 " 7"           log w +2.00  q 36.8% → p 272%' in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert plain(HOSTILE) in text


def test_colours_say_how_far_and_in_which_direction() -> None:
    text = as_text([picture((" a", 0.1), (" b", 5.0), (" c", -0.3))], colours=True)
    assert "     a\x1b[48;5;77;38;5;16m b\x1b[0m\x1b[48;5;224;38;5;16m c\x1b[0m" in text


def test_the_pieces_of_a_text_join_to_it_and_halves_of_characters_do_no_harm() -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer("a b\n")["input_ids"]
    assert token_texts(tokenizer, ids) == ["a", " ", "b", "\n"]
    halves = token_texts(tokenizer, tokenizer("é")["input_ids"])
    assert len(halves) == 2
    assert set("".join(halves)) <= {"�", "é"}


@needs_chromium
@pytest.mark.slow
def test_a_browser_shows_the_numbers_of_the_token_that_is_clicked(
    folder: Path, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    prompt = HOSTILE + " 1 + 2 ="
    page, flags = tmp_path / "picture.html", ("--prompt", prompt, "--answer", "3", "--response", " it is </b>3")
    ((_, after),) = explained(folder, capsys, *flags, "--after", str(folder / "after"), "-o", str(page))
    with chromium() as browser:
        browser.open(page)
        assert browser.run("document.title") == "What the answer says of each token"
        assert browser.run("document.getElementById('prompt').textContent") == prompt
        assert (
            browser.run("[...document.querySelectorAll('pre')].slice(1).map(e => e.textContent)")
            == [" it is </b>3"] * 2
        )
        browser.click(".token[data-picture='1'][data-index='3']")
        card = browser.run("document.getElementById('card').innerText")
        token = after["tokens"][3]
        assert f"{token['log_w']:.3f}" in card
        assert f"{token['kl']:.3f}" in card
        assert f"{token['candidates'][0]['w']:.2f}" in card
        by = "document.getElementById('by')"
        browser.run(f"{by}.value = 'entropy'; {by}.dispatchEvent(new Event('change'))")
        assert browser.run("document.querySelectorAll('script').length") == 2
        assert not browser.errors
        assert [url for url in browser.requested if not url.startswith("file:")] == []
