"""A run can be reached from this machine alone, and nobody else can read what it keeps to itself."""

from pathlib import Path

import pytest
from exposure import LOOPBACK, look

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


@pytest.mark.parametrize("engine", ["hf", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_sockets_are_on_loopback_and_files_of_the_run_private(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.setenv(name, "")  # so that what the run sets is taken back
    flags = ["--vllm_sync_backend", "gloo", "--enforce_eager", "--vllm_kv_cache_mb", "64"] if engine == "vllm" else []
    sockets, files = look(tmp_path, "--rollout_engine", engine, *flags)
    assert {"ray::PolicyWorker", "ray::EngineActor", "gcs_server"} <= {title for title, _ in sockets}
    assert [found for found in sockets if found[1] not in LOOPBACK] == []
    for where in ("running: temporary files", "running: shared memory", "after: temporary files"):
        assert not files[where], where
