#!/usr/bin/env bash
# Fetches what benchmarks/gpu.sh needs beside torch, transformers and accelerate, for a machine without a network:
#   PYTHON_VERSION=3.12 bash benchmarks/fetch_gpu_wheels.sh [FOLDER]      (default: benchmarks/wheels)
# PYTHON_VERSION is that of the machine with the GPU. Needs pip and a network here, and torch to build DeepSpeed's wheel.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-$here/wheels}
version=${PYTHON_VERSION:-3.12}
mkdir -p "$folder"
pin() { sed -n "s/^\($1==[^ ]*\)$/\1/p" "$here/../OpenRLHF/requirements.txt"; }

# DeepSpeed comes as source; without its operators it is Python only, so the wheel fits any version of Python. What this
# project uses of it on one GPU needs no compiled operator.
DS_BUILD_OPS=0 python3 -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$folder" "$(pin deepspeed)"
platforms=()
for number in 2_28 2_27 2_24 2_17 2_12 2_5; do platforms+=(--platform "manylinux_${number}_x86_64"); done
platforms+=(--platform manylinux2014_x86_64 --platform manylinux2010_x86_64)
python3 -m pip download --quiet --no-deps --only-binary=:all: --implementation cp --python-version "$version" \
  "${platforms[@]}" --dest "$folder" \
  hjson py-cpuinfo msgpack psutil einops ninja pydantic==2.14.4 pydantic-core==2.50.5 annotated-types typing-inspection \
  typing-extensions pytest==9.2.0 pytest-timeout==2.4.0 pluggy iniconfig pygments
size=$(du -sm "$folder" | cut -f1)
ls "$folder"
echo "$size MiB in $folder"
if [ "$size" -ge 60 ]; then
  echo "more than the 60 MiB that may travel: leave out what the machine has already" >&2
  exit 1
fi
