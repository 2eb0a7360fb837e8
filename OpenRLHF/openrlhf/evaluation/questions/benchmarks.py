"""Every benchmark, one entry each: where it comes from, how its rows are read, how its answers are compared.

`rows` is the size of the test split in the reference harness (Qwen2.5-Math), or of the published set where
the reference lacks it; licences as the publishers state them. A name that is not in the table is read by
usual field names (`benchmark`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from openrlhf.evaluation.questions import fields as f
from openrlhf.evaluation.questions.fields import Reader, Row
from openrlhf.evaluation.questions.math_golds import ACCEPTED, digest
from openrlhf.evaluation.questions.problems import AnswerKind, Problem
from openrlhf.grading.policy import GradingPolicy


@dataclass(frozen=True)
class Hub:
    """Where a set lies on the Hugging Face hub; `configs` are read one after the other, () is the default."""

    dataset: str
    split: str = "test"
    configs: tuple[str, ...] = ()


_EXACT = GradingPolicy()
_SOLUTION = f.optional("solution")
_LEVEL = f.optional("level")
_SUBJECT = f.optional("subject", "type")
_SOURCE = f.optional("source")


@dataclass(frozen=True)
class Benchmark:
    """How one set is found and read.

    policy: how answers are compared; questions that ask for a letter are always compared as letters.
    files: further names under which its local file may lie, beside its own.
    shots: which few-shot examples belong to it (`few_shot_examples.EXAMPLES`).
    auto_shots: how many of them the reference's `eval.sh` puts before a multiple-choice question of this set.
    """

    name: str
    question: Reader
    gold: Reader
    licence: str
    hub: Hub | None = None
    kind: Callable[[Row], AnswerKind] = lambda row: AnswerKind.MATH
    policy: GradingPolicy = _EXACT
    solution: Reader = _SOLUTION
    level: Reader = _LEVEL
    subject: Reader = _SUBJECT
    source: Reader = _SOURCE
    files: tuple[str, ...] = ()
    shots: str = "math"
    auto_shots: int = 0
    rows: int | None = None
    note: str = ""

    def problem(self, index: int, row: Row) -> Problem:
        """Raises `fields.RowError` where a field is missing."""
        question = self.question(row)
        gold, *also = ACCEPTED.get(digest(question), (None,)) if self.name == "math" else (None,)
        return Problem(
            index=index,
            question=question,
            gold=self.gold(row) if gold is None else gold,
            also=tuple(also),
            kind=self.kind(row),
            solution=self.solution(row),
            level=self.level(row),
            subject=self.subject(row),
            source=self.source(row),
        )


def _choice(row: Row) -> AnswerKind:
    return AnswerKind.CHOICE


def _choice_where_marked(row: Row) -> AnswerKind:
    return AnswerKind.CHOICE if f.optional("choice_answer")(row) else AnswerKind.MATH


def _gaokao2024_kind(row: Row) -> AnswerKind:
    kinds = {"single": AnswerKind.CHOICE, "multi": AnswerKind.CHOICES}
    return kinds.get(f.optional("type")(row), AnswerKind.MATH)


def _gaokao2023_kind(row: Row) -> AnswerKind:
    """Its SAT questions ask for a letter (ACT's go on to K, and are read like any other answer)."""
    gold = f.gaokao2023_gold(row)
    lettered = len(gold) == 1 and "A" <= gold <= "E"
    return AnswerKind.CHOICE if lettered else AnswerKind.MATH


def _choice_or_answer(row: Row) -> str:
    return f.optional("choice_answer")(row) or f.field("answer")(row)


def _gaokao2024_gold(row: Row) -> str:
    return (f.parts if _gaokao2024_kind(row) is AnswerKind.MATH else f.letters)("answer")(row)


def _gaokao_source(row: Row) -> str:
    other = row.get("other")
    return f.text_of(other.get("source")) if isinstance(other, dict) else ""


_MATH_CONFIGS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_PROBLEM = f.field("problem", "question")
_QUESTION = f.field("question", "problem")
_ANSWER = f.field("answer", "expected_answer")
_MAA = "(c) MAA, no licence granted"
_UNSTATED = "not stated"

# Word problems: models often end with a bare number, so the last one counts. Their golds are exact, except in
# MAWPS and SVAMP, which print quotients to a few digits.
_WORDS = GradingPolicy(last_number=True)
_ROUNDED_WORDS = GradingPolicy(last_number=True, decimals="rounded")
# Measured or computed quantities: golds are rounded, and a prediction may carry more digits.
_ROUNDED = GradingPolicy(decimals="rounded")
# Blanks that are filled in order.
_BLANKS = GradingPolicy(lists="in_order")

_ENTRIES = (
    Benchmark(
        "gsm8k",
        _QUESTION,
        f.after_marker("answer"),
        "MIT",
        Hub("openai/gsm8k", configs=("main",)),
        solution=f.optional("answer"),
        shots="gsm8k",
        policy=_WORDS,
        rows=1319,
    ),
    Benchmark(
        "math",
        _PROBLEM,
        f.boxed("solution"),
        "MIT (problems from MAA contests)",
        Hub("EleutherAI/hendrycks_math", configs=_MATH_CONFIGS),
        files=("hendrycks_math",),
        rows=5000,
    ),
    Benchmark(
        "math500",
        _PROBLEM,
        f.field("answer"),
        "MIT (problems from MAA contests)",
        Hub("HuggingFaceH4/MATH-500"),
        level=f.prefixed("Level ", "level"),
        files=("math_oai",),
        rows=500,
    ),
    Benchmark(
        "minerva_math",
        _PROBLEM,
        f.boxed("solution", "answer"),
        "CC BY-NC-SA 4.0 (MIT OpenCourseWare)",
        Hub("math-ai/minervamath"),
        shots="minerva_math",
        policy=_ROUNDED,
        rows=272,
    ),
    Benchmark(
        "olympiadbench",
        _QUESTION,
        f.first_of_list("final_answer"),
        "MIT",
        Hub("Hothan/OlympiadBench", split="train", configs=("OE_TO_maths_en_COMP",)),
        subject=f.optional("subfield"),
        rows=675,
        note="the hub's copy has 674 rows",
    ),
    Benchmark(
        "college_math",
        _QUESTION,
        f.field("answer"),
        "per row (CC BY, CC BY-SA, CC BY-NC-SA, GFDL and others)",
        Hub("di-zhang-fdu/College_Math_Test"),
        subject=f.optional("data_topic"),
        source=f.optional("data_source"),
        policy=_ROUNDED,
        rows=2818,
    ),
    Benchmark("amc23", _PROBLEM, _ANSWER, _MAA, Hub("math-ai/amc23"), rows=40),
    Benchmark("aime24", _PROBLEM, _ANSWER, _MAA, Hub("HuggingFaceH4/aime_2024", split="train"), rows=30),
    Benchmark(
        "aime25",
        _PROBLEM,
        _ANSWER,
        _MAA,
        Hub("math-ai/aime25"),
        solution=f.optional("reference_solution", "solution"),
        rows=30,
    ),
    Benchmark(
        "svamp",
        f.body_and_question("Body", "Question"),
        f.field("Answer"),
        "MIT",
        Hub("ChilleD/SVAMP"),
        subject=f.optional("Type"),
        shots="gsm8k",
        policy=_ROUNDED_WORDS,
        rows=1000,
        note="the hub's test split has 300 of the 1,000 rows",
    ),
    Benchmark(
        "asdiv",
        f.body_and_question("body", "question"),
        f.without_unit("answer"),
        "CC BY-NC 4.0",
        Hub("EleutherAI/asdiv", split="validation"),
        subject=f.optional("solution_type"),
        shots="gsm8k",
        policy=_ROUNDED_WORDS,
        rows=2215,
        note="the hub's copy has 2,305 rows",
    ),
    Benchmark(
        "mawps",
        f.field("input"),
        f.field("target"),
        _UNSTATED,
        subject=f.optional("type"),
        shots="gsm8k",
        policy=_ROUNDED_WORDS,
        rows=2065,
    ),
    Benchmark(
        "tabmwp",
        f.tabmwp_question,
        f.field("answer"),
        "CC BY-NC-SA 4.0",
        policy=_WORDS,
        shots="gsm8k",
        subject=f.optional("ques_type"),
    ),
    Benchmark(
        "carp_en",
        f.field("content"),
        f.field("answer"),
        _UNSTATED,
        solution=f.optional("steps"),
        shots="carp_en",
        rows=976,
    ),
    Benchmark(
        "gaokao2023en",
        f.gaokao2023_question,
        f.gaokao2023_gold,
        _UNSTATED,
        Hub("MARIO-Math-Reasoning/Gaokao2023-Math-En", split="train"),
        kind=_gaokao2023_kind,
        source=f.optional("sourcename", "source"),
        rows=385,
        note="two rows lost their answer to the end of the question; it is taken from there",
    ),
    Benchmark(
        "aqua",
        f.aqua_question,
        f.letters("correct"),
        "Apache-2.0",
        Hub("deepmind/aqua_rat", configs=("raw",)),
        kind=_choice,
        solution=f.optional("rationale"),
        shots="aqua",
        auto_shots=5,
        rows=254,
    ),
    Benchmark(
        "sat_math",
        f.sat_question,
        f.letters("Answer"),
        _UNSTATED,
        kind=_choice,
        shots="mmlu_stem",
        auto_shots=5,
        rows=32,
    ),
    Benchmark(
        "mmlu_stem",
        f.mmlu_question,
        f.letter_of_index("answer"),
        "MIT",
        Hub("TIGER-Lab/MMLU-STEM"),
        kind=_choice,
        subject=f.optional("type", "subject"),
        shots="mmlu_stem",
        auto_shots=5,
        rows=3018,
    ),
    Benchmark(
        "cmath",
        _QUESTION,
        f.field("answer", "golden"),
        "CC BY 4.0",
        Hub("weitianwen/cmath", split="validation"),
        level=f.prefixed("Grade ", "grade"),
        shots="gaokao",
        auto_shots=5,
        policy=_WORDS,
        rows=600,
    ),
    Benchmark(
        "cn_middle_school",
        _QUESTION,
        _choice_or_answer,
        _UNSTATED,
        kind=_choice_where_marked,
        shots="gaokao",
        auto_shots=5,
        rows=101,
    ),
    Benchmark(
        "gaokao2024_I",
        _QUESTION,
        _gaokao2024_gold,
        _UNSTATED,
        kind=_gaokao2024_kind,
        shots="gaokao",
        auto_shots=5,
        rows=14,
    ),
    Benchmark(
        "gaokao2024_II",
        _QUESTION,
        _gaokao2024_gold,
        _UNSTATED,
        kind=_gaokao2024_kind,
        shots="gaokao",
        auto_shots=5,
        rows=14,
    ),
    Benchmark(
        "gaokao2024_mix",
        _QUESTION,
        _choice_or_answer,
        _UNSTATED,
        kind=_choice_where_marked,
        shots="gaokao",
        auto_shots=5,
        rows=91,
    ),
    Benchmark(
        "gaokao_math_cloze",
        _QUESTION,
        f.parts("answer"),
        "MIT (AGIEval)",
        source=_gaokao_source,
        shots="gaokao",
        auto_shots=5,
        policy=_BLANKS,
        rows=118,
    ),
    Benchmark(
        "gaokao_math_qa",
        f.gaokao_qa_question,
        f.letters("label"),
        "MIT (AGIEval)",
        kind=lambda row: AnswerKind.CHOICES if len(f.letters("label")(row)) > 1 else AnswerKind.CHOICE,
        source=_gaokao_source,
        shots="gaokao",
        auto_shots=5,
        rows=351,
    ),
)

BENCHMARKS: dict[str, Benchmark] = {entry.name: entry for entry in _ENTRIES}

# What `eval.sh` of the reference runs, and the sets that arXiv 2511.09865 adds.
REFERENCE_NAMES: tuple[str, ...] = tuple(name for name in BENCHMARKS if name not in ("math500", "aime25"))


_GOLD_FIELDS = ("answer", "expected_answer", "final_answer", "gold")


def _generic_gold(row: Row) -> str:
    """An answer field; where there is none, or it is empty, the box of the solution."""
    gold = f.optional(*_GOLD_FIELDS)(row)
    if gold or "solution" in row:
        return gold or f.boxed("solution")(row)
    return f.field(*_GOLD_FIELDS)(row)


def benchmark(name: str) -> Benchmark:
    """The table's entry; for a name that is not in it, a reader of usual fields.

    question or problem; answer, expected_answer, final_answer, gold or the box of `solution`; level; subject
    or type; source.
    """
    return BENCHMARKS.get(name) or Benchmark(name, f.field("problem", "question"), _generic_gold, "the file's own")
