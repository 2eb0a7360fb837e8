"""How many CPU threads a process computes with."""

import os
from typing import Any

# Narrower models have matrices that are done before a second thread has begun. At width 128 vLLM gained nothing sure
# from two threads on an idle machine (5,000 to 6,000 and 5,800 to 7,400 tokens/s) and lost beside other work (6,300 and
# 3,800), where threads wait for one that has no core. At width 576 it made 160 and 280.
SHARED_WIDTH = 256

# Threads that wait sleep instead; for processes that are yet to be started.
SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE"}


def thread_count(config: Any, most: int | None = None) -> int:
    """At most so many, by default one per core, but one for a narrow model. config: of transformers."""
    return 1 if config.get_text_config().hidden_size < SHARED_WIDTH else max(1, most or os.cpu_count() or 1)


def set_threads(config: Any) -> None:
    """At most as many as OMP_NUM_THREADS says, in this thread and those that it starts; config: as above."""
    import torch

    torch.set_num_threads(thread_count(config, int(os.environ.get("OMP_NUM_THREADS") or 0)))
