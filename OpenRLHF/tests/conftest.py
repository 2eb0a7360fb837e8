"""Makes `toy_models` importable from every folder of tests, and sees to it that vLLM's tests ran where they must."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
# Ray's workers run at nice 15: beside anything else on the machine they would hardly run at all.
os.environ.setdefault("RAY_worker_niceness", "0")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(VllmTests())


class VllmTests:
    """Counts vLLM's tests, by reports: with pytest-xdist those of all its processes arrive where the summary is."""

    # Set by test.sh where vLLM was installed: then a skipped test of it is a failure, not a remark.
    required = os.environ.get("INTRO_REQUIRE_VLLM") == "1"

    def __init__(self) -> None:
        self.ran: set[str] = set()
        self.skipped: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "vllm" in report.keywords:
            if report.skipped:
                self.skipped[report.nodeid] = reason(report)
            elif report.when == "call":
                self.ran.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped and "vllm" in reason(report).lower():
            self.skipped[report.nodeid] = reason(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.required and self.skipped and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.ran or self.skipped:
            terminalreporter.write_line(f"vLLM: {len(self.ran)} tests ran, {len(self.skipped)} were skipped")
        if self.required and self.skipped:
            terminalreporter.write_line("vLLM is installed here, so none of its tests may be skipped:", red=True)
            for name, why in self.skipped.items():
                terminalreporter.write_line(f"  {name}: {why}", red=True)


def reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[-1]) if isinstance(report.longrepr, tuple | list) else str(report.longrepr)
