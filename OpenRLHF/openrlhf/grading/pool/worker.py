"""What runs inside of a grading worker process. Payloads and replies are plain JSON values."""

import time
from collections.abc import Callable
from typing import Any

from openrlhf.grading.policy import GradingPolicy

Work = Callable[[dict[str, Any]], dict[str, Any]]


def comparing() -> Work:
    """Set-up of a worker that parses and compares; `equal` is None where computer algebra has to decide."""
    from openrlhf.grading.comparing.compare import compare

    return lambda payload: _timed(compare, payload)


def algebra() -> Work:
    """Set-up of a worker that decides with SymPy, which is imported here, before any job's time runs."""
    from openrlhf.grading.comparing.symbolic import compare

    return lambda payload: _timed(compare, payload)


def _timed(
    compare: Callable[[str, str, GradingPolicy], tuple[bool | None, str]], payload: dict[str, Any]
) -> dict[str, Any]:
    started = time.perf_counter()
    equal, how = compare(payload["prediction"], payload["gold"], GradingPolicy(**payload["policy"]))
    return {"equal": equal, "how": how, "seconds": time.perf_counter() - started}
