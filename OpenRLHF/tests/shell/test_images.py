"""The image and the Slurm script: pins compared with the project's, the script run on stand-ins for Slurm and Ray."""

import os
import re
import runpy
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PIN = re.compile(r"([A-Za-z][\w-]*)==([\w.]+)")


def instructions(name: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(name).strip() for line in joined.splitlines() if line.startswith(name + " ")]


def test_the_image_installs_the_pinned_set_and_no_other_version() -> None:
    extras = runpy.run_path(str(ROOT / "OpenRLHF" / "setup.py"))["EXTRAS"]
    pinned = dict(PIN.findall(" ".join([*extras["vllm"], *extras["flash"]])))
    found = dict(PIN.findall("\n".join(instructions("RUN"))))
    assert found == pinned
    wanted = (ROOT / "OpenRLHF" / "requirements.txt").read_text().split()
    assert any(line.startswith("torch==") for line in wanted)
    assert "pip install -r /openrlhf/OpenRLHF/requirements.txt vllm" in " ".join(instructions("RUN"))


def test_the_image_is_built_on_cuda_runs_as_a_user_and_copies_what_there_is() -> None:
    (base,) = instructions("FROM")
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-devel-ubuntu24\.04", base)
    assert instructions("USER") == ["trainer"]
    for source in (copy.split()[0] for copy in instructions("COPY")):
        assert (ROOT / source).exists(), source
    assert ".venv" in (ROOT / ".dockerignore").read_text().split()


STANDINS = {
    "scontrol": 'printf "first\\nsecond\\n"',
    "hostname": "echo 10.0.0.7 fe80::1",
    # drops its own options and runs the rest
    "srun": 'echo "srun $*" >>"$CALLS"; while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
    "ray": 'echo "ray $*" >>"$CALLS"; exec sleep 30',
    "python3": 'echo "python3 $*" >>"$CALLS"; case $1 in -c) printf secret ;; -) sleep 1 ;; esac',
}


def test_the_slurm_script_starts_a_head_and_the_other_nodes_then_the_recipe_and_cleans_up(tmp_path: Path) -> None:
    for name, body in STANDINS.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    recipe = ROOT / "code" / "examples" / "recipes" / "2x8x80gb_7b.yaml"
    calls = tmp_path / "calls"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls)}
    environment |= {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_ID": "5"}
    script = str(recipe.with_name("slurm.sbatch"))
    done = subprocess.run(
        ["bash", script, str(recipe), "--seed", "3"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = calls.read_text().splitlines()
    (head,) = [call for call in made if call.startswith("ray start --head")]
    assert "--node-name=first --node-ip-address=10.0.0.7 --port=6379" in head
    assert "ray start --block --node-name=second --address=10.0.0.7:6379" in made
    waits = next(i for i, call in enumerate(made) if call == "python3 - 2")
    runs = f"python3 -m openrlhf.cli.train_ppo_ray_intro --config {recipe} --seed 3"
    assert made.index(runs) > waits
    assert not list(tmp_path.glob(".ray-token*"))
    missing = subprocess.run(
        ["bash", script, "nothing.yaml"], env=environment, capture_output=True, text=True, check=False
    )
    assert (missing.returncode, "there is no recipe nothing.yaml" in missing.stderr) == (2, True)
