# The pinned set on CUDA, for the recipes of code/examples:
#   docker build -t openrlhf-intro .
#   docker run --gpus all --ipc=host -v $PWD/ckpt:/openrlhf/ckpt openrlhf-intro \
#     python3 -m openrlhf.cli.train_ppo_ray_intro --config code/examples/recipes/1x80gb_1.5b.yaml --plan_only
# --ipc=host: NCCL, and engines and trainers on the same GPU, share memory. FLASH=1 compiles flash-attn too (about an hour).
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04

RUN apt-get update && apt-get install -y --no-install-recommends \
      python3 python3-dev python3-venv git ninja-build && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /venv
ENV PATH=/venv/bin:$PATH VIRTUAL_ENV=/venv PIP_NO_CACHE_DIR=1

# Dependencies first, so that a change of the code does not install them again.
COPY OpenRLHF/requirements.txt /openrlhf/OpenRLHF/requirements.txt
RUN pip install 'setuptools>=77,<79' wheel ninja packaging && \
    pip install -r /openrlhf/OpenRLHF/requirements.txt vllm==0.32.0

ARG FLASH=0
RUN if [ "$FLASH" = 1 ]; then pip install --no-build-isolation flash-attn==2.8.3.post2; fi

COPY . /openrlhf
RUN pip install --no-deps --no-build-isolation -e /openrlhf

# Nobody trains as root.
RUN useradd --create-home trainer && mkdir -p /openrlhf/ckpt && chown -R trainer /openrlhf
USER trainer
WORKDIR /openrlhf
# What is installed is what was asked for, and it imports without a GPU.
RUN pip check && python3 -c 'import deepspeed, ray, torch, transformers, openrlhf'
