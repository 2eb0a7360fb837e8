"""Scores a model: finds the sets, generates what is missing, grades, writes figures and a report."""

import hashlib
import random
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from openrlhf.errors import UserError
from openrlhf.evaluation.figures.records import Graded, to_record
from openrlhf.evaluation.figures.scoring import Grader
from openrlhf.evaluation.figures.summary import summarize
from openrlhf.evaluation.generation import models, store
from openrlhf.evaluation.generation.store import Journal, Paths
from openrlhf.evaluation.questions import sources
from openrlhf.evaluation.questions.benchmarks import Benchmark, benchmark
from openrlhf.evaluation.questions.few_shot import FewShot
from openrlhf.evaluation.questions.problems import Problem
from openrlhf.evaluation.questions.prompts import Prompter, style
from openrlhf.utils.seeding import derive_seed


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


def evaluate(args: Namespace) -> int:
    """The command's main mode. Returns the exit status."""
    args.model_name_or_path = models.require_model(args.model_name_or_path)
    run_programs = _programs(args)
    found = find_sets(args)
    if not found:
        raise UserError(f"none of the sets {', '.join(args.names)} was found; see above for what to do")
    tokenizer = load_tokenizer(args.model_name_or_path)
    prompter = Prompter(args.prompt_type, args.apply_chat_template, tokenizer)
    tasks = [_task(args, set_, prompter) for set_ in found]
    for task in tasks:
        _prepare(task, args.overwrite)
    if waiting := [task for task in tasks if not task.finished]:
        _run(args, waiting, prompter, run_programs)
    for task in tasks:
        if task not in waiting:
            print(f"{task.entry.name}: complete already ({task.paths.samples}); --overwrite starts anew")
    _conclude(args, tasks)
    return 0


def find_sets(args: Namespace) -> list[sources.Found]:
    """Reads the sets that are to be had; names the others and what to do about them, first of all."""
    results = [sources.find(name, args.data_dir, args.split) for name in args.names]
    missing = [result for result in results if isinstance(result, sources.Missing)]
    if missing:
        print(f"{len(missing)} of {len(results)} sets were not found and are left out:")
        for result in missing:
            print(f"  {result.advice}")
    return [result for result in results if isinstance(result, sources.Found)]


def select(problems: Sequence[Problem], name: str, args: Namespace) -> list[Problem]:
    """--shuffle, --num_test_sample, --start and --end in this order; problems without a gold are left out."""
    chosen = list(problems)
    if args.shuffle:
        random.Random(derive_seed(args.seed, "shuffle", name)).shuffle(chosen)
    if args.num_test_sample >= 0:
        chosen = chosen[: args.num_test_sample]
    chosen = chosen[args.start : args.end if args.end != -1 else None]
    if without := [p.index for p in chosen if not p.gold]:
        print(f"{name}: {len(without)} problems have no gold and are left out: rows {without[:10]}")
    chosen = [p for p in chosen if p.gold]
    if not chosen:
        raise UserError(f"{name}: --num_test_sample, --start and --end leave no problem of {len(problems)}")
    return chosen


def prompts_of(args: Namespace, entry: Benchmark, problems: Sequence[Problem], prompter: Prompter) -> list[str]:
    shots = FewShot(
        entry,
        args.num_shots,
        prompt_type=args.prompt_type,
        data_dir=args.data_dir,
        seed=args.seed,
        multiple_choice_only=args.adapt_few_shot,
    )
    return [prompter.text(problem.question, shots.before(problem)) for problem in problems]


def load_tokenizer(name: str) -> Any:
    """Only the tokenizer, no code from the model's folder."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot load a tokenizer from {name}: {error}") from error


def paths_of(args: Namespace, name: str) -> Paths:
    """The reference's file names."""
    stem = (
        f"{args.split}_{args.prompt_type}_{args.num_test_sample}_seed{args.seed}_t{args.temperature}"
        f"_s{args.start}_e{args.end}"
    )
    return Paths(args.output_dir / name, stem, args.prompt_type)


def _task(args: Namespace, found: sources.Found, prompter: Prompter) -> Task:
    entry = benchmark(found.name)
    problems = select(found.problems, found.name, args)
    prompts = prompts_of(args, entry, problems, prompter)
    digest = hashlib.blake2b(digest_size=12)
    for problem, prompt in zip(problems, prompts, strict=True):
        digest.update(f"{problem.index}\x1f{prompt}\x1f{problem.gold}\x1e".encode())
    settings = {
        "model_name_or_path": args.model_name_or_path,
        "model_fingerprint": models.fingerprint(args.model_name_or_path),
        "prompt_type": args.prompt_type,
        "apply_chat_template": args.apply_chat_template,
        "num_shots": args.num_shots,
        "problems_digest": digest.hexdigest(),
        "n_sampling": args.n_sampling,
        "temperature": args.temperature,
        "top_p": args.top_p,
        "max_tokens_per_call": args.max_tokens_per_call,
        "seed": args.seed,
        "dtype": args.dtype,
        "rollout_engine": args.rollout_engine,
        "code_executed": args.allow_code_execution and style(args.prompt_type).runs_code,
    }
    return Task(entry, problems, prompts, paths_of(args, found.name), settings)


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


def _run(args: Namespace, tasks: Sequence[Task], prompter: Prompter, run_programs: Any) -> None:
    """Opens the engines once, then generates and grades set by set."""
    from openrlhf.evaluation.generation.generator import PROGRAM_TURNS, Generator, sampling_for
    from openrlhf.grading import GradingPool
    from openrlhf.rollout.model_files import context_length, load_config
    from openrlhf.rollout.pool import open_pool

    sampling = sampling_for(
        args.prompt_type,
        prompter.tokenizer,
        temperature=args.temperature,
        top_p=args.top_p,
        max_tokens=args.max_tokens_per_call,
    )
    context = context_length(load_config(args.model_name_or_path), args.max_model_len)
    longest = max(len(prompter.ids(prompt)) for task in tasks for prompt in task.prompts)
    calls = 1 if run_programs is None else 1 + PROGRAM_TURNS
    context = min(context, longest + calls * args.max_tokens_per_call)
    engine = open_pool(
        args.model_name_or_path,
        engine=args.rollout_engine,
        num_engines=args.num_engines or max(1, len(models.gpu_memory()) // args.tensor_parallel_size),
        tensor_parallel_size=args.tensor_parallel_size,
        dtype=args.dtype,
        max_model_len=context,
        seed=args.seed,
    )
    generator = Generator(engine, prompter, sampling, context, args.seed, run_programs)
    try:
        with GradingPool(args.grading_workers, args.grading_timeout) as pool:
            for task in tasks:
                started = time.perf_counter()
                with closing(Journal(task.paths.partial, task.settings)) as journal:
                    generator.fill(task.entry.name, task.problems, task.prompts, args.n_sampling, journal)
                finish(task, journal, args.n_sampling, pool, started)
    finally:
        engine.shutdown()


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


def _programs(args: Namespace) -> Any:
    """What runs the programs in responses: nothing without permission, and then it says so."""
    from openrlhf.evaluation.generation import sandbox

    if not style(args.prompt_type).runs_code:
        return None
    if not args.allow_code_execution:
        print(
            f"--prompt_type {args.prompt_type} asks the model for Python. It is not run: give "
            "--allow_code_execution to run it, confined to a process of its own without network and files"
        )
        return None
    sandbox.require()
    print("Python written by the model is run, confined: no network, no files of this machine, limited time and memory")
    return sandbox.run_all


def _conclude(args: Namespace, tasks: Sequence[Task]) -> None:
    """Prints the figures of this run, and writes the report of everything in the output folder."""
    from openrlhf.evaluation.figures.results import load_results, print_table
    from openrlhf.evaluation.pages.report import write_report

    results = load_results([args.output_dir])
    files = {task.paths.samples for task in tasks}
    print_table([result for result in results if result.samples_path in files])
    report = args.output_dir / "report.html"
    write_report(report, results)
    print(f"report: {report}")
