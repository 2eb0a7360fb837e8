#!/usr/bin/env python3
"""Methods side by side on the demo problem: a table and a picture.

    python3 compare_methods.py --output_dir outputs/comparison            # everything, about two hours on two cores
    python3 compare_methods.py --output_dir outputs/comparison --seeds 0 --methods RAFT 'InTRO n=5' --budgets short

Each seed has a warm-started model of its own, which is made first. Runs that have a result are not repeated, so the
same command continues where it was stopped. table.md and comparison.png show whatever results there are.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).resolve().parent
WARM_START = (
    *("--input_key", "input", "--output_key", "output", "--input_template", "None", "--max_len", "128"),
    *("--train_batch_size", "32", "--micro_train_batch_size", "16", "--max_epochs", "1", "--zero_stage", "0"),
    *("--learning_rate", "3e-3", "--lr_warmup_ratio", "0.05", "--adam_betas", "0.9", "0.98", "--l2", "0.01"),
    *("--logging_steps", "100", "--disable_ds_ckpt"),
)  # as in quickstart.sh


def make_base(folder: Path, seed: int) -> None:
    """Data and warm-started model of a seed, where they are not there yet."""
    data, base = folder / "data", folder / "base"
    if (base / "config.json").is_file():
        return
    preprocessing = HERE.parent.parent / "data" / "data_preprocessing.py"
    commands: list[tuple[str, ...]] = [
        (str(HERE / "make_demo_data.py"), "--seed", str(seed), "--output_dir", str(data)),
        (str(preprocessing), "--data_dir", str(data / "math"), "--min_level", "1",
         "--save_path", str(data / "train.json")),
        ("-m", "openrlhf.cli.train_sft", "--pretrain", str(data / "model"), "--dataset", str(data / "warm_start.jsonl"),
         "--save_path", str(base), "--seed", str(seed), *WARM_START),
    ]  # fmt: skip
    for command in commands:
        subprocess.run([sys.executable, *command], check=True)


def run_one(root: str, name: str, budget: str, seed: int) -> str:
    """In a process of the pool: one run, whose log goes to a file beside its result."""
    from openrlhf.demo.comparison import METHODS, run, run_folder
    from openrlhf.trainer.deepspeed_setup import init_process_group

    folder = run_folder(Path(root), name, budget, seed)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        init_process_group()
        method = next(method for method in METHODS if method.name == name)
        seed_folder = Path(root) / f"seed{seed}"
        result = run(method, budget, seed, seed_folder / "data", seed_folder / "base", folder)
    return f"{name}, {budget}, seed {seed}: greedy {100 * result['greedy']:.1f}%"


def main() -> int:
    from openrlhf.demo.comparison import BUDGETS, METHODS, RESULT, run_folder
    from openrlhf.demo.comparison_report import write_report

    names = [method.name for method in METHODS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=names, default=names, metavar="METHOD", help=", ".join(names))
    parser.add_argument("--budgets", nargs="+", choices=list(BUDGETS), default=list(BUDGETS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    args = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_PROGRESS_BARS="1")
    for seed in args.seeds:
        make_base(args.output_dir / f"seed{seed}", seed)
    wanted = [(n, b, s) for s in args.seeds for b in args.budgets for n in args.methods]
    waiting = [one for one in wanted if not (run_folder(args.output_dir, *one) / RESULT).is_file()]
    print(f"{len(wanted) - len(waiting)} of {len(wanted)} runs are there, {len(waiting)} to go", flush=True)
    failed = 0
    # A process of its own for each run: nothing of one run is left for the next.
    with ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        runs = {pool.submit(run_one, str(args.output_dir), *one): one for one in waiting}
        for number, done in enumerate(as_completed(runs), start=1):
            try:
                print(f"[{number}/{len(waiting)}] {done.result()}", flush=True)
            except Exception as error:
                failed += 1
                print(f"[{number}/{len(waiting)}] {runs[done]} failed: {error}", file=sys.stderr, flush=True)
    write_report(args.output_dir)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
