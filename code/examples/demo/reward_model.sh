#!/usr/bin/env bash
# A reward model, trained, served and used:  bash reward_model.sh     (after quickstart.sh, whose models it starts from)
#
# train_rm learns from pairs to prefer careful solutions to hasty ones, serve_rm answers for it on loopback, and
# train_ppo_ray (PPO with a critic) raises its reward. Ends with the mean reward of the first and of the last steps.
# DATA, BASE and OUT choose other folders; PORT another port; further flags go to train_ppo_ray.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
DATA=${DATA:-$ROOT/outputs/quickstart/data}
BASE=${BASE:-$ROOT/outputs/quickstart/base}
OUT=${OUT:-$ROOT/outputs/reward_model}
PORT=${PORT:-5055}
if [ ! -f "$BASE/config.json" ]; then
  echo "$BASE holds no model: run quickstart.sh first, or set DATA and BASE" >&2
  exit 2
fi
export CUDA_VISIBLE_DEVICES="" OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
source "$HERE/../ray_cluster.sh"

python3 "$HERE/make_preference_data.py" --data_dir "$DATA" --output_dir "$OUT/pairs"
python3 -m openrlhf.cli.train_rm \
  --pretrain "$BASE" --dataset "$OUT/pairs" --save_path "$OUT/model" --overwrite \
  --prompt_key prompt --input_template None --max_len 128 \
  --train_batch_size 32 --micro_train_batch_size 16 --max_epochs 1 --zero_stage 0 \
  --learning_rate 3e-4 --lr_warmup_ratio 0.1 --logging_steps 10 --disable_ds_ckpt

python3 -m openrlhf.cli.serve_rm --reward_pretrain "$OUT/model" --normalize_reward --host 127.0.0.1 --port "$PORT" \
  >"$OUT/serve_rm.log" 2>&1 &
SERVER=$!
trap 'kill "$SERVER" 2>/dev/null || true' EXIT
# In a shell of its own, since starting the cluster sets the traps of its shell.
status=0
(
  ray_submit python3 -m openrlhf.cli.train_ppo_ray \
    --pretrain "$BASE" --prompt_data "$DATA/train.json" --save_path "$OUT/trained" --overwrite \
    --remote_rm_url "http://127.0.0.1:$PORT/get_reward" --input_key problem \
    --advantage_estimator gae --actor_num_gpus_per_node 1 --critic_num_gpus_per_node 1 --ref_num_gpus_per_node 1 \
    --vllm_num_engines 1 --vllm_sync_backend gloo --vllm_kv_cache_mb 256 --enforce_eager --zero_stage 0 \
    --rollout_batch_size 64 --n_samples_per_prompt 2 --train_batch_size 128 --micro_train_batch_size 32 \
    --micro_rollout_batch_size 64 --prompt_max_len 64 --generate_max_len 64 --max_samples 768 \
    --actor_learning_rate 2e-4 --critic_learning_rate 1e-3 --adam_betas 0.9 0.99 --init_kl_coef 0.01 \
    "$@"
) || status=$?
kill "$SERVER" 2>/dev/null || true
wait "$SERVER" || true
[ "$status" = 0 ] || exit "$status"

python3 - "$OUT/trained/metrics.jsonl" <<'PYTHON'
import json, sys

rewards = [json.loads(line)["train/reward"] for line in open(sys.argv[1], encoding="utf-8")]
first, last = sum(rewards[:2]) / 2, sum(rewards[-2:]) / 2
print(f"mean normalised reward of the first two steps {first:+.3f}, of the last two {last:+.3f}")
sys.exit(0 if last > first else 1)
PYTHON
