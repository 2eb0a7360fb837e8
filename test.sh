#!/usr/bin/env bash
# Sets up .venv (once) and runs the linters and all tests, those of vLLM on the CPU included. Arguments go to pytest.
# --faults, as the first argument, runs the long tests instead: parts killed, bad inputs as a user meets them, two nodes.
# MATH and the benchmarks are used where INTRO_DATA_DIR names their folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source code/examples/environment.sh
setup_environment
export PATH="$PWD/.venv/bin:$PATH"
if vllm_can_be_installed; then export INTRO_REQUIRE_VLLM=1; fi # then none of its tests may be skipped

run() {
  printf '\n== %s\n' "$*"
  "$@"
}

run ruff check .
run ruff format --check .
run mypy
if [ "${1:-}" = --faults ]; then
  shift
  run pytest -m faults "$@"
  exit
fi
# Most of the time goes into starting processes, so two lots of tests share the cores well.
run pytest -n 2 --dist loadfile "$@"
