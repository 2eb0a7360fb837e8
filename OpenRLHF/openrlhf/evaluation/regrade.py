"""Grades stored samples again, without a model."""

import os
import time
from pathlib import Path
from typing import Any

from openrlhf.config.evaluation import GradingConfig, QuestionsConfig
from openrlhf.errors import UserError
from openrlhf.evaluation.figures.records import Graded, problem_of, samples_of, to_record
from openrlhf.evaluation.figures.results import load_results, metrics_files, print_table, sample_files
from openrlhf.evaluation.figures.scoring import Grader
from openrlhf.evaluation.figures.summary import summarize
from openrlhf.evaluation.generation import store
from openrlhf.evaluation.questions.benchmarks import benchmark
from openrlhf.evaluation.questions.prompts import PROMPT_TYPES
from openrlhf.grading import GradingPool


def regrade(questions: QuestionsConfig, output_dir: Path, grading: GradingConfig) -> int:
    """Every stored set under `output_dir` (those of --data_names, where it is given)."""
    names = None if questions.is_default else questions.names
    files = sample_files(output_dir, names)
    if not files:
        raise UserError(f"no stored samples under {output_dir}; --output_dir must be that of the run to regrade")
    responses = 0
    with GradingPool(grading.grading_workers, grading.grading_timeout) as pool:
        for name, path in files:
            responses += _regrade_file(name, path, pool)
    print(f"{responses} responses graded in {_cpu_seconds():.1f} s of CPU time, start and workers included")
    print_table(load_results([output_dir], names))
    return 0


def _cpu_seconds() -> float:
    """Of this process since its start, and of its workers that have ended."""
    return sum(os.times()[:4])


def _regrade_file(name: str, path: Path, pool: GradingPool) -> int:
    started = time.perf_counter()
    records = store.read_lines(path)
    if not records:
        raise UserError(f"{path} holds no samples")
    problems = [problem_of(record) for record in records]
    samples = [samples_of(record) for record in records]
    known = metrics_files(path)
    old = store.read_json(known[0]) if known else {}
    settings: dict[str, Any] = old.get("settings") or {"prompt_type": _prompt_type_in(path)}
    prompt_type = settings["prompt_type"]
    grader = Grader(benchmark(name), prompt_type, pool)
    scored = grader.score(problems, [[s.text for s in row] for row in samples])
    graded = [Graded(*row) for row in zip(problems, samples, scored, grader.majority(problems, scored), strict=True)]
    figures = summarize(graded, time.perf_counter() - started, settings)
    # The time that a run took is that of its generation; grading it again does not change it.
    figures["time_use_in_second"] = old.get("time_use_in_second", figures["time_use_in_second"])
    store.write_lines(path, (to_record(row) for row in graded))
    store.write_json(path.with_name(f"{path.stem}_{prompt_type}_metrics.json"), figures)
    return sum(map(len, samples))


def _prompt_type_in(path: Path) -> str:
    """The prompt type in a file's name, `{split}_{prompt}_{n}_seed…`; the longest that fits."""
    inside = [prompt for prompt in PROMPT_TYPES if f"_{prompt}_" in path.stem]
    if not inside:
        raise UserError(f"{path.name} does not name its prompt type, and no metrics file beside it does")
    return max(inside, key=len)
