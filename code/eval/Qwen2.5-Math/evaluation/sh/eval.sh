#!/usr/bin/env bash
# Scores one model with one prompt type:  bash sh/eval.sh PROMPT_TYPE MODEL [flags of math_eval.py]
#
# From the environment: DATA_DIR, OUTPUT_DIR (default MODEL/math_eval; for a model of the hub output/MODEL/math_eval
# here, since a folder with the model's name would be taken for the model), DATA_NAMES (default: every set of the
# reference's five calls, MATH500 and AIME25), NUM_TEST_SAMPLE (default -1, all), SPLIT (default test).
# The reference's five calls are one here, so that the model is loaded once; --num_shots auto gives every set the
# worked examples that it has there.
set -euo pipefail

if [ "$#" -lt 2 ]; then
    echo "usage: bash $0 PROMPT_TYPE MODEL [flags of math_eval.py]" >&2
    exit 2
fi
PROMPT_TYPE=$1
MODEL=$2
shift 2

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOT=$(cd "$HERE/../../../.." && pwd)
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    if [ -x "$ROOT/.venv/bin/python3" ]; then PYTHON=$ROOT/.venv/bin/python3; fi
fi

if [ -z "${OUTPUT_DIR:-}" ]; then
    OUTPUT_DIR=$MODEL/math_eval
    if [ ! -d "$MODEL" ]; then OUTPUT_DIR=$HERE/output/$MODEL/math_eval; fi
fi

ALL_NAMES=gsm8k,math,svamp,asdiv,mawps,carp_en,tabmwp,minerva_math,gaokao2023en,olympiadbench,college_math
ALL_NAMES+=,aqua,sat_math,mmlu_stem
ALL_NAMES+=,gaokao2024_I,gaokao2024_II,gaokao2024_mix,gaokao_math_cloze,gaokao_math_qa
ALL_NAMES+=,cmath,cn_middle_school
ALL_NAMES+=,aime24,amc23
ALL_NAMES+=,math500,aime25

exec "$PYTHON" "$HERE/math_eval.py" \
    --model_name_or_path "$MODEL" \
    --data_names "${DATA_NAMES:-$ALL_NAMES}" \
    --data_dir "${DATA_DIR:-$HERE/data}" \
    --output_dir "$OUTPUT_DIR" \
    --split "${SPLIT:-test}" \
    --prompt_type "$PROMPT_TYPE" \
    --num_test_sample "${NUM_TEST_SAMPLE:--1}" \
    --num_shots auto \
    --seed 0 \
    --temperature 0 \
    --n_sampling 1 \
    --top_p 1 \
    --start 0 \
    --end -1 \
    "$@"
