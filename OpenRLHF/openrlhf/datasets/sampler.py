"""The order in which samples are seen: shuffled anew in each epoch, and able to continue from anywhere."""

from collections.abc import Iterator, Mapping

from openrlhf.errors import UserError
from openrlhf.utils.seeding import derive_seed


class EpochSampler:
    """Yields batches of indices below `count`, epoch after epoch; the last batch of an epoch may be smaller.

    The order of an epoch is a pure function of (seed, epoch, count). The position moves on when a batch is
    handed out, so a state saved while a batch is being worked on continues with the one after it.
    """

    def __init__(self, count: int, batch_size: int, *, seed: int, epochs: int = 1) -> None:
        if count < 1 or batch_size < 1 or epochs < 0:
            raise ValueError(f"cannot sample from {count} with batches of {batch_size} for {epochs} epochs")
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.epochs = epochs
        self.epoch = 0
        self.position = 0

    @property
    def batches_per_epoch(self) -> int:
        return -(-self.count // self.batch_size)

    def __len__(self) -> int:
        """Batches in all epochs, counted from the beginning."""
        return self.epochs * self.batches_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        """Continues at the current position."""
        while self.epoch < self.epochs:
            order = shuffled(self.count, self.seed, self.epoch)
            while self.position < self.count:
                batch = order[self.position : self.position + self.batch_size]
                self.position += len(batch)
                yield batch
            self.epoch += 1
            self.position = 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position, "count": self.count, "seed": self.seed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Goes to a saved position. The batch size may differ from the one that the state was saved with.

        UserError: the state is of other data or another seed, so its position means nothing here.
        """
        count, seed = state.get("count"), state.get("seed")
        if (count, seed) != (self.count, self.seed) or not state.keys() >= {"epoch", "position"}:
            raise UserError(
                f"the saved position belongs to {count} samples and seed {seed}, but there"
                f" are {self.count} samples and seed {self.seed}: use the same data and --seed, or start anew"
            )
        self.epoch, self.position = state["epoch"], state["position"]


def endless_batch(count: int, batch_size: int, *, seed: int, number: int) -> list[int]:
    """Batch `number` (from 0) of an endless pass over `count` samples, shuffled anew in each epoch."""
    orders: dict[int, list[int]] = {}
    batch = []
    for position in range(number * batch_size, (number + 1) * batch_size):
        epoch, place = divmod(position, count)
        if epoch not in orders:
            orders[epoch] = shuffled(count, seed, epoch)
        batch.append(orders[epoch][place])
    return batch


def shuffled(count: int, seed: int, epoch: int) -> list[int]:
    return sorted(range(count), key=lambda index: derive_seed(seed, "shuffle", epoch, index))
