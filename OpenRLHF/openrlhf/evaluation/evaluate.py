"""Scores a model: finds the sets, generates what is missing, grades, writes figures and a report."""

import hashlib
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openrlhf.config.evaluation import BenchmarkConfig
from openrlhf.errors import UserError
from openrlhf.evaluation.figures.records import Graded, to_record
from openrlhf.evaluation.figures.scoring import Grader
from openrlhf.evaluation.figures.summary import summarize
from openrlhf.evaluation.generation import models, store
from openrlhf.evaluation.generation.generator import PROGRAM_TURNS, Generator, RunPrograms, sampling_for
from openrlhf.evaluation.generation.store import Journal, Paths
from openrlhf.evaluation.questions import sources
from openrlhf.evaluation.questions.benchmarks import Benchmark, benchmark
from openrlhf.evaluation.questions.few_shot import prompts_of
from openrlhf.evaluation.questions.problems import Problem
from openrlhf.evaluation.questions.prompts import Prompter, style
from openrlhf.evaluation.questions.selection import find_sets, select


@dataclass(frozen=True)
class Task:
    """One set to run: its problems, their prompts, its files, and the settings that its samples depend on."""

    entry: Benchmark
    problems: list[Problem]
    prompts: list[str]
    paths: Paths
    settings: dict[str, Any]

    @property
    def finished(self) -> bool:
        return self.paths.samples.exists() and self.paths.metrics.exists() and not self.paths.partial.exists()


def evaluate(config: BenchmarkConfig) -> int:
    """The command's main mode. Returns the exit status."""
    model = models.require_model(config.engine.model_name_or_path)
    run_programs = _programs(config.prompt.prompt_type, config.sampling.allow_code_execution)
    questions = config.questions
    found = find_sets(questions.names, questions.data_dir, questions.split)
    if not found:
        raise UserError(f"none of the sets {', '.join(questions.names)} was found; see above for what to do")
    tokenizer = models.load_tokenizer(model)
    prompter = Prompter(config.prompt.prompt_type, config.prompt.apply_chat_template, tokenizer)
    tasks = [_task(config, model, set_, prompter) for set_ in found]
    for task in tasks:
        _prepare(task, config.output.overwrite)
    if waiting := [task for task in tasks if not task.finished]:
        _run(config, model, waiting, prompter, run_programs)
    for task in tasks:
        if task not in waiting:
            print(f"{task.entry.name}: complete already ({task.paths.samples}); --overwrite starts anew")
    _conclude(config.output.output_dir, tasks)
    return 0


def paths_of(config: BenchmarkConfig, name: str) -> Paths:
    """The reference's file names."""
    questions, sampling, prompt_type = config.questions, config.sampling, config.prompt.prompt_type
    stem = (
        f"{questions.split}_{prompt_type}_{questions.num_test_sample}_seed{sampling.seed}_t{sampling.temperature}"
        f"_s{questions.start}_e{questions.end}"
    )
    return Paths(config.output.output_dir / name, stem, prompt_type)


def _task(config: BenchmarkConfig, model: str, found: sources.Found, prompter: Prompter) -> Task:
    entry = benchmark(found.name)
    prompt, sampling = config.prompt, config.sampling
    problems = select(found.problems, found.name, config.questions, sampling.seed)
    prompts = prompts_of(entry, problems, prompter, prompt, config.questions.data_dir, sampling.seed)
    digest = hashlib.blake2b(digest_size=12)
    for problem, text in zip(problems, prompts, strict=True):
        digest.update(f"{problem.index}\x1f{text}\x1f{problem.gold}\x1e".encode())
    settings = {
        "model_name_or_path": model,
        "model_fingerprint": models.fingerprint(model),
        "prompt_type": prompt.prompt_type,
        "apply_chat_template": prompt.apply_chat_template,
        "num_shots": prompt.num_shots,
        "problems_digest": digest.hexdigest(),
        "n_sampling": sampling.n_sampling,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens_per_call": sampling.max_tokens_per_call,
        "seed": sampling.seed,
        "dtype": config.engine.dtype,
        "rollout_engine": config.engine.rollout_engine,
        "code_executed": sampling.allow_code_execution and style(prompt.prompt_type).runs_code,
    }
    return Task(entry, problems, prompts, paths_of(config, found.name), settings)


def _prepare(task: Task, overwrite: bool) -> None:
    """Drops or checks what an earlier run left, before a model is loaded."""
    paths = task.paths
    if overwrite:
        for path in (paths.partial, paths.metrics, paths.samples):
            path.unlink(missing_ok=True)
    if task.finished:
        stored = store.read_json(paths.metrics).get("settings", {})
        store.refuse_other_settings(stored, task.settings, paths.metrics)
    elif paths.samples.exists() and not paths.partial.exists():
        raise UserError(
            f"{paths.samples} is there without its {paths.metrics.name}: use --regrade to measure it again, "
            "or --overwrite to start anew"
        )
    else:
        Journal(paths.partial, task.settings).close()


def _run(
    config: BenchmarkConfig, model: str, tasks: Sequence[Task], prompter: Prompter, run_programs: RunPrograms | None
) -> None:
    """Opens the engines once, then generates and grades set by set."""
    from openrlhf.grading import GradingPool
    from openrlhf.rollout.model_files import context_length, load_config
    from openrlhf.rollout.pool import open_pool

    engine, sampling = config.engine, config.sampling
    with_stops = sampling_for(
        config.prompt.prompt_type,
        prompter.tokenizer,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens_per_call,
    )
    context = context_length(load_config(model), engine.max_model_len)
    longest = max(len(prompter.ids(prompt)) for task in tasks for prompt in task.prompts)
    calls = 1 if run_programs is None else 1 + PROGRAM_TURNS
    context = min(context, longest + calls * sampling.max_tokens_per_call)
    pool = open_pool(
        model,
        engine=engine.rollout_engine,
        num_engines=engine.num_engines or max(1, len(models.gpu_memory()) // engine.tensor_parallel_size),
        tensor_parallel_size=engine.tensor_parallel_size,
        dtype=engine.dtype,
        max_model_len=context,
        seed=sampling.seed,
    )
    generator = Generator(pool, prompter, with_stops, context, sampling.seed, run_programs)
    try:
        with GradingPool(config.grading.grading_workers, config.grading.grading_timeout) as graders:
            for task in tasks:
                started = time.perf_counter()
                with closing(Journal(task.paths.partial, task.settings)) as journal:
                    generator.fill(task.entry.name, task.problems, task.prompts, sampling.n_sampling, journal)
                finish(task, journal, sampling.n_sampling, graders, started)
    finally:
        pool.shutdown()


def finish(task: Task, journal: Journal, n: int, pool: Any, started: float) -> None:
    """Grades a complete journal and turns it into the set's two files."""
    samples = [[journal.samples[p.index, s] for s in range(n)] for p in task.problems]
    grader = Grader(task.entry, task.settings["prompt_type"], pool)
    scored = grader.score(task.problems, [[s.text for s in row] for row in samples])
    majority = grader.majority(task.problems, scored)
    graded = [Graded(*row) for row in zip(task.problems, samples, scored, majority, strict=True)]
    write(task.paths, graded, summarize(graded, time.perf_counter() - started, task.settings))
    task.paths.partial.unlink(missing_ok=True)


def write(paths: Paths, graded: Sequence[Graded], figures: dict[str, Any]) -> None:
    store.write_lines(paths.samples, (to_record(row) for row in sorted(graded, key=lambda row: row.problem.index)))
    store.write_json(paths.metrics, figures)


def _programs(prompt_type: str, allowed: bool) -> RunPrograms | None:
    """What runs the programs in responses: nothing without permission, and then it says so."""
    from openrlhf.evaluation.generation import sandbox

    if not style(prompt_type).runs_code:
        return None
    if not allowed:
        print(
            f"--prompt_type {prompt_type} asks the model for Python. It is not run: give "
            "--allow_code_execution to run it, confined to a process of its own without network and files"
        )
        return None
    sandbox.require()
    print("Python written by the model is run, confined: no network, no files of this machine, limited time and memory")
    return sandbox.run_all


def _conclude(output_dir: Path, tasks: Sequence[Task]) -> None:
    """Prints the figures of this run, and writes the report of everything in the output folder."""
    from openrlhf.evaluation.figures.results import load_results, print_table
    from openrlhf.evaluation.pages.report import write_report

    results = load_results([output_dir])
    files = {task.paths.samples for task in tasks}
    print_table([result for result in results if result.samples_path in files])
    report = output_dir / "report.html"
    write_report(report, results)
    print(f"report: {report}")
