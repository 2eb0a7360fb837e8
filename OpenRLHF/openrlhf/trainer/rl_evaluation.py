"""Evaluation while a run goes on: held-out problems, and problems with the answer in the hint."""

from collections.abc import Sequence
from typing import Any

from openrlhf.datasets.prompts import Prompt
from openrlhf.evaluation.metrics import pass_at_k
from openrlhf.rollout.engine import Sampling
from openrlhf.trainer.algorithm import hint_ids
from openrlhf.trainer.rollouts import Rollout, RolloutMaker


class Evaluator:
    """held_out: problems of --eval_dataset, may be empty. hinted: those for hinted accuracy."""

    def __init__(
        self, args: Any, rollouts: RolloutMaker, tokenizer: Any, held_out: Sequence[Prompt], hinted: Sequence[Prompt]
    ) -> None:
        self._args = args
        self._rollouts = rollouts
        self._tokenizer = tokenizer
        self._held_out = held_out
        self._hinted = hinted

    def evaluate(self, step: int) -> dict[str, float]:
        """Accuracy over all samples, pass@k where several are drawn, length and truncation; {} without data."""
        if not self._held_out:
            return {}
        count = self._args.eval_n_samples
        sampling = Sampling(
            temperature=self._args.eval_temperature,
            top_p=self._args.top_p if self._args.eval_temperature else 1.0,
            max_new_tokens=self._args.generate_max_len,
        )
        made = self._rollouts.make(self._held_out, count, sampling, purpose="evaluate", step=step)
        metrics = {
            "eval/accuracy": _accuracy(made),
            "eval/response_length": sum(len(r.token_ids) for r in made) / len(made),
            "eval/truncated_share": sum(r.finish_reason == "length" for r in made) / len(made),
            "eval/problems": float(len(self._held_out)),
        }
        if count > 1:
            right = [sum(r.correct for r in made[i : i + count]) for i in range(0, len(made), count)]
            metrics[f"eval/pass@{count}"] = sum(pass_at_k(count, c, count) for c in right) / len(right)
        return metrics

    def evaluate_hinted(self, step: int) -> dict[str, float]:
        """Greedy accuracy with the gold answer in the hint: it falls early when the posterior drifts (INTRO.md §3b)."""
        if not self._hinted:
            return {}
        hints = [hint_ids(self._tokenizer, self._args.intro_answer_template, p.label) for p in self._hinted]
        sampling = Sampling(temperature=0.0, max_new_tokens=self._args.generate_max_len)
        made = self._rollouts.make(self._hinted, 1, sampling, purpose="hinted", step=step, hints=hints)
        return {"train/hinted_accuracy": _accuracy(made)}


def _accuracy(rollouts: Sequence[Rollout]) -> float:
    return sum(rollout.correct for rollout in rollouts) / len(rollouts)
