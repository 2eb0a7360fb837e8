"""One HTML page about runs: python3 -m openrlhf.cli.report RUN… [-o report.html] [--watch]"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from openrlhf.errors import UserError
from openrlhf.trainer.run_folders import REPORT_FILE
from openrlhf.view.report import write_report

_EVERY = 10.0  # seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    args = parser().parse_args(argv)
    first = args.run[0] if args.run[0].is_dir() else args.run[0].parent
    output = args.output or (first / REPORT_FILE if len(args.run) == 1 else Path(REPORT_FILE))
    try:
        write_report(args.run, output, live=args.watch)
        print(f"report: {output}", flush=True)
        if args.watch:
            _watch(args.run, output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {output} cannot be written ({error.strerror}): choose another with -o", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        write_report(args.run, output)
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python3 -m openrlhf.cli.report",
        description="Writes one HTML page about one run or several side by side, also while they go on.",
    )
    made.add_argument("run", type=Path, nargs="+", metavar="RUN", help="A run's --save_path, or its metrics file.")
    made.add_argument("-o", "--output", type=Path, metavar="FILE",
                      help="The page (default: report.html in the run's folder; here for several).")  # fmt: skip
    made.add_argument("--watch", action="store_true", help="Write it again whenever a run has gone on, until Ctrl-C.")
    return made


def _watch(runs: Sequence[Path], output: Path) -> None:
    seen = _state(runs)
    while True:
        time.sleep(_EVERY)
        if (now := _state(runs)) != seen:
            write_report(runs, output, live=True)
            seen = now


def _state(runs: Sequence[Path]) -> list[tuple[str, int, int]]:
    files = [file for run in runs for file in (sorted(run.glob("*.jsonl")) if run.is_dir() else [run])]
    return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]


if __name__ == "__main__":
    sys.exit(main())
