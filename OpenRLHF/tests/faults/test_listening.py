"""Ranks that are all on this machine meet where no other machine can reach them."""

import json
import os
import subprocess
import sys

from openrlhf.utils.network import free_port

PROGRAM = """
import json, os, sys
import psutil, torch
import torch.distributed as dist
from openrlhf.trainer.deepspeed_setup import init_process_group

os.environ["RANK"] = sys.argv[1]
init_process_group()
total = torch.ones(1)
dist.all_reduce(total)
found = {c.laddr.ip for c in psutil.Process().net_connections("inet") if c.status == "LISTEN"}
dist.barrier()
print(json.dumps({"total": float(total), "listening": sorted(found)}))
"""


def test_the_store_and_the_ranks_listen_on_loopback_alone() -> None:
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    environment = {**os.environ, **meeting, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(rank)], env=environment, stdout=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    for rank in ranks:
        out, _ = rank.communicate(timeout=120)
        seen = json.loads(out.splitlines()[-1])
        assert seen["total"] == 2
        assert seen["listening"] == ["127.0.0.1"]
