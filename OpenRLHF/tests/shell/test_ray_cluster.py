"""Heads that scripts start for themselves: where they listen, what they return, and that they end alone."""

import os
import signal
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 120.0
ARGUMENT = " ###A:{answer} $HOME \"\\boxed{'x'}\" `id`"


@pytest.fixture
def start(tmp_path):
    """A function that starts a script which sources ray_cluster.sh; what is left of it is killed at the end."""
    started = []

    def run(body: str) -> subprocess.Popen:
        script = tmp_path / f"{len(started)}.sh"
        script.write_text(f'set -euo pipefail\nsource "{ROOT}/code/examples/ray_cluster.sh"\n{body}\n')
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        environment.update(PYTHONPATH=str(ROOT / "OpenRLHF"), RAY_NUM_CPUS="2", OMP_NUM_THREADS="1")
        process = subprocess.Popen(
            ["bash", str(script)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a process group to send Ctrl-C to, as a terminal does
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)


def wait_for(condition, what: str):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.2)
    pytest.fail(f"no {what} within {PATIENCE:g} s")


def content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def is_loopback(text: str) -> bool:
    address = ip_address(text)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def outside_loopback(process: psutil.Process) -> list[tuple[str, str]]:
    """Names and addresses of what the process and its descendants listen with, other than loopback."""
    found = []
    for one in (process, *process.children(recursive=True)):
        try:
            listening = [c for c in one.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN]
            found += [(one.name(), c.laddr.ip) for c in listening if not is_loopback(c.laddr.ip)]
        except psutil.NoSuchProcess:
            continue
    return found


def name_of(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return ""


@pytest.fixture
def host(start, tmp_path):
    """A script that ran two jobs on its own head, and waits for the file `done` before it runs a third.

    Its process, and its head's folder, address and process ids.
    """
    (tmp_path / "job.py").write_text(
        "import os, sys\nprint([os.getcwd(), *sys.argv[2:]], flush=True)\nsys.exit(int(sys.argv[1]))\n"
    )
    (tmp_path / "argument").write_text(ARGUMENT)
    process = start(
        'ray_submit python3 job.py 0 "$(cat argument)" && echo first=$?\n'
        "ray_submit python3 job.py 3 || echo second=$?\n"
        'echo "$CLUSTER_FOLDER $RAY_ADDRESS" >part\nmv part head\n'
        "while [ ! -e done ]; do sleep 0.2; done\n"
        "ray_submit python3 job.py 7 third"
    )
    folder, address = wait_for(lambda: content(tmp_path / "head"), "head").split()
    children = psutil.Process(process.pid).children(recursive=True)
    return process, Path(folder), address, {child.pid for child in children if name_of(child) != "sleep"}


def test_a_head_is_private_serves_who_has_its_token_and_ends_with_its_script(start, host, tmp_path):
    process, folder, address, head = host
    assert len(head) > 3
    assert outside_loopback(psutil.Process(process.pid)) == []
    assert (folder / "token").stat().st_mode & 0o077 == 0

    given = f"export RAY_ADDRESS={address} RAY_AUTH_MODE=token\n"
    guest = start(f"{given}export RAY_AUTH_TOKEN_PATH={folder}/token\nray_submit python3 job.py 5 guest")
    stranger = start(f"{given}export RAY_AUTH_TOKEN={'0' * 64}\nray_submit python3 job.py 0 stranger")
    output, _ = guest.communicate(timeout=PATIENCE)
    assert guest.returncode == 5, output
    assert "Starting a Ray head" not in output
    output, _ = stranger.communicate(timeout=PATIENCE)
    assert stranger.returncode == 2
    assert "'stranger'" not in output
    assert output.startswith("error: ")

    (tmp_path / "done").touch()
    output, _ = process.communicate(timeout=PATIENCE)
    assert repr([str(tmp_path), ARGUMENT]) in output
    assert "first=0" in output
    assert "second=3" in output
    assert "'third'" in output
    assert process.returncode == 7
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in head), "end of the head")
    assert not folder.exists()


@pytest.mark.faults
def test_ctrl_c_stops_the_job_and_its_own_head_while_another_head_ended_alone_before(start, tmp_path):
    (tmp_path / "long.py").write_text(
        "import os, time\nopen('part', 'w').write(str(os.getpid()))\nos.rename('part', 'pid')\ntime.sleep(600)\n"
    )
    long = start("ray_submit python3 long.py")
    job = int(wait_for(lambda: content(tmp_path / "pid"), "running job"))
    other = start("ray_submit python3 -c 'print(6 * 7)'")
    output, _ = other.communicate(timeout=PATIENCE)
    assert other.returncode == 0
    assert "42" in output
    assert long.poll() is None
    assert psutil.pid_exists(job)
    head = {one.pid for one in psutil.Process(long.pid).children(recursive=True)}
    os.killpg(long.pid, signal.SIGINT)
    output, _ = long.communicate(timeout=PATIENCE)
    assert long.returncode == 130, output
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in (*head, job)), "end of job and head")
