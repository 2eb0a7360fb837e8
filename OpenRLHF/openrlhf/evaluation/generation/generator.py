"""Samples what is still missing of a set, and keeps every sample as soon as it is finished."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from openrlhf.evaluation.generation.store import Journal, Sample
from openrlhf.evaluation.generation.transcripts import program_to_run, with_output
from openrlhf.evaluation.questions.problems import Problem
from openrlhf.evaluation.questions.prompts import COMMON_STOPS, Prompter, stop_strings
from openrlhf.rollout.engine import Completion, Request, RolloutEngine, Sampling
from openrlhf.utils.seeding import derive_seed

# Turns in which a program may run: one for a program that is the answer, four where words and programs
# alternate.
PROGRAM_TURNS = 4
_PROGRAM_ALONE = ("pal", "jiuzhang_tora")

RunPrograms = Callable[[Sequence[str]], list[str]]


@dataclass
class _Growing:
    """A response that is being written, possibly in several turns with program outputs between them."""

    key: tuple[int, int]
    prompt: str
    text: str = ""
    tokens: int = 0
    turn: int = 0
    reports: list[str] = field(default_factory=list)

    def sample(self, finish_reason: str) -> Sample:
        return Sample(self.text, self.tokens, finish_reason, "\n".join(self.reports))


@dataclass(frozen=True)
class Generator:
    """Fills a journal.

    max_model_len: tokens of prompt and response together; a prompt that leaves no room for one token is kept
    as an empty response with finish reason "prompt_too_long".
    run_programs: runs the Python that responses end with and returns what it printed; None leaves it alone.
    """

    engine: RolloutEngine
    prompter: Prompter
    sampling: Sampling
    max_model_len: int
    seed: int
    run_programs: RunPrograms | None = None

    def fill(self, name: str, problems: Sequence[Problem], prompts: Sequence[str], n: int, journal: Journal) -> None:
        """Generates every sample of (problem, 0 … n-1) that `journal` does not hold."""
        missing = [
            _Growing((problem.index, s), prompt)
            for problem, prompt in zip(problems, prompts, strict=True)
            for s in range(n)
            if (problem.index, s) not in journal.samples
        ]
        done = len(problems) * n - len(missing)
        with tqdm(total=len(problems) * n, initial=done, desc=name, unit="sample") as progress:
            while missing:
                missing = self._turn(name, missing, journal, progress)

    def _turn(self, name: str, growing: list[_Growing], journal: Journal, progress: Any) -> list[_Growing]:
        """One call of the engine; returns the responses that go on after their program's output."""
        requests, too_long = self._requests(name, growing)
        journal.append({g.key: g.sample("prompt_too_long" if g.turn == 0 else "length") for g in too_long})
        progress.update(len(too_long))
        by_key = {g.key: g for g in growing}
        going_on = []
        for completions in self.engine.generate(requests, self.sampling) if requests else ():
            finished, programs = self._sort(completions, by_key)
            journal.append(finished)
            progress.update(len(finished))
            going_on += programs
        return self._after_programs(going_on, journal, progress)

    def _requests(self, name: str, growing: Iterable[_Growing]) -> tuple[list[Request], list[_Growing]]:
        requests, too_long = [], []
        for g in growing:
            ids = self.prompter.ids(g.prompt + g.text)
            if len(ids) >= self.max_model_len:
                too_long.append(g)
            else:
                seed = derive_seed(self.seed, "evaluation", name, *g.key, g.turn)
                requests.append(Request(g.key, ids, seed))
        return requests, too_long

    def _sort(
        self, completions: Iterable[Completion], by_key: dict[Any, _Growing]
    ) -> tuple[dict[tuple[int, int], Sample], list[_Growing]]:
        """Finished samples, and responses that wait for their program's output."""
        finished, waiting = {}, []
        for completion in completions:
            g = by_key[completion.key]
            g.text += completion.text
            g.tokens += len(completion.token_ids)
            if self._wants_output(g, completion.finish_reason):
                waiting.append(g)
            else:
                finished[g.key] = g.sample(completion.finish_reason)
        return finished, waiting

    def _wants_output(self, g: _Growing, finish_reason: str) -> bool:
        may_run = self.run_programs is not None and finish_reason == "stop" and g.turn < self._turns
        return may_run and program_to_run(g.text) is not None

    @property
    def _turns(self) -> int:
        return 1 if self.prompter.prompt_type in _PROGRAM_ALONE else PROGRAM_TURNS

    def _after_programs(self, waiting: list[_Growing], journal: Journal, progress: Any) -> list[_Growing]:
        if not waiting:
            return []
        assert self.run_programs is not None
        outputs = self.run_programs([program_to_run(g.text) or "" for g in waiting])
        going_on, finished = [], {}
        for g, output in zip(waiting, outputs, strict=True):
            g.text = with_output(g.text, output)
            g.turn += 1
            g.reports.append(output[:200])
            if self.prompter.prompt_type in _PROGRAM_ALONE:
                finished[g.key] = g.sample("stop")
            else:
                going_on.append(g)
        journal.append(finished)
        progress.update(len(finished))
        return going_on


def sampling_for(prompt_type: str, tokenizer: Any, *, temperature: float, top_p: float, max_tokens: int) -> Sampling:
    """Sampling with the prompt's stop strings.

    Engines end at the ids that tokenizer and generation config name. A stop string that is a single special
    token of this tokenizer is given as an id too, since special tokens do not show up in the text. The
    model's name plays no part.
    """
    special = set(tokenizer.all_special_tokens) | set(tokenizer.get_added_vocab())
    ids = [tokenizer.convert_tokens_to_ids(stop) for stop in COMMON_STOPS if stop in special]
    return Sampling(
        temperature=temperature,
        top_p=top_p,
        max_new_tokens=max_tokens,
        stop_token_ids=tuple(sorted(set(ids))),
        stop=stop_strings(prompt_type),
    )
