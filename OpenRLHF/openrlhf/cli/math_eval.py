"""Scores a model on mathematical benchmarks; also compares, reports and grades again without one (docs/evaluation.md).

`code/eval/Qwen2.5-Math/evaluation/math_eval.py` calls it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from openrlhf.cli.arguments import add_flag
from openrlhf.cli.parser import Parser
from openrlhf.config.evaluation import BenchmarkConfig, benchmark_rules
from openrlhf.config.settings import Flag, build, flags_of
from openrlhf.errors import UserError
from openrlhf.evaluation.questions.prompts import PROMPT_TYPES, style


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 not good enough (`--check_golds`), 2 something the user can mend."""
    try:
        config, notes = benchmark_rules(parse(argv))
        for note in notes:
            print(note)
        return _run(config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parse(argv: Sequence[str] | None = None) -> BenchmarkConfig:
    """The configuration before its rules. UserError: there is no such prompt type."""
    values = vars(build_parser().parse_args(argv))
    style(values["prompt_type"])
    return build(BenchmarkConfig, {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()})


def build_parser() -> argparse.ArgumentParser:
    """Flags may be abbreviated: the reference's own script writes --data_name."""
    parser = Parser(
        prog="math_eval.py",
        description="Scores a model on mathematical benchmarks: generates, grades, measures, reports.",
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for title, flag in flags_of(BenchmarkConfig):
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        add_flag(groups[title], _for_argparse(flag), {})
    return parser


def _for_argparse(flag: Flag) -> Flag:
    """Prompt types are known to the prompts, not to the configuration; so the help gets them here."""
    if flag.name == "prompt_type":
        return replace(flag, help=f"{flag.help[:-1]}: one of {', '.join(PROMPT_TYPES)}.")
    return flag if flag.kind is bool else replace(flag, kind=_explaining(flag.kind))


def _explaining(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """argparse drops the message of every error but its own."""

    def converted(text: str) -> Any:
        try:
            return convert(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    converted.__name__ = convert.__name__
    return converted


def _run(config: BenchmarkConfig) -> int:
    """One mode; each imports what it needs, so that modes without a model start at once."""
    mode = config.mode
    if mode.compare:
        from openrlhf.evaluation.compare import print_comparison

        before, after = mode.compare
        return print_comparison(before, after, config.output.output_dir)
    if mode.report:
        from openrlhf.evaluation.figures.results import load_results
        from openrlhf.evaluation.pages.report import write_report

        target, *folders = mode.report
        write_report(target, load_results(folders or [config.output.output_dir]))
        print(f"report: {target}")
        return 0
    if mode.check_golds:
        from openrlhf.evaluation.check_golds import check_golds

        return check_golds(config.questions, config.grading)
    if mode.regrade:
        from openrlhf.evaluation.regrade import regrade

        return regrade(config.questions, config.output.output_dir, config.grading)
    if mode.show_prompts:
        from openrlhf.evaluation.show_prompts import show_prompts

        return show_prompts(config)
    from openrlhf.evaluation.evaluate import evaluate

    return evaluate(config)


if __name__ == "__main__":
    sys.exit(main())
