# Sourced by the training scripts. It offers one function: ray_submit COMMAND… runs COMMAND as a Ray job, follows
# its log and returns its exit status.
#
# With RAY_ADDRESS set, the job goes to that cluster. Otherwise a head is started for this script alone: on loopback
# only, behind a token, with a temporary folder and ports of its own, so that several can run on one machine. When
# the script ends (Ctrl-C and TERM too: a running job is stopped first) that head is stopped, and no other.
#
# RAY_NUM_CPUS, RAY_NUM_GPUS: what the head says it has, where that is not what was found (GPUs can be faked).

# Jobs look up python3 on the PATH of the head: the environment at the root of the repository, where it is set up.
CLUSTER_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [ -x "$CLUSTER_ROOT/.venv/bin/python3" ]; then PATH="$CLUSTER_ROOT/.venv/bin:$PATH"; fi
CLUSTER_FOLDER="" # of the head that was started here, and its process id: empty where there is none
CLUSTER_HEAD=""
CLUSTER_JOB="" # process id of the client of a running job

ray_submit() {
  if [ -z "${RAY_ADDRESS:-}" ]; then cluster_start || return; fi
  # In the background, since bash runs traps only while it waits, not while a command is in the foreground.
  python3 -m openrlhf.cli.ray_job --address "$RAY_ADDRESS" "$@" &
  CLUSTER_JOB=$!
  local status=0
  wait "$CLUSTER_JOB" || status=$?
  CLUSTER_JOB=""
  return "$status"
}

cluster_start() {
  # Only this user can enter it; Ray opens the folder within that it is given to everybody. Short names: those of the
  # sockets have 107 characters at most.
  CLUSTER_FOLDER=$(mktemp -d /tmp/openrlhf-ray.XXXXXX)
  trap cluster_stop EXIT
  trap 'cluster_interrupted 130' INT
  trap 'cluster_interrupted 143' TERM
  local token="$CLUSTER_FOLDER/token" ports options address
  (umask 077 && python3 -c 'import secrets; print(secrets.token_hex(32), end="")' >"$token")
  # Without the first of these, Ray listens on every address, whatever --node-ip-address says.
  export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$token"
  export RAY_USAGE_STATS_ENABLED=0
  read -r -a ports <<<"$(free_ports 9)"
  address="127.0.0.1:${ports[1]}"
  options=(--head --block --node-ip-address=127.0.0.1 --temp-dir="$CLUSTER_FOLDER/r" --port="${ports[0]}"
    --dashboard-host=127.0.0.1 --dashboard-port="${ports[1]}" --node-manager-port="${ports[2]}"
    --object-manager-port="${ports[3]}" --metrics-export-port="${ports[4]}" --runtime-env-agent-port="${ports[5]}"
    --dashboard-agent-listen-port="${ports[6]}" --dashboard-agent-grpc-port="${ports[7]}"
    --ray-client-server-port="${ports[8]}" --min-worker-port=0 --max-worker-port=0)
  if [ -n "${RAY_NUM_CPUS:-}" ]; then options+=(--num-cpus="$RAY_NUM_CPUS"); fi
  if [ -n "${RAY_NUM_GPUS:-}" ]; then options+=(--num-gpus="$RAY_NUM_GPUS"); fi
  echo "Starting a Ray head at $address"
  # In a session of its own: Ctrl-C then reaches this script alone, which stops the job before the head.
  setsid ray start "${options[@]}" >"$CLUSTER_FOLDER/head.log" 2>&1 </dev/null &
  CLUSTER_HEAD=$!
  local tries
  for ((tries = 0; tries < 240; tries++)); do
    if ! kill -0 "$CLUSTER_HEAD" 2>/dev/null; then break; fi
    if (exec 3<>"/dev/tcp/127.0.0.1/${ports[1]}") 2>/dev/null; then
      RAY_ADDRESS="http://$address"
      return
    fi
    sleep 0.5
  done
  echo "The Ray head at $address did not start within two minutes. The end of its log:" >&2
  tail -n 20 "$CLUSTER_FOLDER/head.log" >&2
  return 1
}

cluster_interrupted() { # STATUS
  trap '' INT TERM
  if [ -n "$CLUSTER_JOB" ] && kill -TERM "$CLUSTER_JOB" 2>/dev/null; then wait "$CLUSTER_JOB" || true; fi
  exit "$1"
}

cluster_stop() {
  if [ -n "$CLUSTER_HEAD" ]; then
    kill -TERM -- "-$CLUSTER_HEAD" 2>/dev/null || true
    local tries # Ray's own way to an end can take minutes, and nothing of this head is wanted any more
    for ((tries = 0; tries < 40; tries++)); do
      if ! kill -0 "$CLUSTER_HEAD" 2>/dev/null; then break; fi
      sleep 0.25
    done
    kill -KILL -- "-$CLUSTER_HEAD" 2>/dev/null || true
    wait "$CLUSTER_HEAD" 2>/dev/null || true # or bash would say that it was killed
  fi
  if [ -n "$CLUSTER_FOLDER" ]; then rm -rf -- "$CLUSTER_FOLDER"; fi
}

free_ports() { # COUNT: as many ports of loopback on which nobody listens
  python3 - "$1" <<'PYTHON'
import socket, sys

sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))
PYTHON
}
