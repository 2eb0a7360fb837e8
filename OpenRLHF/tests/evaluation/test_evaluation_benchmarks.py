"""Rows of every benchmark are read as their publishers meant them."""

import gzip
import json

import huggingface_hub
import pytest
from evaluation_fakes import write_rows

import datasets
from openrlhf.cli.math_eval import main
from openrlhf.errors import UserError
from openrlhf.evaluation.questions import sources
from openrlhf.evaluation.questions.benchmarks import BENCHMARKS, benchmark
from openrlhf.evaluation.questions.few_shot import FewShot
from openrlhf.evaluation.questions.math_golds import ACCEPTED, digest
from openrlhf.evaluation.questions.problems import AnswerKind, Problem

# Hand-written rows in the layout of each set: (set, row, question, gold, kind).
ROWS = [
    ("gsm8k", {"question": "Q", "answer": "3 * 4 = <<3*4=12>>12\n#### 1,200"}, "Q", "1,200", "math"),
    ("math", {"problem": "Q", "solution": r"so \boxed{\frac{1}{2}}."}, "Q", r"\frac{1}{2}", "math"),
    ("math", {"problem": "Q", "solution": r"First \boxed{1}.\n\nNo: \boxed 5"}, "Q", "1 or 5", "math"),
    (
        "math",
        {"problem": "Q", "solution": "a step \\boxed{1}.\n\nSo \\boxed{2} or \\boxed{3}."},
        "Q",
        "2 or 3",
        "math",
    ),
    ("math500", {"problem": "Q", "solution": r"\boxed{1}", "answer": "2", "level": 3}, "Q", "2", "math"),
    (
        "minerva_math",
        {"problem": "Q", "solution": r"\boxed{1e11}.", "type": "Relativity"},
        "Q",
        "1e11",
        "math",
    ),
    (
        "olympiadbench",
        {"question": "Q", "final_answer": ["1,2"], "is_multiple_answer": True},
        "Q",
        "1,2",
        "math",
    ),
    ("college_math", {"question": "Q", "answer": "$10-4 n$"}, "Q", "$10-4 n$", "math"),
    ("amc23", {"problem": "Q", "answer": 27.0}, "Q", "27", "math"),
    ("aime24", {"problem": "Q", "answer": "073"}, "Q", "073", "math"),
    ("aime25", {"problem": "Q", "expected_answer": "70"}, "Q", "70", "math"),
    ("svamp", {"Body": "B", "Question": "How many?", "Answer": 145.0}, "B. How many?", "145", "math"),
    ("asdiv", {"body": "B.", "question": "How many?", "answer": "9 (apples)"}, "B. How many?", "9", "math"),
    ("asdiv", {"body": "B?", "question": "Who?", "answer": "3:30 p.m."}, "B? Who?", "3:30 p.m.", "math"),
    ("mawps", {"input": "Q", "target": 0.25}, "Q", "0.25", "math"),
    ("carp_en", {"content": "Q", "answer": "x > 2"}, "Q", "x > 2", "math"),
    ("gaokao2023en", {"question": "Q", "answer": "$48$, $384$"}, "Q", "$48$, $384$", "math"),
    ("gaokao2023en", {"question": "Pick (A) 1 (B) 2", "answer": "B"}, "Pick (A) 1 (B) 2", "B", "choice"),
    (
        "gaokao2023en",
        {"question": r"Compute.answers: $\frac{3}{10}$", "answer": ""},
        "Compute.",
        r"$\frac{3}{10}$",
        "math",
    ),
    (
        "aqua",
        {"question": "Q", "options": ["A)5(x + 1)", "B)6"], "correct": "A"},
        "Q\nAnswer Choices: (A) 5(x + 1) (B) 6",
        "A",
        "choice",
    ),
    (
        "sat_math",
        {"question": "Q", "options": "A) $f(-6)=0$ B) f(6) C. 3 D. 4", "Answer": "C"},
        "Q\nAnswer Choices: (A) $f(-6)=0$ (B) f(6) (C) 3 (D) 4",
        "C",
        "choice",
    ),
    (
        "mmlu_stem",
        {"question": "Q", "choices": ["w", "x", "y", "z"], "answer": 2},
        "Q\nAnswer Choices: (A) w (B) x (C) y (D) z",
        "C",
        "choice",
    ),
    ("cmath", {"question": "Q", "answer": "12%", "grade": 6}, "Q", "12%", "math"),
    ("cmath", {"question": "Q", "golden": "7"}, "Q", "7", "math"),
    ("cn_middle_school", {"question": "Q", "answer": "-2", "choice_answer": "A"}, "Q", "A", "choice"),
    ("cn_middle_school", {"question": "Q", "answer": "-2", "choice_answer": ""}, "Q", "-2", "math"),
    (
        "gaokao2024_mix",
        {"question": "Q", "answer": r"\sqrt{3}", "choice_answer": ""},
        "Q",
        r"\sqrt{3}",
        "math",
    ),
    ("gaokao2024_I", {"question": "Q", "answer": "ACD", "type": "multi"}, "Q", "ACD", "choices"),
    ("gaokao2024_I", {"question": "Q", "answer": "B", "type": "single"}, "Q", "B", "choice"),
    ("gaokao2024_II", {"question": "Q", "answer": "24;112", "type": "blank"}, "Q", "24, 112", "math"),
    ("gaokao_math_cloze", {"question": "Q", "answer": r"1;$\frac{8}{9}$"}, "Q", r"1, $\frac{8}{9}$", "math"),
    (
        "gaokao_math_qa",
        {"question": "Q", "options": {"A": "1", "B": "2"}, "label": "A B"},
        "Q\n选项: (A) 1 (B) 2",
        "AB",
        "choices",
    ),
    (
        "tabmwp",
        {"table_title": "T", "table": "a | b", "question": "Q?", "choices": ["yes", "no"], "answer": "yes"},
        'Read the following table regarding "T" and answer a question:\na | b\nQ? '
        "Please select from the following options: yes, no",
        "yes",
        "math",
    ),
    (
        "a_set_of_ones_own",
        {"problem": "Q", "answer": 5, "level": "Level 1", "type": "Sums"},
        "Q",
        "5",
        "math",
    ),
    ("a_set_of_ones_own", {"question": "Q", "solution": r"\boxed{7}"}, "Q", "7", "math"),
]


@pytest.mark.parametrize(("name", "row", "question", "gold", "kind"), ROWS)
def test_question_gold_and_kind_of_a_row(name, row, question, gold, kind):
    problem = benchmark(name).problem(3, row)
    assert (problem.index, problem.question, problem.gold, problem.kind.value) == (3, question, gold, kind)


def test_every_benchmark_of_the_table_has_a_row_above():
    assert {name for name, *_ in ROWS} >= set(BENCHMARKS)


def test_levels_and_subjects_are_read():
    problem = benchmark("math500").problem(0, {"problem": "Q", "answer": "1", "level": 3, "subject": "Algebra"})
    assert (problem.level, problem.subject) == ("Level 3", "Algebra")
    assert benchmark("cmath").problem(0, {"question": "Q", "answer": "1", "grade": 6}).level == "Grade 6"


def test_a_row_that_a_person_read_keeps_every_accepted_answer(monkeypatch):
    question = "Find one such point."
    monkeypatch.setitem(ACCEPTED, digest("Find one\nsuch  point."), ("(1,2)", "(0,0)"))
    problem = benchmark("math").problem(0, {"problem": question, "solution": r"\boxed{(9,9)}"})
    assert (problem.gold, problem.also) == ("(1,2)", ("(0,0)",))


@pytest.mark.parametrize(
    "place",
    [
        "toy/test.jsonl",
        "toy/test.jsonl.gz",
        "toy_test.jsonl",
        "toy.jsonl",
        "toy.jsonl.gz",
        "other/toy.jsonl",
        "other/toy/test.jsonl",
        "toy/test.json",
    ],
)
def test_files_are_found_in_either_layout(tmp_path, place):
    rows = [{"problem": "a\u2028b", "answer": "1"}, {"problem": "c", "answer": "2"}]
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (
        json.dumps(rows)
        if place.endswith(".json")
        else "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    )
    path.write_bytes(gzip.compress(text.encode()) if place.endswith(".gz") else text.encode())
    found = sources.find("toy", tmp_path, "test")
    assert isinstance(found, sources.Found)
    assert [p.question for p in found.problems] == ["a\u2028b", "c"]


def test_a_file_without_a_split_in_its_name_is_the_test_split(tmp_path):
    write_rows(tmp_path / "toy.jsonl", [{"problem": "a", "answer": "1"}])
    assert isinstance(sources.find("toy", tmp_path, "train"), sources.Missing)


def test_a_damaged_file_is_named_with_its_line(tmp_path):
    (tmp_path / "toy.jsonl").write_text('{"problem": "a", "answer": "1"}\n{"problem"\n')
    with pytest.raises(UserError, match=r"toy\.jsonl, line 2"):
        sources.find("toy", tmp_path, "test")


def test_a_missing_field_is_named_with_the_fields_that_are_there(tmp_path):
    write_rows(tmp_path / "toy.jsonl", [{"text": "a", "result": "1"}])
    with pytest.raises(UserError, match=r"row 0.*problem, question.*it has text, result"):
        sources.find("toy", tmp_path, "test")


def test_without_a_way_to_the_hub_a_set_is_missing_with_advice(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "hub_within_reach", lambda: False)
    for module in (datasets.config, huggingface_hub.constants):
        monkeypatch.setattr(module, "HF_HUB_OFFLINE", False)  # so that it is put back
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    missing = sources.find("aime25", tmp_path, "test")
    assert isinstance(missing, sources.Missing)
    assert "math-ai/aime25" in missing.advice
    assert "out of reach" in missing.advice
    assert str(tmp_path / "aime25" / "test.jsonl") in missing.advice


def test_a_hub_that_fails_is_missing_with_its_reason(tmp_path, monkeypatch):
    def load_dataset(name, config, split):
        raise ConnectionError(f"no way to {name}")

    monkeypatch.setattr(sources, "hub_within_reach", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    missing = sources.find("aime25", tmp_path, "test")
    assert "ConnectionError: no way to math-ai/aime25" in missing.advice


def test_all_configurations_of_a_hub_set_are_read_in_order(tmp_path, monkeypatch):
    def load_dataset(name, config, split):
        assert (name, split) == ("EleutherAI/hendrycks_math", "test")
        return [{"problem": f"{config}?", "solution": rf"\boxed{{{len(config)}}}"}]

    monkeypatch.setattr(sources, "hub_within_reach", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    found = sources.find("math", tmp_path, "test")
    assert [(p.index, p.question, p.gold) for p in found.problems][:2] == [
        (0, "algebra?", "7"),
        (1, "counting_and_probability?", "24"),
    ]
    assert len(found.problems) == 7


def test_another_split_is_asked_for_by_its_own_name(tmp_path, monkeypatch):
    asked = []

    def load_dataset(name, config, split):
        asked.append(split)
        return [{"question": "Q", "final_answer": ["1"], "answer": "#### 1"}]

    monkeypatch.setattr(sources, "hub_within_reach", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    sources.find("olympiadbench", tmp_path, "test")
    sources.find("gsm8k", tmp_path, "validation")
    assert asked == ["train", "validation"]


def shots(name="math", count=3, prompt_type="cot", data_dir=None, **options):
    return FewShot(benchmark(name), count, prompt_type=prompt_type, data_dir=data_dir, seed=0, **options)


def test_examples_can_be_kept_for_multiple_choice_only(tmp_path):
    chosen = shots("gaokao2024_mix", 5, data_dir=tmp_path, multiple_choice_only=True)
    assert len(chosen.before(Problem(0, "Q", "A", kind=AnswerKind.CHOICE))) == 5
    assert chosen.before(Problem(0, "Q", "1")) == ()


def test_auto_gives_the_references_number_to_multiple_choice_and_none_elsewhere(tmp_path):
    choice, math = Problem(0, "Q", "A", kind=AnswerKind.CHOICE), Problem(0, "Q", "1")
    assert len(shots("aqua", "auto", data_dir=tmp_path).before(choice)) == 5
    assert len(shots("cn_middle_school", "auto", data_dir=tmp_path).before(choice)) == 5
    assert shots("cn_middle_school", "auto", data_dir=tmp_path).before(math) == ()
    assert shots("math", "auto", data_dir=tmp_path).before(choice) == ()
    assert shots("aqua", "auto", prompt_type="none", data_dir=tmp_path).before(choice) == ()


def test_further_examples_are_drawn_from_the_training_split_by_seed(tmp_path):
    rows = [{"problem": f"p{i}", "solution": rf"so \boxed{{{i}}}", "answer": str(i)} for i in range(50)]
    write_rows(tmp_path / "math" / "train.jsonl", rows)
    examples = shots("math", 8, data_dir=tmp_path).examples
    assert examples == shots("math", 8, data_dir=tmp_path).examples
    drawn = [question for question, _ in examples[5:]]
    assert len(set(drawn)) == 3
    assert set(drawn) <= {row["problem"] for row in rows}
    with pytest.raises(UserError, match="asks for 8 examples"):
        shots("math", 8, data_dir=tmp_path / "empty")


def test_prompts_are_shown_without_a_model(tmp_path, capsys):
    write_rows(tmp_path / "toy.jsonl", [{"problem": "1+1", "answer": "2"}])
    flags = ["--show_prompts", "--data_names", "toy", "--data_dir", str(tmp_path), "--prompt_type", "cot"]
    assert main(flags) == 0
    assert "Question: 1+1\nAnswer:" in capsys.readouterr().out


def test_golds_are_checked_and_exceptions_named(tmp_path, capsys):
    rows = [{"problem": "Q", "answer": str(i)} for i in range(9)] + [{"problem": "Q", "answer": ""}]
    write_rows(tmp_path / "toy.jsonl", rows)
    flags = ["--check_golds", "--data_names", "toy", "--data_dir", str(tmp_path), "--grading_workers", "1"]
    assert main(flags) == 1
    assert "toy, row 9: no gold in the row" in capsys.readouterr().out
    write_rows(tmp_path / "toy.jsonl", rows[:9])
    assert main(flags) == 0


# Rows as the data's README counts them.
COUNTS = {
    "math": 5000, "math500": 500, "minerva_math": 272, "olympiadbench": 675, "college_math": 2818, "amc23":
    40, "aime24": 30, "aime25": 30, "gsm8k": 1319, "gaokao2023en": 385, "svamp": 1000, "asdiv": 2215, "mawps":
    2065, "aqua": 254, "sat_math": 32, "mmlu_stem": 3018, "carp_en": 976, "cmath": 600, "cn_middle_school":
    101, "gaokao2024_I": 14, "gaokao2024_II": 14, "gaokao2024_mix": 91, "gaokao_math_cloze": 118,
    "gaokao_math_qa": 351,
}  # fmt: skip


def test_every_row_of_every_set_at_hand_yields_a_question_and_a_gold(math_data):
    assert sources.local_names(math_data, "test") == [name for name in BENCHMARKS if name in COUNTS]
    for name, count in COUNTS.items():
        found = sources.find(name, math_data, "test")
        assert isinstance(found, sources.Found)
        assert len(found.problems) == count == BENCHMARKS[name].rows
        assert all(p.question and p.gold for p in found.problems), name


def test_every_gold_at_hand_equals_itself(math_data, capsys):
    assert main(["--check_golds", "--data_dir", str(math_data)]) == 0
    assert "21918" in capsys.readouterr().out


def test_golds_of_math500_that_come_from_their_solutions_are_its_published_answers(math_data):
    """The same rule that reads MATH gives the answers that MATH500 publishes."""
    found = sources.find("math500", math_data, "test")
    read = benchmark("math").gold
    different = [p.index for p in found.problems if read({"solution": p.solution}) != p.gold]
    # Row 451 boxes its answer twice, as 15 39/40 and as 639/40.
    assert different == [451]


def test_the_row_of_math_that_boxes_no_answer_has_the_answer_that_its_text_gives(math_data):
    problem = sources.find("math", math_data, "test").problems[4060]
    assert (problem.gold, problem.also) == ("6", ())
