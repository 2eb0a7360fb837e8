"""Evaluation while a run goes on: held-out problems, and problems with the answer in the hint."""

from collections.abc import Sequence
from typing import Any

from openrlhf.config.method import AnswerHint
from openrlhf.config.reinforcement import RLConfig
from openrlhf.config.rules import hinted_evaluation
from openrlhf.evaluation.figures.metrics import pass_at_k
from openrlhf.experience.prompt import Prompt
from openrlhf.experience.rollout import Rollout
from openrlhf.rollout.engine import Sampling
from openrlhf.trainer.assembly import hint_ids
from openrlhf.trainer.rollout_maker import RolloutMaker
from openrlhf.trainer.run_log import is_due


class Evaluator:
    """held_out: problems of --eval_dataset, may be empty. hinted: those for hinted accuracy."""

    def __init__(
        self,
        config: RLConfig,
        rollouts: RolloutMaker,
        tokenizer: Any,
        held_out: Sequence[Prompt],
        hinted: Sequence[Prompt],
    ) -> None:
        self._config = config
        self._hinted_every = hinted_evaluation(config)[0]
        self._rollouts = rollouts
        self._tokenizer = tokenizer
        self._held_out = held_out
        self._hinted = hinted

    def is_due(self, step: int) -> bool:
        """Whether anything is evaluated after this step."""
        return is_due(step, self._config.logging.eval_steps) or is_due(step, self._hinted_every)

    def at(self, step: int) -> dict[str, float]:
        """All that is due after this step."""
        metrics = self.evaluate_hinted(step) if is_due(step, self._hinted_every) else {}
        return metrics | (self.evaluate(step) if is_due(step, self._config.logging.eval_steps) else {})

    def evaluate(self, step: int) -> dict[str, float]:
        """Accuracy over all samples, pass@k where several are drawn, length and truncation; {} without data."""
        if not self._held_out:
            return {}
        settings, rollout = self._config.evaluation, self._config.rollout
        count, temperature = settings.eval_n_samples, settings.eval_temperature
        sampling = Sampling(
            temperature=temperature,
            top_p=rollout.top_p if temperature else 1.0,
            max_new_tokens=rollout.generate_max_len,
            stop=rollout.stop,
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
        """Greedy accuracy with the gold answer in the hint: it falls early when the posterior drifts."""
        method = self._config.method
        if not self._hinted or not isinstance(method, AnswerHint):
            return {}
        hints = [hint_ids(self._tokenizer, method.prompt_hint(p.label, p.fields)) for p in self._hinted]
        rollout = self._config.rollout
        sampling = Sampling(temperature=0.0, max_new_tokens=rollout.generate_max_len, stop=rollout.stop)
        made = self._rollouts.make(self._hinted, 1, sampling, purpose="hinted", step=step, hints=hints)
        return {"train/hinted_accuracy": _accuracy(made)}


def _accuracy(rollouts: Sequence[Rollout]) -> float:
    return sum(rollout.correct for rollout in rollouts) / len(rollouts)
