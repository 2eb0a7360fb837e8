#!/usr/bin/env bash
# PPO on InTRO's data and five GPUs: two for policy and reference model, two for the critic, one for the engine.
# Environment variables and further flags as for a_train_InTRO_math_ray.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/math_ray.sh"

train_on_math gae --actor_num_gpus_per_node 2 --colocate_actor_ref --ref_num_gpus_per_node 2 \
  --critic_num_gpus_per_node 2 --critic_learning_rate 9e-6 --init_kl_coef 1e-3 "$@"
