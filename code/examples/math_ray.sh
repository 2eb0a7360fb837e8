# Sourced by the training scripts of this folder: train_on_math METHOD FLAGS… trains on MATH, level 3 to 5, as a Ray job.
#
# All methods share model, data, GPUs, batches, lengths and learning rate, so that they can be compared; the script of a
# method adds what the method needs. Any flag of the command can be appended; the last one given counts. To see what
# would happen and stop there: --plan_only. Switches have no opposite: set SWITCHES to those that are wanted.

MATH_EXAMPLES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PRETRAIN=${PRETRAIN:-Qwen/Qwen2.5-1.5B}
PROMPT_DATA=${PROMPT_DATA:-$MATH_EXAMPLES/../data/math_level3to5.json}
SWITCHES=${SWITCHES---bf16 --flash_attn --packing_samples --gradient_checkpointing}
export CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-3,4,5,6,7}

source "$MATH_EXAMPLES/ray_cluster.sh"

train_on_math() { # METHOD: a value of --advantage_estimator
  local method=$1
  shift
  SAVE_PATH=${SAVE_PATH:-$MATH_EXAMPLES/../../ckpt/qwen2.5-1.5b-$method}
  # shellcheck disable=SC2086 # SWITCHES is a list
  ray_submit python3 -m openrlhf.cli.train_ppo_ray_intro \
    --advantage_estimator "$method" \
    --pretrain "$PRETRAIN" \
    --save_path "$SAVE_PATH" \
    --ckpt_path "${SAVE_PATH}_checkpoints" \
    --save_steps 2 \
    --prompt_data "$PROMPT_DATA" \
    --input_key problem \
    --label_key answer \
    --remote_rm_url "$MATH_EXAMPLES/grading/math_grade.py" \
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
    $SWITCHES \
    "$@"
}
