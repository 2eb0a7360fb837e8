"""Several processes (torchrun, deepspeed) that share the rows of one inference run."""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

Row = TypeVar("Row")

# The first rank to finish waits for the last one.
_LONGEST_RUN = timedelta(days=7)


class Ranks:
    """This process among those that a launcher started; without a launcher it is the only one."""

    def __init__(self) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.index = int(os.environ.get("RANK", "0"))
        self._group: Any = None
        if self.count > 1:
            import torch.distributed as dist

            from openrlhf.trainer.deepspeed_setup import init_process_group

            init_process_group(_LONGEST_RUN)
            self._group = dist.new_group(backend="gloo", timeout=_LONGEST_RUN)  # texts do not belong on GPUs

    @property
    def first(self) -> bool:
        return self.index == 0

    def share(self, rows: Sequence[Row]) -> list[Row]:
        """Every `count`-th row, beginning with this rank's number."""
        return list(rows[self.index :: self.count])

    def gather(self, results: dict) -> dict:
        """The results of all ranks together on the first rank; on the others their own. Ends the group."""
        if self._group is None:
            return results
        import torch.distributed as dist

        parts: list[Any] | None = [None] * self.count if self.first else None
        dist.gather_object(results, parts, dst=0, group=self._group)
        dist.destroy_process_group()
        return results if parts is None else {key: value for part in parts for key, value in part.items()}
