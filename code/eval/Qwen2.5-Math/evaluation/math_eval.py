"""Scores a model on mathematical benchmarks; see README.md here, or `--help`."""

from openrlhf.cli.math_eval import main

if __name__ == "__main__":
    raise SystemExit(main())
