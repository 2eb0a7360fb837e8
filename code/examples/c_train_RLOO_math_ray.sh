#!/usr/bin/env bash
# RLOO on InTRO's data and five GPUs: the reference model shares those of the four actor ranks.
# Environment variables and further flags as for a_train_InTRO_math_ray.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/math_ray.sh"

train_on_math rloo --colocate_actor_ref --ref_num_gpus_per_node 4 --init_kl_coef 1e-3 "$@"
