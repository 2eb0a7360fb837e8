"""Scores a model on mathematical benchmarks; see README.md here, or `--help`."""

from openrlhf.evaluation.main import main

if __name__ == "__main__":
    raise SystemExit(main())
