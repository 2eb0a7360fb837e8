"""`math_eval.py`: parses the command line and starts what it asks for."""

import sys
from argparse import Namespace
from pathlib import Path

from openrlhf.errors import UserError
from openrlhf.evaluation import arguments
from openrlhf.evaluation.questions.prompts import CHAT


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0 done, 1 not good enough (`--check_golds`), 2 a mistake that the user can mend."""
    try:
        args, remarks = arguments.parse(argv)
        for remark in remarks:
            print(remark)
        return _run(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(args: Namespace) -> int:
    """One mode; each imports what it needs, so that modes without a model start at once."""
    if args.compare:
        from openrlhf.evaluation.compare import run_compare

        return run_compare(args)
    if args.report:
        from openrlhf.evaluation.figures.results import load_results
        from openrlhf.evaluation.pages.report import write_report

        target, *folders = map(Path, args.report)
        write_report(target, load_results(folders or [args.output_dir]))
        print(f"report: {target}")
        return 0
    if args.check_golds:
        from openrlhf.evaluation.check_golds import check_golds

        return check_golds(args)
    if args.regrade:
        from openrlhf.evaluation.regrade import regrade

        return regrade(args)
    if args.show_prompts:
        return show_prompts(args)
    from openrlhf.evaluation.evaluate import evaluate

    return evaluate(args)


def show_prompts(args: Namespace) -> int:
    """Prints the first prompt of every set; loads a tokenizer only where a chat template is asked for."""
    from openrlhf.evaluation import evaluate
    from openrlhf.evaluation.questions.benchmarks import benchmark
    from openrlhf.evaluation.questions.prompts import Prompter

    tokenizer = None
    if args.apply_chat_template or args.prompt_type == CHAT:
        if not args.model_name_or_path:
            raise UserError("a chat template comes with a model's tokenizer: give --model_name_or_path")
        tokenizer = evaluate.load_tokenizer(args.model_name_or_path)
    prompter = Prompter(args.prompt_type, args.apply_chat_template, tokenizer)
    for found in evaluate.find_sets(args):
        problems = evaluate.select(found.problems, found.name, args)[:1]
        for prompt in evaluate.prompts_of(args, benchmark(found.name), problems, prompter):
            print(f"----- {found.name}, row {problems[0].index}, {args.prompt_type} -----\n{prompt}")
    return 0
