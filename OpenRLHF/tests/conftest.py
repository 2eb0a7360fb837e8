"""Makes `toy_models` importable from every folder of tests, and sees to it that vLLM's tests ran where they must."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
# Ray's workers run at nice 15: beside anything else on the machine they would hardly run at all.
os.environ.setdefault("RAY_worker_niceness", "0")

# Set by test.sh where vLLM was installed: then a skipped test of it is a failure, not a remark.
VLLM_REQUIRED = os.environ.get("INTRO_REQUIRE_VLLM") == "1"
_ran = pytest.StashKey[set]()
_skipped = pytest.StashKey[dict]()


def pytest_configure(config):
    config.stash[_ran] = set()
    config.stash[_skipped] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if item.get_closest_marker("vllm"):
        if report.skipped:
            item.config.stash[_skipped][item.nodeid] = _reason(report)
        elif report.when == "call":
            item.config.stash[_ran].add(item.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    if report.skipped and "vllm" in _reason(report).lower():
        collector.config.stash[_skipped][collector.nodeid] = _reason(report)
    return report


def _reason(report) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    if VLLM_REQUIRED and session.config.stash[_skipped] and exitstatus in (pytest.ExitCode.OK, 0):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    ran, skipped = config.stash[_ran], config.stash[_skipped]
    if ran or skipped:
        terminalreporter.write_line(f"vLLM: {len(ran)} tests ran, {len(skipped)} were skipped")
    if VLLM_REQUIRED and skipped:
        terminalreporter.write_line("vLLM is installed here, so none of its tests may be skipped:", red=True)
        for name, reason in skipped.items():
            terminalreporter.write_line(f"  {name}: {reason}", red=True)
