"""Between sampling and the update: which rollouts are trained on, what roles say of them, the rows they become."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from openrlhf.config.method import PosteriorSettings
from openrlhf.config.reinforcement import RLConfig
from openrlhf.experience.example import Example, response_positions
from openrlhf.experience.rollout import Rollout, groups
from openrlhf.experience.words import TaskTokens
from openrlhf.methods.base import method_of
from openrlhf.objectives.correction import BEHAVIOUR
from openrlhf.trainer.role_group import RoleGroup
from openrlhf.utils.seeding import derive_seed


class Assembler:
    """Asks the method, and gives it what it needs. reference, critic: None where there are no such ranks."""

    def __init__(
        self,
        config: RLConfig,
        tokenizer: Any,
        policy: RoleGroup,
        reference: RoleGroup | None = None,
        critic: RoleGroup | None = None,
    ) -> None:
        self._config = config
        self._method = method_of(config)
        self._tokenizer = tokenizer
        self._task = TaskTokens(tokenizer) if isinstance(self._method, PosteriorSettings) else None
        self._policy = policy if self._method.needs_old_logprobs else None
        roles = {"reference": reference, "value": critic}
        self._scorers = {name: role for name, role in roles.items() if role is not None}

    def prepare(self, rollouts: Sequence[Rollout], step: int, kl_coef: float) -> tuple[list[Rollout], dict[str, float]]:
        """Marks the rollouts to train on, with their hints and the method's columns; and figures to log.

        kl_coef: the present weight of KL.
        """
        outcomes, prepared = [], []
        for group in groups(rollouts):
            found = self._method.outcomes(group)
            outcomes += [outcome for outcome in found if outcome is not None]
            prepared += [
                rollout if outcome is None else replace(rollout, trained=True, hints=self._hints(rollout, group))
                for rollout, outcome in zip(group, found, strict=True)
            ]
        figures = self._method.step_figures(list(groups(prepared)))
        trained = [i for i, rollout in enumerate(prepared) if rollout.trained]
        if not trained:
            return prepared, figures
        chosen = [prepared[i] for i in trained]
        scored = self._scores(chosen, self._fresh(rollouts, step))
        sampled = [torch.tensor(rollout.logprobs) for rollout in chosen]
        columns, more = self._method.columns(outcomes, {"engine": sampled, **scored}, self._config, kl_coef)
        for position, i in enumerate(trained):
            values = {name: values[position].tolist() for name, values in {**scored, **columns}.items()}
            prepared[i] = replace(prepared[i], columns={name: own for name, own in values.items() if own})
        return prepared, {**figures, **more}

    def _fresh(self, rollouts: Sequence[Rollout], step: int) -> set[tuple[int, int]]:
        """The rollouts that the policy meets before it has moved: its first update on them reads old log-probabilities
        off its own pass. Empty where the columns compare old log-probabilities with the reference's."""
        optimizer = self._config.optimizer
        if optimizer.max_epochs > 1 or "reference" in self._scorers:
            return set()
        first = next(train_batches(rollouts, optimizer.train_batch_size, seed=optimizer.seed, step=step))
        return {(rollout.prompt.index, rollout.sample) for rollout in first}

    def examples(self, batch: Sequence[Rollout], step: int, first: bool) -> list[Example]:
        """What is trained on of one optimiser batch, with weights normalised over all of it; may be nothing.

        first: the policy has not moved in this step. Where its weights are also those that sampled, its
            log-probabilities should equal the engine's; only then are these handed on for comparison.
        """
        trained = [rollout for rollout in batch if rollout.trained]
        if not trained:
            return []
        sampled = ["engine"] if first and all({*rollout.versions} <= {step - 1} for rollout in trained) else []
        sampled += [BEHAVIOUR] if self._config.rollout.corrects else []
        weights = self._method.weights([len(rollout.token_ids) for rollout in trained], self._config)
        seed = self._config.optimizer.seed
        return [
            Example(
                ids=rollout.prompt.token_ids + rollout.token_ids,
                scored=response_positions(rollout),
                weight=weight,
                hints=rollout.hints,
                hint_at=len(rollout.prompt.token_ids),
                seed=derive_seed(seed, "candidates", step, rollout.prompt.index, rollout.sample),
                columns={**rollout.columns, **self._further(rollout, sampled)},
            )
            for rollout, weight in zip(trained, weights, strict=True)
        ]

    def _further(self, rollout: Rollout, sampled: Sequence[str]) -> dict[str, Sequence[float]]:
        """sampled: the names under which the engine's log-probabilities are wanted."""
        found: dict[str, Sequence[float]] = dict.fromkeys(sampled, rollout.logprobs)
        return found if self._task is None else {**found, "task": self._task.column(rollout.token_ids)}

    def _hints(self, rollout: Rollout, group: Sequence[Rollout]) -> tuple[tuple[int, ...], ...]:
        return tuple(hint_ids(self._tokenizer, hint) for hint in self._method.hints(rollout, group))

    def _scores(self, rollouts: Sequence[Rollout], fresh: set[tuple[int, int]]) -> dict[str, list[torch.Tensor]]:
        """What each role says of the tokens of each response; of `fresh` ones the policy says nothing."""
        rows = [
            Example(rollout.prompt.token_ids + rollout.token_ids, response_positions(rollout), weight=1.0)
            for rollout in rollouts
        ]
        pending = {name: role.begin_score(rows) for name, role in self._scorers.items()}
        found = {}
        if self._policy is not None:
            known = [(rollout.prompt.index, rollout.sample) not in fresh for rollout in rollouts]
            older = [row for row, wanted in zip(rows, known, strict=True) if wanted]
            values = iter(self._policy.begin_score(older)() if older else ())
            found["old_logprob"] = [torch.tensor(next(values) if wanted else ()) for wanted in known]
        return found | {name: [torch.tensor(values) for values in finish()] for name, finish in pending.items()}


def hint_ids(tokenizer: Any, hint: str) -> tuple[int, ...]:
    """A hint, tokenised on its own and without special tokens."""
    return tuple(tokenizer(hint, add_special_tokens=False)["input_ids"]) if hint else ()


def train_batches(
    rollouts: Sequence[Rollout], batch_size: int, *, seed: int, step: int, epochs: int = 1
) -> Iterator[list[Rollout]]:
    """Shuffles the sampled rationales and cuts them into optimiser batches; the last one may be smaller.

    A batch counts sampled rationales, trained on or not, so that the number of steps is known before the run.
    """
    for epoch in range(epochs):
        order = sorted(rollouts, key=lambda r: derive_seed(seed, "batches", step, epoch, r.prompt.index, r.sample))
        for start in range(0, len(order), batch_size):
            yield order[start : start + batch_size]
