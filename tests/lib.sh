# Shared by the scripts under tests/: a cluster of its own, checks that name what they checked, and a
# clean-up that runs whatever happens. Source it; needs the programs on PATH.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
passed=0 failed=0 skipped=0

check() { # check NAME COMMAND...: passes when the command succeeds
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    passed=$((passed + 1)); echo "ok    $name"
  else
    failed=$((failed + 1)); echo "FAIL  $name"; printf '%s\n' "$output" | tail -n 15 | sed 's/^/      /'
  fi
}

skip() { skipped=$((skipped + 1)); echo "skip  $1: $2"; }

# within SECONDS COMMAND...: retries until it succeeds or the time is up; shows the last output.
within() {
  local deadline=$((SECONDS + $1)) output
  shift
  until output=$("$@" 2>&1); do
    if [ $SECONDS -ge $deadline ]; then printf '%s\n' "$output"; return 1; fi
    sleep 0.2
  done
}

# draws COMMAND...: for what chance decides and a limit of about three sigma judges. A draw outside it
# comes once in some hundred runs; a fault of ours is seen in the second draw too.
draws() { "$@" || { echo "once more:"; "$@"; }; }

has() { # has REGEX COMMAND...: the command's output matches
  local regex=$1 output
  shift
  output=$("$@" 2>&1) || { printf '%s\n' "$output"; return 1; }
  grep -qE "$regex" <<<"$output" || { printf 'no match for %s in:\n%s\n' "$regex" "$output"; return 1; }
}

fails_with() { # fails_with REGEX COMMAND...: the command fails and its output matches
  local regex=$1 output
  shift
  if output=$("$@" 2>&1); then printf 'succeeded:\n%s\n' "$output"; return 1; fi
  grep -qE "$regex" <<<"$output" || { printf 'no match for %s in:\n%s\n' "$regex" "$output"; return 1; }
}

needs_manifests() { # needs_manifests NAME: false, saying so, without the upstream manifests
  [ -n "${MIZZEN_MANIFESTS:-}" ] && return
  skip "$1" "MIZZEN_MANIFESTS is not set"
  return 1
}

# A cluster of this script's own, which ends with it.
start_cluster() {
  MIZZEN_HOME=$(mktemp -d)
  export MIZZEN_HOME
  trap 'status=$?; end_cluster; exit $status' EXIT INT TERM
  mizzenctl up "$@"
  eval "$(mizzenctl env)"
}
end_cluster() { mizzenctl down >/dev/null 2>&1 || true; rm -rf "$MIZZEN_HOME"; }

inject_default() { kubectl label namespace default istio-injection=enabled --overwrite >/dev/null; }

self_signed() { # self_signed COMMON_NAME DNS_NAME KEY_FILE CERTIFICATE_FILE
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$1" \
    -addext "subjectAltName=DNS:$2" -keyout "$3" -out "$4" 2>/dev/null
}

# Steady load while things change: load_start CLIENT..., commands that print status codes and are run over and over;
# then load_is_clean (every answer was 200) or load_stop.
ask_page() { curl -s -m 10 -o /dev/null -w '%{http_code}\n' "http://$GATEWAY_URL/productpage" || echo "curl $?"; }
load_start() {
  local client
  rm -rf "$MIZZEN_HOME/load"
  mkdir "$MIZZEN_HOME/load"
  touch "$MIZZEN_HOME/load/go"
  load_pids=()
  for client in "${@:-ask_page}"; do
    while [ -e "$MIZZEN_HOME/load/go" ]; do $client; done >"$MIZZEN_HOME/load/$client.${#load_pids[@]}" &
    load_pids+=($!)
  done
}
load_stop() {
  local pid
  rm "$MIZZEN_HOME/load/go"
  for pid in "${load_pids[@]}"; do # not `wait`: a check runs in a subshell, whose children they are not
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  done
  sort "$MIZZEN_HOME"/load/* | uniq -c
}
load_is_clean() {
  load_stop
  [ "$(sort -u "$MIZZEN_HOME"/load/*)" = 200 ]
}

# kill_container POD PROGRAM: SIGKILL to a program of a pod, from outside: the first process of a PID
# namespace is shielded from those inside.
kill_container() {
  local pid
  for pid in $(pgrep -x "$2"); do
    if tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qx "HOSTNAME=$1"; then
      kill -9 "$pid"
      return
    fi
  done
  echo "no process $2 of pod $1"
  return 1
}

finish() {
  echo "$passed passed, $failed failed, $skipped skipped"
  [ $failed -eq 0 ]
}
