"""A Ray of one's own, whatever clusters this machine remembers."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from openrlhf.utils import ray_connection
from openrlhf.utils.network import free_port

# Connects as the commands do, and prints on which addresses this process and all that it started listen.
PROGRAM = """
import json, sys
import psutil
import ray  # before anything could tell it to stay on loopback
from openrlhf.utils import ray_connection
from openrlhf.utils.ray_connection import connect, disconnect

connect()
folder = ray_connection._own_folder
ray.get(ray.remote(lambda: 1).remote())
ray_connection._check_answers(ray.get_runtime_context().gcs_address)
me = psutil.Process()
found = [c for p in [me, *me.children(recursive=True)] for c in p.net_connections("inet")]
seen = {"nodes": len(ray.nodes()), "listening": [c.laddr.ip for c in found if c.status == "LISTEN"]}
seen["modes"] = [oct(path.stat().st_mode & 0o777) for path in (folder, folder / "token")]
disconnect()
print(json.dumps({**seen, "left": folder.exists()}))
"""


@pytest.mark.slow
def test_ray_stays_on_loopback_and_does_not_follow_the_note_of_a_dead_cluster():
    without_mode = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:  # short: Ray's sockets lie in it
        note = Path(folder) / "ray" / "ray_current_cluster"
        note.parent.mkdir()
        note.write_text(f"127.0.0.1:{free_port()}")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**without_mode, "RAY_TMPDIR": folder, "RAY_ADDRESS": "", "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["nodes"] == 1
    assert len(seen["listening"]) > 5
    assert seen["modes"] == ["0o700", "0o600"]
    assert not seen["left"]
    assert {address.removeprefix("::ffff:") for address in seen["listening"]} == {"127.0.0.1"}


def test_what_a_killed_command_left_is_removed_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    for name in ("ray-killed", "ray-living", "ray-other"):
        (tmp_path / name).mkdir()
    (tmp_path / "ray-killed" / "alive").touch()
    (tmp_path / "ray-killed" / "token").touch()
    holder = ray_connection._held(tmp_path / "ray-living" / "alive")
    ray_connection._clear_leftovers(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["ray-living", "ray-other"]
    assert holder is not None
    holder.close()
    ray_connection._clear_leftovers(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["ray-other"]
