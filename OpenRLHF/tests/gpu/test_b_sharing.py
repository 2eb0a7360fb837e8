"""What processes on the same GPU, or on two, owe one another: CUDA IPC, memory given back, collectives over NCCL."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from openrlhf.rollout.checksum import bit_sum


def read(inbox: Any, outbox: Any) -> None:
    """A process that is handed tensors and tells their checksums."""
    while (tensor := inbox.get()) is not None:
        outbox.put(bit_sum(tensor))
        del tensor


def test_another_process_reads_weights_through_cuda_ipc(device: torch.device, record: Callable) -> None:
    """The handles are those that vLLM's transport uses (torch.multiprocessing.reductions); no byte is copied."""
    context = torch.multiprocessing.get_context("spawn")
    inbox, outbox = context.Queue(), context.Queue()
    reader = context.Process(target=read, args=(inbox, outbox), daemon=True)
    reader.start()
    try:
        torch.manual_seed(0)
        for dtype in (torch.bfloat16, torch.float32):
            weights = torch.randn(1000, 1000, device=device).to(dtype)
            for _ in range(2):
                inbox.put(weights)
                assert outbox.get(timeout=120) == bit_sum(weights)
                weights += 1  # in place: the reader sees the same memory
            record(dtype=str(dtype), bytes=weights.nbytes)
    finally:
        inbox.put(None)
        reader.join(timeout=30)


def test_two_ranks_train_as_one_does(tmp_path: Path, record: Callable) -> None:
    if torch.cuda.is_available() and torch.cuda.device_count() < 2:
        pytest.skip("one GPU; two ranks over NCCL need two")
    from launching import launch

    from toy_models import save_toy

    model = save_toy(tmp_path / "model")
    scenarios: dict[str, dict] = {"intro": {"steps": 3}}
    one, two = (launch("learner_program.py", tmp_path, ranks, scenarios, pretrain=model) for ranks in (1, 2))
    assert two["intro"]["losses"] == pytest.approx(one["intro"]["losses"], rel=1e-4)
    record(one=one["intro"]["losses"], two=two["intro"]["losses"])
