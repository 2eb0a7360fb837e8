"""How many CPU threads a process computes with."""

import os
from typing import Any

# Narrower models have matrices that are done before a second thread has begun: of width 128 vLLM made 6,300 tokens/s
# with one thread and 3,800 with two, of width 576 it made 160 and 280. Beside other work it is worse: threads spin
# while they wait for one that has no core.
SHARED_WIDTH = 256

# Threads that wait sleep instead; for processes that are yet to be started.
SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE"}


def set_threads(config: Any) -> None:
    """As many as OMP_NUM_THREADS says, by default one per core, but one for a narrow model.

    config: of transformers.
    """
    import torch

    narrow = config.get_text_config().hidden_size < SHARED_WIDTH
    torch.set_num_threads(1 if narrow else int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
