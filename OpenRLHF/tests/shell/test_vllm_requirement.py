"""A skipped vLLM test fails the run where test.sh says that vLLM must be there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
BODIES = {
    "marked": "import pytest\n@pytest.mark.vllm\ndef test_a():\n    pytest.skip('not here')\n",
    "module": "import pytest\npytest.skip('could not import vllm', allow_module_level=True)\n",
    "other": "import pytest\ndef test_a():\n    pytest.skip('no MATH here')\n",
    "run": "import pytest\n@pytest.mark.vllm\ndef test_a():\n    pass\n",
}


def status(folder: Path, body: str, required: bool, *options: str) -> tuple[int, str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    vllm: needs vLLM\n")
    # A second file, since a run without any test has a status of its own.
    (folder / "test_it.py").write_text(BODIES[body])
    (folder / "test_beside.py").write_text("def test_b():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)]
    environment = {**os.environ, "INTRO_REQUIRE_VLLM": "1" if required else "0"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two processes"])
@pytest.mark.parametrize("body", ["marked", "module"])
def test_a_skipped_vllm_test_fails_where_vllm_is_required(tmp_path, body, options):
    code, output = status(tmp_path, body, True, *options)
    assert code == 1
    assert "none of its tests may be skipped" in output
    assert "test_it.py" in output


@pytest.mark.parametrize(("body", "required"), [("marked", False), ("module", False), ("other", True), ("run", True)])
def test_other_skips_and_vllm_tests_that_ran_pass(tmp_path, body, required):
    code, output = status(tmp_path, body, required)
    assert code == 0, output


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two processes"])
def test_the_summary_counts_the_vllm_tests_that_ran(tmp_path, options):
    assert "vLLM: 1 tests ran, 0 were skipped" in status(tmp_path, "run", True, *options)[1]
