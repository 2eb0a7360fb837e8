"""All ranks of a role, called together: as Ray actors (`ray.role_group`), or one rank in this process."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from openrlhf.config.reinforcement import RLConfig
from openrlhf.experience.example import Example, idle_example
from openrlhf.trainer.batching import deal, split_over_ranks
from openrlhf.trainer.worker import Worker
from openrlhf.utils.tally import Tally


class RoleGroup(ABC):
    """`begin…` start work on all ranks and return at once; the pending call waits for it."""

    config: RLConfig
    world_size: int

    @abstractmethod
    def begin(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> Callable[[], list[Any]]:
        """Calls a method on every rank, each with its own arguments; the results come in the order of the ranks."""

    @abstractmethod
    def shutdown(self) -> None: ...

    def call(self, method: str, *arguments: Any) -> list[Any]:
        """The same collective call on every rank; one result per rank."""
        return self.begin(method, [arguments] * self.world_size)()

    def begin_train_step(
        self,
        examples: Sequence[Example],
        *arguments: Any,
        pretraining: Sequence[Example] = (),
    ) -> Callable[[], Tally]:
        """One optimiser step on these examples, balanced over the ranks."""
        parts = [self._shares(examples)]
        if pretraining:
            parts.append(self._shares(pretraining))
        pending = self.begin("train_step", [(own[0], *arguments, *own[1:]) for own in zip(*parts, strict=True)])

        def finish() -> Tally:
            total = Tally()
            for tally in pending()[:: self.config.model.ring_attn_size]:
                total.merge(tally)
            return total

        return finish

    def _shares(self, examples: Sequence[Example]) -> list[list[list[Example]]]:
        size, each = self.config.optimizer.micro_train_batch_size, self.config.model.ring_attn_size
        budget = self.config.optimizer.max_tokens_per_micro_batch
        return split_over_ranks(examples, self.world_size, size, ranks_per_share=each, max_tokens=budget)

    def begin_score(self, examples: Sequence[Example]) -> Callable[[], list[list[float]]]:
        """The role's number for every scored token, in the order of the examples."""
        each, size = self.config.model.ring_attn_size, self.config.rollout.micro_rollout_batch_size
        dealt = deal([len(e.ids) for e in examples], self.world_size // each, size)
        shares = [[[examples[i] for i in micro] or [idle_example()] for micro in own] for own in dealt]
        pending = self.begin("score", [(share,) for share in shares for _ in range(each)])

        def finish() -> list[list[float]]:
            found: list[list[float]] = [[]] * len(examples)
            for own, results in zip(dealt, pending()[::each], strict=True):
                for micro, values in zip(own, results, strict=True):
                    for index, value in zip(micro, values, strict=False):  # an idle row has no index
                        found[index] = value
            return found

        return finish


class LocalGroup(RoleGroup):
    """A role of one rank in this process, which must have a process group of its own already."""

    world_size = 1

    def __init__(self, worker: Worker, host: str, port: int) -> None:
        self.config = worker.config
        self.worker = worker
        worker.setup(host, port)

    def begin(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> Callable[[], list[Any]]:
        results = [getattr(self.worker, method)(*own) for own in arguments]
        return lambda: results

    def shutdown(self) -> None:
        pass
