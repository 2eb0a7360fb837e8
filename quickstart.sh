#!/usr/bin/env bash
# The whole pipeline at toy size, on a machine without a GPU:  bash quickstart.sh [--seed N]
#
# Demo problems → preprocessing → warm start → InTRO on Ray (two ZeRO-3 ranks, one vLLM engine) → both models scored
# on held-out problems → a table and a picture. Everything is written anew under outputs/quickstart.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUT=$ROOT/outputs/quickstart
SEED=0
while [ "$#" -gt 0 ]; do
  case $1 in
    --seed)
      SEED=${2:-}
      shift
      ;;
    *) SEED="" ;;
  esac
  if ! [[ $SEED =~ ^[0-9]+$ ]]; then
    echo "usage: bash quickstart.sh [--seed N], N a whole number from 0 on" >&2
    exit 2
  fi
  shift
done

source "$ROOT/code/examples/environment.sh"
setup_environment
export PATH="$ROOT/.venv/bin:$PATH"
# One thread a process: there are as many processes as cores, and threads that wait for a core spin.
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS=1
export HF_HUB_DISABLE_PROGRESS_BARS=1 DS_ACCELERATOR_LOG_LEVEL=ERROR PYTHONWARNINGS=ignore::FutureWarning
unset RAY_ADDRESS # a cluster of its own, so that nobody else's is loaded with a demo
rm -rf "$OUT"
mkdir -p "$OUT"

TIMES=()
phase() { # NAME COMMAND…: runs the command and notes how long it took
  local name=$1 started=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  "$@"
  TIMES+=("$name=$((SECONDS - started))")
}

make_data() {
  python3 "$ROOT/code/examples/demo/make_demo_data.py" --seed "$SEED" --output_dir "$OUT/data"
}

preprocess() {
  python3 "$ROOT/code/data/data_preprocessing.py" --data_dir "$OUT/data/math" --min_level 1 \
    --save_path "$OUT/data/train.json"
}

warm_start() {
  python3 -m openrlhf.cli.train_sft \
    --pretrain "$OUT/data/model" --dataset "$OUT/data/warm_start.jsonl" --save_path "$OUT/base" \
    --input_key input --output_key output --input_template None --max_len 128 \
    --train_batch_size 32 --micro_train_batch_size 16 --max_epochs 1 --zero_stage 0 \
    --learning_rate 3e-3 --lr_warmup_ratio 0.05 --adam_betas 0.9 0.98 --l2 0.01 \
    --seed "$SEED" --logging_steps 100 --disable_ds_ckpt
}

train() {
  PRETRAIN=$OUT/base PROMPT_DATA=$OUT/data/train.json SAVE_PATH=$OUT/trained SWITCHES="" CUDA_VISIBLE_DEVICES="" \
    bash "$ROOT/code/examples/a_train_InTRO_math_ray.sh" \
    --actor_num_gpus_per_node 2 --vllm_sync_backend gloo --vllm_kv_cache_mb 256 --enforce_eager \
    --rollout_batch_size 64 --train_batch_size 256 --micro_train_batch_size 32 --n_samples_per_prompt 4 \
    --prompt_max_len 64 --generate_max_len 128 --temperature 1.0 \
    --actor_learning_rate 2e-4 --lr_warmup_ratio 0.25 --adam_betas 0.9 0.99 \
    --seed "$SEED" --save_steps -1
}

score() { # NAME: base or trained
  DATA_NAMES=demo DATA_DIR=$OUT/data/benchmark OUTPUT_DIR=$OUT/scores/$1 \
    bash "$ROOT/code/eval/Qwen2.5-Math/evaluation/sh/eval.sh" none "$OUT/$1" --max_tokens_per_call 128
}

phase data make_data
phase preprocessing preprocess
phase warm_start warm_start
phase training train
phase scoring_base score base
phase scoring_trained score trained
printf '\n== result\n'
python3 "$ROOT/code/examples/demo/summarize.py" --seed "$SEED" --base "$OUT/scores/base" \
  --trained "$OUT/scores/trained" --metrics "$OUT/trained/metrics.jsonl" --output_dir "$OUT" --seconds "${TIMES[@]}"
