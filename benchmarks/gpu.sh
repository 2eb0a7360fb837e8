#!/usr/bin/env bash
# What only a GPU can tell, in nine minutes: bash benchmarks/gpu.sh [--toy] [FOLDER]
#
# Needs torch, transformers and accelerate, no network; what else is missing comes from benchmarks/wheels, if
# fetch_gpu_wheels.sh filled it. Runs OpenRLHF/tests/gpu and the rows of gpu_rows.py, most telling first, and writes every
# result to FOLDER (default: gpu_results) as soon as it is there: results.jsonl, log.txt, summary.txt.
# --toy: the same on the CPU at toy sizes, to see that it runs. BUDGET: seconds (default 540). Status 1 if anything failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ "${1:-}" = --toy ]; then
  export INTRO_GPU_TOY=1
  shift
fi
out=$(mkdir -p "${1:-gpu_results}" && cd "${1:-gpu_results}" && pwd)
log="$out/log.txt"
results="$out/results.jsonl"
: >"$results"
: >"$log"
: >"$out/summary.txt"
end=$((SECONDS + ${BUDGET:-540}))
failed=0

export PYTHONPATH="$PWD/OpenRLHF:$PWD/OpenRLHF/tests${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 INTRO_GPU_RESULTS="$results"
export TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
wheels=(benchmarks/wheels/*.whl)
if [ -e "${wheels[0]}" ] && ! python3 -c 'import deepspeed, pytest, pytest_timeout' 2>>"$log"; then
  site=$(mktemp -d)
  # in front of what the machine has, so that parts of a package cannot be of two versions
  python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "${wheels[@]}" >>"$log" 2>&1
  export PYTHONPATH="$PYTHONPATH:$site"
fi

# step NAME SECONDS COMMAND…: runs within the time that is left; a line of summary.txt says how it went.
step() {
  local name=$1 limit=$2 left=$((end - SECONDS)) start=$SECONDS status
  shift 2
  if [ "$left" -lt 5 ]; then
    echo "$name: left out, no time" | tee -a "$out/summary.txt"
    failed=1
    return
  fi
  printf '\n== %s\n' "$name" >>"$log"
  timeout --kill-after=5 $((limit < left ? limit : left)) "$@" >"$out/step.txt" 2>&1
  status=$?
  cat "$out/step.txt" >>"$log"
  echo "$name: $([ $status = 0 ] && echo green || echo "FAILED (status $status)"), $((SECONDS - start)) s" |
    tee -a "$out/summary.txt"
  grep -hE '^(\{"row"|(FAILED|ERROR|SKIPPED) |[0-9]+ (passed|failed|skipped))' "$out/step.txt" | cut -c1-300 |
    tee -a "$out/summary.txt"
  grep -h '^{"row"' "$out/step.txt" >>"$results"
  [ $status = 0 ] || failed=1
}

row() { step "row $1" "$2" python3 benchmarks/gpu_rows.py "$1"; }
tests() { step "tests $1" "$2" python3 -m pytest -q -rfEs -p no:cacheprovider --timeout 150 "OpenRLHF/tests/gpu/test_$1.py"; }

row machine 60
tests a_scores 150
tests c_step 200
row step-0.6B-padded 90
row step-0.6B 90
row loss 60
tests b_sharing 150
row step-0.6B-intro 90
rm -f "$out/step.txt"
exit $failed
