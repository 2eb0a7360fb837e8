"""`python3 benchmarks/run.py [NAME…]`: runs benchmarks, prints a table each and appends both to RESULTS.md."""

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "OpenRLHF"))
import loss  # noqa: E402
import steps  # noqa: E402

RESULTS = Path(__file__).with_name("RESULTS.md")
TIMES = ["what", "way", "seconds", "of the four products", "GiB above inputs"]
STEP = ["what", "way", "seconds a step", "of which", "GiB of the training process", "time / TRL", "memory / TRL"]
# name → header, and what gives the rows
BENCHMARKS: dict[str, tuple[list[str], Callable[[], list[list[str]]]]] = {
    "loss-1024-float32": (TIMES, lambda: loss.rows(1024, "float32")),
    "loss-1024-bf16": (TIMES, lambda: loss.rows(1024, "bf16")),
    "loss-4096-float32": (TIMES, lambda: loss.rows(4096, "float32")),
    "loss-4096-bf16": (TIMES, lambda: loss.rows(4096, "bf16")),
    "step-toy": (STEP, lambda: steps.rows(steps.toy_case())),
    "step-real": (STEP, lambda: steps.rows(steps.real_case())),
    "step-real-bf16": (STEP, lambda: steps.rows(steps.real_case(bf16=True))),
    "bf16-error": (["what", "way", "mean error", "largest error"], loss.error_rows),
}


def table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows))


def machine() -> str:
    cpu = next((li for li in Path("/proc/cpuinfo").read_text().splitlines() if li.startswith("model name")), "")
    return cpu.partition(":")[2].strip() or platform.machine()


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"no benchmark is called {', '.join(unknown)}: choose from {', '.join(BENCHMARKS)}")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    for name in names or BENCHMARKS:
        header, work = BENCHMARKS[name]
        found = table(header, work())
        print(found, flush=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"\n`python3 benchmarks/run.py {name}`, {commit}, {machine()}\n\n{found}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
