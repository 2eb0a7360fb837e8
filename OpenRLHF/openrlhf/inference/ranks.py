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
        if self.count > 1:
            import torch
            import torch.distributed as dist

            dist.init_process_group("gloo", timeout=_LONGEST_RUN)  # only texts and numbers are exchanged, at the end
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())

    @property
    def first(self) -> bool:
        return self.index == 0

    def share(self, rows: Sequence[Row]) -> list[Row]:
        """Every `count`-th row, beginning with this rank's number."""
        return list(rows[self.index :: self.count])

    def gather(self, results: dict) -> dict:
        """The results of all ranks together on the first rank; on the others their own. Ends the group."""
        if self.count == 1:
            return results
        import torch.distributed as dist

        parts: list[Any] | None = [None] * self.count if self.first else None
        dist.gather_object(results, parts, dst=0)
        dist.destroy_process_group()
        return results if parts is None else {key: value for part in parts for key, value in part.items()}
