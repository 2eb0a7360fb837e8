#!/usr/bin/env bash
# GRPO on InTRO's data and five GPUs: the reference model shares those of the four actor ranks.
# Environment variables and further flags as for a_train_InTRO_math_ray.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/math_ray.sh"

train_on_math group_norm --colocate_actor_ref --ref_num_gpus_per_node 4 \
  --use_kl_loss --kl_estimator k3 --init_kl_coef 1e-3 "$@"
