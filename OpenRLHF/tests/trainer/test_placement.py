"""Where ranks and engines are put: on placement data, and on two simulated nodes with faked GPUs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from openrlhf.errors import UserError
from openrlhf.trainer.ray.cluster import Share, engine_bundles, node_by_node
from toy_models import save_toy

# What Ray made of a group of eight bundles that is spread over two nodes.
INTERLEAVED = ("b", "a", "b", "a", "a", "b", "b", "a")


def share(nodes: tuple[str, ...]) -> Share:
    order = node_by_node(nodes)
    return Share(None, 1.0, 1.0, order, tuple(nodes[index] for index in order))


def test_bundles_of_a_node_are_neighbours_whatever_their_numbers() -> None:
    assert node_by_node(INTERLEAVED) == (0, 2, 5, 6, 1, 3, 4, 7)
    assert node_by_node(("a", "a", "b")) == (0, 1, 2)


def test_colocated_engines_keep_to_a_node() -> None:
    own = share(INTERLEAVED)
    found = [engine_bundles(own, number, 2, colocated=True) for number in range(4)]
    assert found == [([0, 2], "b"), ([5, 6], "b"), ([1, 3], "a"), ([4, 7], "a")]
    assert engine_bundles(own, 0, 8, colocated=True) == ([0, 2, 5, 6, 1, 3, 4, 7], "b")  # more than a node has


def test_an_engine_that_would_straddle_nodes_without_need_is_refused() -> None:
    own = share(("a", "a", "a", "b", "b", "b"))
    with pytest.raises(UserError, match="engine 1 would have its GPUs on a and b"):
        engine_bundles(own, 1, 2, colocated=True)


@pytest.mark.faults
@pytest.mark.slow
def test_two_nodes_with_a_placement_that_interleaves(tmp_path: Path) -> None:
    """Two steps of ZeRO-3 on four ranks, each rank's own GPU without Ray's help, and the name of a node that dies."""
    program = Path(__file__).with_name("two_nodes.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray listens on loopback
    command = [sys.executable, str(program), save_toy(tmp_path / "model")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    told = dict(
        line.split(": ", 1) for line in done.stdout.splitlines() if re.match("(nodes|gpus|losses|loss): ", line)
    )
    first, second = re.findall(r"\w+", told["nodes"])[::2]
    assert {first, second} == {"alpha", "beta"}
    assert told["nodes"] == f"{first} {first} {second} {second}"
    assert told["gpus"] == "0 1 0 1"
    first_loss, second_loss = map(float, told["losses"].split())
    assert 0 < second_loss < first_loss
    assert re.search(r"rank [0-3] of the actor on node beta died", told["loss"])
