"""Tests that only a GPU can answer; `benchmarks/gpu.sh` runs them on a machine that has one.

They need torch, transformers and DeepSpeed, neither Ray nor vLLM nor a network. INTRO_GPU_TOY=1 runs them on the CPU,
which shows that they run, not that a GPU agrees.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[2] / "benchmarks"), str(HERE.parent / "trainer")]
TOY = os.environ.get("INTRO_GPU_TOY") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if not (torch.cuda.is_available() or TOY):
                item.add_marker(pytest.mark.skip(reason="no GPU here (INTRO_GPU_TOY=1 runs it on the CPU)"))


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Writes figures down at once: to the file INTRO_GPU_RESULTS, if that is set, and to the test's output."""

    def write(**figures: Any) -> None:
        line = json.dumps({"test": request.node.name, **figures})
        print(line)
        if target := os.environ.get("INTRO_GPU_RESULTS"):
            with open(target, "a", encoding="utf-8") as file:
                file.write(line + "\n")

    return write
