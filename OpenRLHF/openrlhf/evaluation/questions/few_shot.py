"""Chooses the worked examples that stand before a question, and writes prompts with them."""

import random
from collections.abc import Sequence
from pathlib import Path

from openrlhf.config.evaluation import PromptConfig
from openrlhf.errors import UserError
from openrlhf.evaluation.questions import sources
from openrlhf.evaluation.questions.benchmarks import Benchmark
from openrlhf.evaluation.questions.few_shot_examples import EXAMPLES, PROGRAMS, Example
from openrlhf.evaluation.questions.problems import AnswerKind, Problem
from openrlhf.evaluation.questions.prompts import Prompter, style
from openrlhf.utils.seeding import derive_seed


class FewShot:
    """The examples of one benchmark: the project's own first, then rows drawn from its training split.

    shots: how many; "auto" for as many as the reference's `eval.sh` gives this set.
    multiple_choice_only: examples stand only before questions that ask for a letter (`--adapt_few_shot`).
    """

    def __init__(
        self,
        entry: Benchmark,
        shots: int | str,
        *,
        prompt_type: str,
        data_dir: Path,
        seed: int,
        multiple_choice_only: bool = False,
    ) -> None:
        """Raises UserError where more are asked for than there are and no training split is at hand."""
        written = PROGRAMS if style(prompt_type).runs_code else EXAMPLES[entry.shots]
        self.multiple_choice_only = multiple_choice_only
        if isinstance(shots, str):
            self.multiple_choice_only = True
            shots = 0 if prompt_type == "none" else min(entry.auto_shots, len(written))
        self.examples: tuple[Example, ...] = written[:shots]
        if shots > len(written):
            self.examples += _drawn(entry, shots - len(written), len(written), data_dir, seed)

    def before(self, problem: Problem) -> tuple[Example, ...]:
        if self.multiple_choice_only and problem.kind is AnswerKind.MATH:
            return ()
        return self.examples


def prompts_of(
    entry: Benchmark, problems: Sequence[Problem], prompter: Prompter, config: PromptConfig, data_dir: Path, seed: int
) -> list[str]:
    """One prompt per problem. data_dir, seed: of examples that are drawn."""
    shots = FewShot(
        entry,
        config.num_shots,
        prompt_type=config.prompt_type,
        data_dir=data_dir,
        seed=seed,
        multiple_choice_only=config.adapt_few_shot,
    )
    return [prompter.text(problem.question, shots.before(problem)) for problem in problems]


def _drawn(entry: Benchmark, count: int, written: int, data_dir: Path, seed: int) -> tuple[Example, ...]:
    path = sources.local_file(entry, data_dir, "train")
    if path is None:
        raise UserError(
            f"--num_shots asks for {written + count} examples; {entry.name} has {written} of this project's "
            "own, and "
            f"{data_dir / entry.name / 'train.jsonl'}, from which more could be drawn, does not exist"
        )
    worked = [p for p in sources.read_problems(entry, path) if p.solution and p.gold]
    if len(worked) < count:
        raise UserError(f"{path} has {len(worked)} rows with a solution; {count} are needed. Lower --num_shots")
    chosen = random.Random(derive_seed(seed, "few-shot", entry.name)).sample(worked, count)
    return tuple((p.question, p.solution) for p in chosen)
