"""Programs that run as one process per rank: how tests start them, and what they share."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist

from openrlhf.utils.network import free_port

FOLDER = Path(__file__).parent


def launch(program: str, folder: Path, world_size: int, scenarios: dict[str, dict], **common: str) -> dict:
    """Runs all scenarios of a program beside this file on `world_size` ranks; returns what rank 0 made, by scenario.

    All run in the same processes, since starting them takes longer than running them. common: settings of every
    scenario that does not have its own.
    """
    output = folder / f"results{world_size}.pt"
    settings = json.dumps({name: {**common, **flags} for name, flags in scenarios.items()})
    port = str(free_port())
    ranks = [
        subprocess.Popen(
            [sys.executable, str(FOLDER / program), str(rank), str(world_size), port, settings, str(output)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), **_own_gpu(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world_size)
    ]
    logs = [process.communicate(timeout=540)[0] for process in ranks]
    assert all(process.returncode == 0 for process in ranks), "\n".join(log[-3000:] for log in logs)
    return torch.load(output, weights_only=True)


def _own_gpu(rank: int) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": str(rank)} if torch.cuda.is_available() else {}


def run_as_rank(run: Callable[[dict, int, int], dict]) -> None:
    """Body of such a program: `run(settings, rank, world size)` for every scenario that `launch` handed over."""
    rank, world_size, port, scenarios, output = sys.argv[1:]
    os.environ.update(RANK=rank, WORLD_SIZE=world_size, LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    from openrlhf.trainer.deepspeed_setup import init_process_group

    init_process_group()
    results = {name: run(settings, int(rank), int(world_size)) for name, settings in json.loads(scenarios).items()}
    if rank == "0":
        torch.save(results, output)
    dist.barrier()
