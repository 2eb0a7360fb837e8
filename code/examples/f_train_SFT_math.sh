#!/usr/bin/env bash
# Supervised fine-tuning on the worked solutions of InTRO's data, on the same five GPUs (or NPROC processes).
# PRETRAIN, PROMPT_DATA, SAVE_PATH, SWITCHES and CUDA_VISIBLE_DEVICES as for a_train_InTRO_math_ray.sh; any flag of
# python3 -m openrlhf.cli.train_sft can be appended.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PRETRAIN=${PRETRAIN:-Qwen/Qwen2.5-1.5B}
PROMPT_DATA=${PROMPT_DATA:-$HERE/../data/math_level3to5.json}
SAVE_PATH=${SAVE_PATH:-$HERE/../../ckpt/qwen2.5-1.5b-sft}
SWITCHES=${SWITCHES---bf16 --flash_attn --packing_samples --gradient_checkpointing}
export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-3,4,5,6,7}
if [ -z "${NPROC:-}" ]; then # one process per GPU; one in all where there is none
  NPROC=$(awk -F, '{ print NF ? NF : 1 }' <<<"$CUDA_VISIBLE_DEVICES")
fi
if [ -x "$HERE/../../.venv/bin/python3" ]; then PATH="$HERE/../../.venv/bin:$PATH"; fi

# shellcheck disable=SC2086 # SWITCHES is a list
python3 -m torch.distributed.run --standalone --nproc_per_node "$NPROC" -m openrlhf.cli.train_sft \
  --pretrain "$PRETRAIN" \
  --save_path "$SAVE_PATH" \
  --ckpt_path "${SAVE_PATH}_checkpoints" \
  --dataset "$PROMPT_DATA" \
  --input_key problem \
  --output_key solution \
  --input_template None \
  --max_len 2048 \
  --zero_stage 3 \
  --micro_train_batch_size 2 \
  --train_batch_size 128 \
  --learning_rate 5e-6 \
  --max_epochs 2 \
  $SWITCHES \
  "$@"
