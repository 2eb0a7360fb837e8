#!/usr/bin/env bash
# Trains with InTRO on MATH, level 3 to 5: the published configuration, on five GPUs (four actor ranks, one engine).
#
#   python3 code/data/data_preprocessing.py        # once: writes PROMPT_DATA
#   bash code/examples/a_train_InTRO_math_ray.sh
#
# Any flag of python3 -m openrlhf.cli.train_ppo_ray_intro can be appended; the last one given counts. To see what
# would happen and stop there: --plan_only. Switches have no opposite: set SWITCHES to those that are wanted.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PRETRAIN=${PRETRAIN:-Qwen/Qwen2.5-1.5B}
PROMPT_DATA=${PROMPT_DATA:-$HERE/../data/math_level3to5.json}
SAVE_PATH=${SAVE_PATH:-$HERE/../../ckpt/qwen2.5-1.5b-intro}
SWITCHES=${SWITCHES---bf16 --flash_attn --packing_samples --gradient_checkpointing}
export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-3,4,5,6,7}

source "$HERE/ray_cluster.sh"

# shellcheck disable=SC2086 # SWITCHES is a list
ray_submit python3 -m openrlhf.cli.train_ppo_ray_intro \
  --advantage_estimator intro \
  --pretrain "$PRETRAIN" \
  --save_path "$SAVE_PATH" \
  --ckpt_path "${SAVE_PATH}_checkpoints" \
  --save_steps 2 \
  --prompt_data "$PROMPT_DATA" \
  --input_key problem \
  --label_key answer \
  --remote_rm_url "$HERE/grading/math_grade.py" \
  --actor_num_nodes 1 \
  --actor_num_gpus_per_node 4 \
  --vllm_num_engines 1 \
  --vllm_tensor_parallel_size 1 \
  --vllm_sync_backend nccl \
  --zero_stage 3 \
  --micro_train_batch_size 2 \
  --train_batch_size 128 \
  --rollout_batch_size 1024 \
  --n_samples_per_prompt 4 \
  --temperature 0.8 \
  --prompt_max_len 1024 \
  --generate_max_len 2048 \
  --actor_learning_rate 5e-7 \
  --intro_num_candidates 5 \
  --intro_top_k 20 \
  $SWITCHES \
  "$@"
