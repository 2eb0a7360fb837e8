"""Starts learner_program.py, one process per rank."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from openrlhf.utils.network import free_port

PROGRAM = Path(__file__).with_name("learner_program.py")


def launch(folder: Path, world_size: int, scenarios: dict[str, dict]) -> dict:
    """Runs all scenarios on `world_size` ranks; returns what rank 0 wrote, by scenario.

    The model is {folder}/model unless a scenario has its own `pretrain`.
    """
    output = folder / f"results{world_size}.pt"
    model = str(folder / "model")
    settings = json.dumps({name: {"pretrain": model, **flags} for name, flags in scenarios.items()})
    port = str(free_port())
    ranks = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(rank), str(world_size), port, settings, str(output)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world_size)
    ]
    logs = [process.communicate(timeout=540)[0] for process in ranks]
    assert all(process.returncode == 0 for process in ranks), "\n".join(logs)[-4000:]
    return torch.load(output, weights_only=True)
