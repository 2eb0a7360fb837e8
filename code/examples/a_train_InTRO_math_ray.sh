#!/usr/bin/env bash
# Trains with InTRO on MATH, level 3 to 5: the published configuration, on five GPUs (four actor ranks, one engine).
#
#   python3 code/data/data_preprocessing.py        # once: writes PROMPT_DATA
#   bash code/examples/a_train_InTRO_math_ray.sh
#
# PRETRAIN, PROMPT_DATA, SAVE_PATH, SWITCHES and CUDA_VISIBLE_DEVICES choose model, data, output, switches and GPUs.
# Any flag of python3 -m openrlhf.cli.train_ppo_ray_intro can be appended; math_ray.sh holds the others.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/math_ray.sh"

train_on_math intro --intro_num_candidates 5 --intro_top_k 20 "$@"
