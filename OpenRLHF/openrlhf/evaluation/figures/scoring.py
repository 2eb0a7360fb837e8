"""Grades responses: every distinct pair of extracted answer and gold once, and votes by equivalence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from openrlhf.evaluation.figures import metrics
from openrlhf.evaluation.generation.transcripts import answer_of_programs
from openrlhf.evaluation.questions.benchmarks import Benchmark
from openrlhf.evaluation.questions.problems import AnswerKind, Problem
from openrlhf.evaluation.questions.prompts import style
from openrlhf.grading import GradingPolicy, GradingPool, Verdict, extract_answer
from openrlhf.grading.extraction.boxes import find_boxes

Pair = tuple[str, str]


@dataclass(frozen=True)
class Scored:
    """One response, graded. how: the grader's word for how it decided, "no_answer" where there was none."""

    answer: str | None
    right: bool
    how: str
    boxed: bool


class Grader:
    """Grades the responses to a benchmark; remembers verdicts, so that no pair is compared twice."""

    def __init__(self, entry: Benchmark, prompt_type: str, pool: GradingPool) -> None:
        self.entry = entry
        self.prompt_type = prompt_type
        self.pool = pool
        self._verdicts: dict[tuple[GradingPolicy, Pair], Verdict] = {}

    def policy(self, problem: Problem) -> GradingPolicy:
        """The benchmark's policy, for this kind of answer. After `direct` the response is the answer."""
        policy = self.entry.policy
        if problem.kind is AnswerKind.CHOICE:
            policy = replace(policy, answer_kind="choice", last_number=False)
        elif self.prompt_type == "direct":
            policy = replace(policy, last_number=True)
        return policy

    def score(self, problems: Sequence[Problem], responses: Sequence[Sequence[str]]) -> list[list[Scored]]:
        """One row per problem, one entry per response; `responses[i]` belong to `problems[i]`."""
        policies = [self.policy(problem) for problem in problems]
        answers = [
            [self._extract(text, policy) for text in texts] for texts, policy in zip(responses, policies, strict=True)
        ]
        self._grade_new(
            (policy, (answer, gold))
            for problem, policy, row in zip(problems, policies, answers, strict=True)
            for answer in row
            if answer
            for gold in (problem.gold, *problem.also)
        )
        return [
            [self._scored(a, t, problem, policy) for a, t in zip(row, texts, strict=True)]
            for problem, policy, row, texts in zip(problems, policies, answers, responses, strict=True)
        ]

    def majority(self, problems: Sequence[Problem], scored: Sequence[Sequence[Scored]]) -> list[float]:
        """For each problem whether the most voted answer is right (`metrics.majority_is_right`)."""
        policies = [self.policy(problem) for problem in problems]
        votes = [([s.answer for s in row], [s.right for s in row]) for row in scored]
        contested = [metrics.vote_needs_comparison(answers, right) for answers, right in votes]
        self._grade_new(
            (policy, (first, second))
            for policy, distinct in zip(policies, contested, strict=True)
            for i, first in enumerate(distinct)
            for second in distinct[i + 1 :]
        )

        def outcome(policy: GradingPolicy, answers: list[str | None], right: list[bool]) -> float:
            return metrics.majority_is_right(
                answers, right, lambda first, second: self._verdicts[policy, (first, second)].equal
            )

        return [outcome(policy, *vote) for policy, vote in zip(policies, votes, strict=True)]

    def _extract(self, text: str, policy: GradingPolicy) -> str | None:
        answer = extract_answer(text, policy)
        if answer is None and style(self.prompt_type).runs_code:
            answer = answer_of_programs(text)
        return answer

    def _grade_new(self, wanted: Iterable[tuple[GradingPolicy, Pair]]) -> None:
        by_policy: dict[GradingPolicy, dict[Pair, None]] = {}
        for policy, pair in wanted:
            if (policy, pair) not in self._verdicts:
                by_policy.setdefault(policy, {})[pair] = None
        for policy, pairs in by_policy.items():
            for pair, verdict in zip(pairs, self.pool.grade_batch(list(pairs), policy), strict=True):
                self._verdicts[policy, pair] = verdict

    def _scored(self, answer: str | None, text: str, problem: Problem, policy: GradingPolicy) -> Scored:
        boxed = bool(find_boxes(text))
        if not answer:
            return Scored(None, False, "no_answer", boxed)
        verdicts = [self._verdicts[policy, (answer, gold)] for gold in (problem.gold, *problem.also)]
        deciding = next((v for v in verdicts if v.equal), verdicts[0])
        return Scored(answer, deciding.equal, deciding.how, boxed)
