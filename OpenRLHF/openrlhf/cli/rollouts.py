"""Shows the rollouts that a run kept with --save_rollouts: python3 -m openrlhf.cli.rollouts FOLDER"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from openrlhf.errors import UserError
from openrlhf.trainer.rollout_files import read_steps, rollout_folder, steps_in
from openrlhf.utils.terminal import plain


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 something the user can mend."""
    args = parser().parse_args(argv)
    try:
        folder = rollout_folder(args.folder)
        found = _chosen(folder, args)
        shown = 0
        for row in found:
            if args.limit and shown == args.limit:
                print(f"… more than {args.limit}: --limit 0 shows all, --step, --prompt or --search fewer.")
                break
            print(json.dumps(row, ensure_ascii=False) if args.json else _block(row, args.whole))
            shown += 1
        if not shown:
            steps = steps_in(folder)
            print(f"none of the rollouts of steps {min(steps)} to {max(steps)} fits.", file=sys.stderr)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # | head
        sys.stderr.close()
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python3 -m openrlhf.cli.rollouts", description="Filters and prints the rollouts of --save_rollouts."
    )
    made.add_argument("folder", type=Path, help="The run's folder, or its folder of rollouts.")
    made.add_argument("--step", type=int, nargs="+", metavar="N", help="Only of these steps.")
    made.add_argument("--prompt", type=int, nargs="+", metavar="N", help="Only of the prompts with these indices.")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--right", action="store_true", help="Only with a reward above one half.")
    which.add_argument("--wrong", action="store_true", help="Only with another reward, or none.")
    used = made.add_mutually_exclusive_group()
    used.add_argument("--trained", action="store_true", help="Only those that were trained on.")
    used.add_argument("--untrained", action="store_true", help="Only those that were not.")
    made.add_argument("--search", metavar="TEXT", help="Only with this in prompt or response, upper or lower case.")
    made.add_argument("--limit", type=int, default=20, help="Print at most so many; 0: all (default: 20).")
    made.add_argument("--whole", action="store_true", help="Print long texts whole.")
    made.add_argument("--json", action="store_true", help="One JSON object a line, with every field.")
    return made


def _chosen(folder: Path, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    words = args.search.lower() if args.search else ""
    for file in read_steps(folder, args.step):
        for row in file.rows:
            right = (row["reward"] or 0.0) > 0.5
            if args.prompt is not None and row["prompt_index"] not in args.prompt:
                continue
            if (args.right and not right) or (args.wrong and right):
                continue
            if (args.trained and not row["trained"]) or (args.untrained and row["trained"]):
                continue
            if words in row["prompt"].lower() or words in row["text"].lower():
                yield row


def _block(row: dict[str, Any], whole: bool) -> str:
    reward = "no reward" if row["reward"] is None else f"reward {row['reward']:g}"
    parts = [
        f"step {row['step']}, prompt {row['prompt_index']}, sample {row['sample']}: {reward}",
        f"{len(row['token_ids'])} tokens",
        "cut off" if row["finish_reason"] == "length" else row["finish_reason"],
        "trained on" if row["trained"] else "not trained on",
    ]
    label = f"  [{plain(row['label'])}]" if row["label"] else ""
    lines = [", ".join(parts), "  > " + _text(row["prompt"], whole) + label, "    " + _text(row["text"], whole)]
    return "\n".join(lines) + "\n"


def _text(text: str, whole: bool) -> str:
    shown = text if whole or len(text) <= 1000 else f"{text[:1000]} … {len(text) - 1000} more characters (--whole)"
    return plain(shown).replace("\n", "\n    ")


if __name__ == "__main__":
    sys.exit(main())
