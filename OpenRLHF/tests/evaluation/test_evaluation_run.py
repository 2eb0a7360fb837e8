"""Whole runs with an engine that gives known answers: every figure is checked against a hand calculation."""

import json
from contextlib import closing

import pytest
from evaluation_fakes import write_rows

from openrlhf.cli.math_eval import main
from openrlhf.errors import UserError
from openrlhf.evaluation.generation import sandbox
from openrlhf.evaluation.generation.store import Journal

STEM = "test_none_-1_seed0_t0_s0_e-1"
SAMPLED = "test_none_-1_seed0_t1.0_s0_e-1"
RIGHT = {"1+1": "2", "2+2": "4", "3*3": "9", "1/2": "0.5"}


def answer(prompt, sample):
    """Right, wrong, cut off before its box is closed, right in another spelling."""
    return {
        "1+1": r"So it is \boxed{2}.",
        "2+2": r"So it is \boxed{5}.",
        "3*3": r"Let me think: \boxed{9…",
        "1/2": "The answer is 0.5.",
    }[prompt]


def four_samples(prompt, sample):
    """1+1: 2 2 3 3; 2+2: 4 5 5 6; 3*3: always 9; 1/2: a third in three spellings, and the right answer
    once.
    """
    answers = {
        "1+1": ["2", "2", "3", "3"],
        "2+2": ["4", "5", "5", "6"],
        "3*3": ["9"] * 4,
        "1/2": [r"\frac13", "1/3", r"\frac{2}{6}", "0.5"],
    }
    return rf"Hence \boxed{{{answers[prompt][sample]}}}."


def figures(toy, stem=STEM, name="toy"):
    return json.loads((toy.output / name / f"{stem}_none_metrics.json").read_text())


def lines(toy, stem=STEM):
    return [json.loads(line) for line in (toy.output / "toy" / f"{stem}.jsonl").read_text().splitlines()]


def test_figures_of_a_greedy_run_agree_with_a_hand_calculation(toy):
    status, engine = toy.run(answer)
    f = figures(toy)
    assert status == 0
    assert (f["num_samples"], f["num_scores"], f["timeout_samples"], f["empty_samples"]) == (4, 4, 0, 1)
    assert f["acc"] == 50.0
    assert f["type_acc"] == {"Products": 0.0, "Quotients": 100.0, "Sums": 50.0}
    assert f["accuracy"]["mean"] == 0.5
    assert (f["avg@k"], f["pass@k"], f["maj@k"]) == (0.5, {"1": 0.5}, 0.5)
    assert {k: (v["mean"], v["n"]) for k, v in f["by_level"].items()} == {
        "Level 1": (0.5, 2),
        "Level 2": (0.5, 2),
    }
    # Characters are tokens: 20, 20, 23 and 18 of them.
    assert f["length_mean"] == pytest.approx((19 + 19 + 23 + 18) / 4)
    assert f["length"]["p50"] == 19
    assert (f["truncated_share"], f["no_answer_share"], f["boxed_share"]) == (0.25, 0.25, 0.5)
    assert engine.closed


def test_a_line_has_the_references_fields_and_ours(toy):
    toy.run(answer)
    first, second, third, fourth = lines(toy)
    assert [line["idx"] for line in lines(toy)] == [0, 1, 2, 3]
    assert (first["question"], first["gt"], first["pred"], first["score"]) == ("1+1", "2", ["2"], [True])
    assert first["code"] == [r"So it is \boxed{2}."]
    assert second["score"] == [False]
    assert (third["pred"], third["how"], third["finish_reason"]) == ([""], ["no_answer"], ["length"])
    assert (fourth["pred"], fourth["score"], fourth["boxed"]) == (["0.5"], [True], [False])


def test_figures_of_several_samples_agree_with_a_hand_calculation(toy):
    status, _ = toy.run(four_samples, "--n_sampling", "4", "--temperature", "1")
    f = figures(toy, SAMPLED)
    assert status == 0
    assert (f["num_samples"], f["num_scores"], f["samples_per_problem"]) == (4, 16, 4)
    # Right: 2, 1, 4 and 1 of 4.
    assert f["avg@k"] == 0.5
    assert f["acc"] == 50.0
    # pass@2 = 1 - C(wrong, 2) / 6: 1 - 1/6, 1 - 3/6, 1, 1 - 3/6; pass@4 = 1 throughout.
    assert f["pass@k"] == pytest.approx({"1": 0.5, "2": (5 / 6 + 1 / 2 + 1 + 1 / 2) / 4, "4": 1.0})
    # Votes: a tie (1/2); 5 outvotes 4 (0); 9 (1); a third, by equivalence 3 to 1 (0).
    assert f["maj@k"] == pytest.approx((0.5 + 0 + 1 + 0) / 4)


def test_every_sample_has_a_seed_of_its_own_that_depends_on_nothing_else(toy):
    _, engine = toy.run(four_samples, "--n_sampling", "4", "--temperature", "1")
    seeds = {request.key: request.seed for request in engine.requests}
    assert len(set(seeds.values())) == 16
    _, fewer = toy.run(four_samples, "--n_sampling", "4", "--temperature", "1", "--start", "2")
    assert {request.key: request.seed for request in fewer.requests} == {k: seeds[k] for k in seeds if k[0] >= 2}
    _, other = toy.run(four_samples, "--n_sampling", "4", "--temperature", "1", "--seed", "1")
    assert not set(seeds.values()) & {request.seed for request in other.requests}


def test_the_engine_is_asked_for_what_the_flags_say(toy):
    flags = ("--temperature", "0.7", "--top_p", "0.9", "--max_tokens_per_call", "99")
    _, engine = toy.run(answer, *flags, prompt_type="none")
    (sampling,) = engine.samplings
    assert (sampling.temperature, sampling.top_p, sampling.max_new_tokens) == (0.7, 0.9, 99)
    assert sampling.stop == ("</s>", "<|im_end|>", "<|endoftext|>")
    assert sampling.stop_token_ids == (3, 7)  # the two of them that are special tokens of this tokenizer


def test_a_run_that_died_goes_on_where_it_stopped_and_gives_the_same_figures(toy):
    toy.run(four_samples, "--n_sampling", "4", "--temperature", "1")
    whole, whole_lines = figures(toy, SAMPLED), lines(toy, SAMPLED)
    toy.output = toy.folder / "again"
    with pytest.raises(RuntimeError, match="died"):
        toy.run(four_samples, "--n_sampling", "4", "--temperature", "1", dies_after=9)
    assert not (toy.output / "toy" / f"{SAMPLED}.jsonl").exists()
    _, engine = toy.run(four_samples, "--n_sampling", "4", "--temperature", "1")
    assert len(engine.requests) == 16 - 9
    resumed = figures(toy, SAMPLED)
    assert {**resumed, "time_use_in_second": 0} == {**whole, "time_use_in_second": 0}
    assert lines(toy, SAMPLED) == whole_lines


def test_a_line_that_a_crash_cut_off_is_generated_again(toy):
    with pytest.raises(RuntimeError, match="died"):
        toy.run(answer, dies_after=3)
    partial = toy.output / "toy" / f"{STEM}.partial.jsonl"
    content = partial.read_bytes()
    partial.write_bytes(content[: len(content) - 5])
    _, engine = toy.run(answer)
    assert len(engine.requests) == 2
    assert figures(toy)["acc"] == 50.0


def test_two_runs_do_not_write_the_same_samples(toy, capsys):
    with pytest.raises(RuntimeError, match="died"):
        toy.run(answer, dies_after=1)
    partial = toy.output / "toy" / f"{STEM}.partial.jsonl"
    settings = json.loads(partial.read_text().split("\n")[0])["settings"]
    with closing(Journal(partial, settings)):
        assert toy.run(answer)[0] == 2
        assert "another run is writing" in capsys.readouterr().err
    assert toy.run(answer)[0] == 0


def test_a_damaged_journal_is_named(toy, capsys):
    with pytest.raises(RuntimeError, match="died"):
        toy.run(answer, dies_after=2)
    partial = toy.output / "toy" / f"{STEM}.partial.jsonl"
    lines_there = partial.read_text().split("\n")
    partial.write_text("\n".join([lines_there[0], "{}", *lines_there[1:]]))
    assert toy.run(answer)[0] == 2
    assert "is damaged" in capsys.readouterr().err


def test_a_finished_run_generates_nothing(toy, capsys):
    toy.run(answer)
    before = (toy.output / "toy" / f"{STEM}.jsonl").read_bytes()
    status, engine = toy.run(answer)
    assert (status, engine.requests) == (0, [])
    assert "complete already" in capsys.readouterr().out
    assert (toy.output / "toy" / f"{STEM}.jsonl").read_bytes() == before


def test_overwrite_starts_anew(toy):
    toy.run(answer)
    _, engine = toy.run(lambda prompt, sample: rf"\boxed{{{RIGHT[prompt]}}}", "--overwrite")
    assert len(engine.requests) == 4
    assert figures(toy)["acc"] == 100.0


def test_samples_of_other_settings_are_not_taken_over(toy, capsys):
    toy.run(answer)
    status, engine = toy.run(answer, "--max_tokens_per_call", "7")
    assert (status, engine.requests) == (2, [])
    assert "max_tokens_per_call was 2048, is now 7" in capsys.readouterr().err


def test_a_model_that_was_trained_further_in_its_folder_is_another_model(toy, capsys):
    toy.run(answer)
    (toy.model / "model.safetensors").write_bytes(b"weights of the fake one!!")
    assert toy.run(answer)[0] == 2
    assert "model_fingerprint" in capsys.readouterr().err


def test_a_model_that_was_moved_is_the_same_model(toy):
    toy.run(answer)
    toy.model = toy.model.rename(toy.folder / "elsewhere")
    assert toy.run(answer)[0] == 0


def test_missing_sets_are_named_first_and_the_others_run(toy, capsys):
    status, _ = toy.run(answer, names="nowhere,toy,tabmwp")
    out = capsys.readouterr().out
    assert status == 0
    assert out.startswith("2 of 3 sets were not found")
    assert str(toy.data / "nowhere" / "test.jsonl") in out
    assert str(toy.data / "tabmwp" / "test.jsonl") in out


def test_no_set_at_all_is_an_error(toy, capsys):
    assert toy.run(answer, names="nowhere")[0] == 2
    assert "none of the sets nowhere was found" in capsys.readouterr().err


def test_the_selection_is_shuffle_then_number_then_slice(toy):
    _, engine = toy.run(answer, "--num_test_sample", "3", "--start", "1", "--end", "3")
    assert sorted(request.key[0] for request in engine.requests) == [1, 2]
    orders = []
    for seed in ("0", "0", "1", "2", "3"):
        _, engine = toy.run(answer, "--shuffle", "--seed", seed, "--num_test_sample", "2", "--overwrite")
        orders.append(sorted(request.key[0] for request in engine.requests))
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) > 1


def test_a_prompt_that_leaves_no_room_is_counted_and_stops_nothing(toy):
    write_rows(
        toy.data / "toy" / "test.jsonl",
        [{"problem": "1+1", "answer": "2"}, {"problem": "x" * 60, "answer": "1"}],
    )
    status, engine = toy.run(answer, "--max_model_len", "50")
    assert status == 0
    assert [request.key for request in engine.requests] == [(0, 0)]
    assert lines(toy)[1]["finish_reason"] == ["prompt_too_long"]
    assert (figures(toy)["prompt_too_long_share"], figures(toy)["acc"]) == (0.5, 50.0)


def test_regrading_equals_grading_and_needs_no_model(toy):
    toy.run(four_samples, "--n_sampling", "4", "--temperature", "1")
    graded, graded_lines = figures(toy, SAMPLED), lines(toy, SAMPLED)
    path = toy.output / "toy" / f"{SAMPLED}.jsonl"
    spoilt = [
        {**line, "score": [not s for s in line["score"]], "pred": ["?"] * 4, "majority": 1} for line in graded_lines
    ]
    write_rows(path, spoilt)
    assert main(["--regrade", "--output_dir", str(toy.output), "--grading_workers", "1"]) == 0
    assert figures(toy, SAMPLED) == graded
    assert lines(toy, SAMPLED) == graded_lines


def test_samples_of_the_reference_harness_can_be_regraded(tmp_path):
    rows = [
        {
            "idx": 0,
            "question": "1+1",
            "gt": "2",
            "code": [r"\boxed{2}"],
            "pred": ["2"],
            "score": [True],
            "type": "A",
        },
        {"idx": 1, "question": "both", "gt": "1, 2", "code": [r"\boxed{1}"], "pred": ["1"], "score": [True]},
    ]
    write_rows(tmp_path / "college_math" / "test_cot_-1_seed0_t0.0_s0_e-1.jsonl", rows)
    assert main(["--regrade", "--output_dir", str(tmp_path), "--grading_workers", "1"]) == 0
    metrics = tmp_path / "college_math" / "test_cot_-1_seed0_t0.0_s0_e-1_cot_metrics.json"
    f = json.loads(metrics.read_text())
    assert f["acc"] == 50.0  # half of a list is no answer, though the reference passed it
    assert f["length_mean"] is None


def test_regrading_nothing_is_an_error(tmp_path, capsys):
    assert main(["--regrade", "--output_dir", str(tmp_path)]) == 2
    assert "no stored samples" in capsys.readouterr().err


def test_without_permission_no_program_is_run(toy, capsys):
    def script(prompt, sample):
        return "```python\nopen('/tmp/ran', 'w')\nprint(2)\n```\n"

    status, engine = toy.run(script, prompt_type="pal")
    assert status == 0
    assert "It is not run" in capsys.readouterr().out
    assert len(engine.requests) == 4


def test_with_permission_programs_run_and_their_output_goes_back_to_the_model(toy, monkeypatch):
    ran = []

    def run_all(programs):
        ran.extend(programs)
        return ["2\n"] * len(programs)

    monkeypatch.setattr(sandbox, "require", lambda: None)
    monkeypatch.setattr(sandbox, "run_all", run_all)

    def script(prompt, sample):
        if "```output\n2\n```" in prompt:
            return r"The output says \boxed{2}."
        return "I compute.\n```python\nprint(1 + 1)\n```\n"

    status, engine = toy.run(script, "--allow_code_execution", prompt_type="tool-integrated")
    line = json.loads((toy.output / "toy" / "test_tool-integrated_-1_seed0_t0_s0_e-1.jsonl").read_text().split("\n")[0])
    assert status == 0
    assert ran == ["print(1 + 1)"] * 4
    assert len(engine.requests) == 8
    assert line["code"] == ["I compute.\n```python\nprint(1 + 1)\n```\n```output\n2\n```\nThe output says \\boxed{2}."]
    assert (line["pred"], line["score"], line["report"]) == (["2"], [True], ["2\n"])


def test_a_programs_output_is_the_answer_of_pal(toy, monkeypatch):
    monkeypatch.setattr(sandbox, "require", lambda: None)
    monkeypatch.setattr(sandbox, "run_all", lambda programs: ["working\n9"] * len(programs))
    toy.run(lambda prompt, sample: "```python\nprint(3 * 3)\n```\n", "--allow_code_execution", prompt_type="pal")
    f = json.loads((toy.output / "toy" / "test_pal_-1_seed0_t0_s0_e-1_pal_metrics.json").read_text())
    assert (f["acc"], f["no_answer_share"]) == (25.0, 0.0)


def test_a_model_that_never_stops_programming_is_called_five_times(toy, monkeypatch):
    monkeypatch.setattr(sandbox, "require", lambda: None)
    monkeypatch.setattr(sandbox, "run_all", lambda programs: ["1"] * len(programs))
    _, engine = toy.run(
        lambda prompt, sample: "```python\nprint(1)\n```\n",
        "--allow_code_execution",
        prompt_type="tool-integrated",
    )
    assert len(engine.requests) == 4 * 5
    assert len({(request.key, request.seed) for request in engine.requests}) == 20


def test_programs_of_a_response_really_run_confined(toy):
    try:
        sandbox.require()
    except UserError as error:
        pytest.skip(f"nothing can be confined on this machine: {error}")
    toy.run(
        lambda prompt, sample: "```python\nfrom sympy import Rational\nprint(Rational(2, 4))\n```\n",
        "--allow_code_execution",
        prompt_type="pal",
    )
    path = toy.output / "toy" / "test_pal_-1_seed0_t0_s0_e-1.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["pred"] for row in rows] == [["1/2"]] * 4
    assert [row["score"] for row in rows] == [[False], [False], [False], [True]]
