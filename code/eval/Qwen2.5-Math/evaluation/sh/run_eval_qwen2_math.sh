#!/usr/bin/env bash
# Scores several models and writes one report over all of them:  bash sh/run_eval_qwen2_math.sh [flags of math_eval.py]
#
# From the environment:
#   MODELS       folders or hub names, separated by spaces or commas (default: the six of the reference)
#   PROMPT_TYPE  one or several, likewise (default: qwen-boxed for Qwen2-Math, else qwen25-math-cot)
#   OUTPUT_DIR   results go to OUTPUT_DIR/{last part of the model's name} (default as in eval.sh)
#   REPORT       the report over all models (default: OUTPUT_DIR/report.html, else output/report.html here)
#   DATA_DIR, DATA_NAMES, NUM_TEST_SAMPLE, SPLIT as in eval.sh
# A model that does not fit on the GPUs at hand, or is neither here nor on a hub within reach, is skipped with a
# message. A model that needs several GPUs is split over as many.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOT=$(cd "$HERE/../../../.." && pwd)
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    if [ -x "$ROOT/.venv/bin/python3" ]; then PYTHON=$ROOT/.venv/bin/python3; fi
fi
export PYTHON

DEFAULT_MODELS="Qwen/Qwen2.5-Math-1.5B-Instruct Qwen/Qwen2.5-Math-7B-Instruct Qwen/Qwen2.5-Math-72B-Instruct"
DEFAULT_MODELS+=" Qwen/Qwen2-Math-1.5B-Instruct Qwen/Qwen2-Math-7B-Instruct Qwen/Qwen2-Math-72B-Instruct"
read -r -a models <<< "$(tr ',\n' '  ' <<< "${MODELS:-$DEFAULT_MODELS}")"
read -r -a chosen_prompts <<< "$(tr ',\n' '  ' <<< "${PROMPT_TYPE:-}")"
base=${OUTPUT_DIR:-}
report=${REPORT:-${base:-$HERE/output}/report.html}

default_prompt() {
    case $1 in
        *Qwen2-Math*) echo qwen-boxed ;;
        *) echo qwen25-math-cot ;;
    esac
}

declare -A folder_of=()
output_folder() { # a folder of its own for every model, also where two have the same last part
    local model=${1%/} name number=1 candidate taken
    if [ -z "$base" ]; then
        if [ -d "$model" ]; then echo "$model/math_eval"; else echo "$HERE/output/$model/math_eval"; fi
        return
    fi
    name=$(basename "$model")
    candidate=$base/$name
    while :; do
        taken=
        for other in "${folder_of[@]+"${folder_of[@]}"}"; do [ "$other" = "$candidate" ] && taken=yes; done
        [ -z "$taken" ] && break
        number=$((number + 1))
        candidate=$base/$name-$number
    done
    echo "$candidate"
}

skipped=() failed=() scored=()
for model in "${models[@]}"; do
    status=0
    parallel=$("$PYTHON" -m openrlhf.evaluation.generation.models "$model") || status=$?
    if [ "$status" -eq 3 ]; then # it says why
        skipped+=("$model")
        continue
    elif [ "$status" -ne 0 ]; then
        failed+=("$model, before it was loaded")
        continue
    fi
    folder_of[$model]=$(output_folder "$model")
    prompts=("${chosen_prompts[@]+"${chosen_prompts[@]}"}")
    if [ "${#prompts[@]}" -eq 0 ]; then prompts=("$(default_prompt "$model")"); fi
    for prompt in "${prompts[@]}"; do
        echo "=== $model, $prompt"
        if ! OUTPUT_DIR=${folder_of[$model]} bash "$HERE/sh/eval.sh" "$prompt" "$model" \
            --tensor_parallel_size "$parallel" "$@"; then
            failed+=("$model with $prompt")
        fi
    done
    scored+=("${folder_of[$model]}")
done

if [ "${#scored[@]}" -gt 0 ]; then
    "$PYTHON" "$HERE/math_eval.py" --report "$report" "${scored[@]}" || failed+=("the report")
fi
for model in "${skipped[@]+"${skipped[@]}"}"; do echo "was skipped: $model"; done
for what in "${failed[@]+"${failed[@]}"}"; do echo "failed: $what" >&2; done
if [ "${#scored[@]}" -eq 0 ]; then
    echo "no model was scored; give folders in MODELS, e.g. MODELS=/path/to/model bash $0" >&2
    exit 1
fi
[ "${#failed[@]}" -eq 0 ]
