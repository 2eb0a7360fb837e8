#!/usr/bin/env bash
# Sets up .venv (once) and runs the linters and all tests, vLLM on the CPU included.
set -euo pipefail
cd "$(dirname "$0")"
source code/examples/environment.sh
setup_environment
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/pytest "$@"
