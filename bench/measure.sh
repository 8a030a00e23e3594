# How bench/run starts contenders and what it reads of them. Expects $work.

pids=()
declare -A pid port
start() { # start NAME COMMAND...: runs it; its process is ${pid[NAME]}
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 &
  pid[$name]=$!
  pids+=($!)
}
stop() { # stop NAME
  kill "${pid[$1]}" 2>/dev/null || true
  wait "${pid[$1]}" 2>/dev/null || true
}
answers() { curl -sf -m 2 -o /dev/null --http1.1 "http://127.0.0.1:$1/"; }
opens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
wait_for() { # wait_for PORT NAME [answers|opens]
  local deadline=$((SECONDS + 20))
  until "${3:-answers}" "$1"; do
    [ $SECONDS -lt $deadline ] || { echo "$2 does not answer on port $1:" >&2; tail -n 5 "$work/$2.log" >&2; return 1; }
    sleep 0.02
  done
}
tree() { local child; echo "$1"; for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do tree "$child"; done; }
# CPU time of these contenders and their children, in nanoseconds (the scheduler's own account).
cpu_ns() {
  local name each
  for name in "$@"; do
    for each in $(tree "${pid[$name]}"); do cat /proc/"$each"/task/*/schedstat; done
  done | awk '{s += $1} END {printf "%.0f\n", s}'
}
private_kb() { # private_kb NAME: what nobody shares with it
  local each
  for each in $(tree "${pid[$1]}"); do cat "/proc/$each/smaps_rollup"; done |
    awk '/^Private_Dirty/ {s += $2} END {print s + 0}'
}
median() { sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
per() { awk -v a="$1" -v b="$2" -v digits="${3:-2}" 'BEGIN {printf "%.*f\n", digits, (b > 0 ? a / b : 0)}'; }
note() { echo "${*:2}" >>"$work/$1.figures"; } # note ROW FIGURE...: one round's figures
column() { awk -v c="$2" '{print $c}' "$work/$1.figures" | median; }

# --- One round of one contender each -------------------------------------------------------------

# Full speed over 16 connections: "cpu-µs requests/s p50 p99". Processes to be charged follow.
full_speed() { # full_speed ROW PORT NAME...
  local row=$1 at=$2 before after out requests
  shift 2
  before=$(cpu_ns "$@")
  out=$(wrk -t1 -c$connections -d"${seconds}s" --latency "http://127.0.0.1:$at/")
  after=$(cpu_ns "$@")
  requests=$(awk '/requests in/ {print $1}' <<<"$out")
  note "$row" "$(per $((after - before)) $((requests * 1000)))" "$((requests / seconds))" \
    "$(awk '$1 == "50%" {print $2}' <<<"$out")" "$(awk '$1 == "99%" {print $2}' <<<"$out")"
}
# 1,000 requests a second over 16 connections: "cpu-µs p50-µs p99-µs".
paced() { # paced ROW PORT NAME...
  local row=$1 at=$2 before after
  shift 2
  rm -f "$work/times"
  before=$(cpu_ns "$@")
  h2load --h1 -c$connections -D"$seconds" --rps=$((1000 / connections)) --log-file="$work/times" \
    "http://127.0.0.1:$at/" >/dev/null
  after=$(cpu_ns "$@")
  note "$row" "$(per $((after - before)) $((1000 * $(wc -l <"$work/times"))))" \
    "$(cut -f3 "$work/times" | sort -g | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)], v[int(NR * 0.99)]}')"
}
# HTTP/2 over TLS, 16 connections with 8 requests each at a time: "cpu-µs requests/s".
h2_speed() { # h2_speed ROW PORT NAME
  local before after out requests
  before=$(cpu_ns "$3")
  out=$(h2load -c$connections -m8 -D"$seconds" "https://127.0.0.1:$2/")
  after=$(cpu_ns "$3")
  requests=$(awk '/^requests:/ {print $8}' <<<"$out")
  note "$1" "$(per $((after - before)) $((requests * 1000)))" "$((requests / seconds))"
}
# Handshakes with certificates on both sides, each for a connection and a request of its own:
# "cpu-µs" of the server. HOW: new or reuse.
handshakes() { # handshakes ROW PORT NAME HOW
  local before after count
  before=$(cpu_ns "$3")
  count=$(openssl s_time -connect "127.0.0.1:$2" -cert "$work/leaf.pem" -key "$work/leaf.key" -tls1_3 \
    -www / -"$4" -time "$seconds" 2>/dev/null | sed -n 's/^\([0-9]*\) connections in .* real.*/\1/p' | tail -n 1)
  after=$(cpu_ns "$3")
  note "$1" "$(per $((after - before)) $((count * 1000)) 0)"
}
# One long stream: "MB/s cpu-ms-per-GB".
long_stream() { # long_stream ROW URL NAME
  local before after begin end bytes
  before=$(cpu_ns "$3") begin=$(date +%s%N)
  bytes=$(curl -sk --http1.1 --cert "$work/leaf.pem" --key "$work/leaf.key" -o /dev/null -w '%{size_download}' "$2")
  end=$(date +%s%N) after=$(cpu_ns "$3")
  note "$1" "$(per "${bytes}000" $((end - begin)) 0)" "$(per $(((after - before) * 1000)) "$bytes" 0)"
}
# KB of private memory for each of 2,000 connections that have had a request and wait.
idle_connections() { # idle_connections ROW PORT NAME plain|tls
  local before after
  before=$(private_kb "$3")
  bench/hold "$4" "$2" 2000 "$work" >"$work/hold.log" &
  local holder=$!
  until grep -q open "$work/hold.log"; do kill -0 $holder || { cat "$work/hold.log" >&2; return 1; }; sleep 0.1; done
  sleep 3 # contenders let go of what only a busy connection needs
  after=$(private_kb "$3")
  kill $holder
  wait $holder 2>/dev/null || true
  note "$1" "$(per $((after - before)) 2000)"
}

# --- Tables --------------------------------------------------------------------------------------

row() { printf '%-38s %12s %10s %10s %10s\n' "$@"; }
# table TITLE COLUMNS ROW...: medians; then the first row's first column over each other row's,
# with the target where one is named as ROW:TARGET.
table() {
  local title=$1 heads=$2 name target ours theirs
  local -a figures
  shift 2
  echo
  echo "$title"
  # shellcheck disable=SC2086
  row "" $heads
  for name in "$@"; do
    name=${name%%:*}
    [ -e "$work/$name.figures" ] || continue
    figures=()
    for ((c = 1; c <= $(wc -w <<<"$heads"); c++)); do figures+=("$(column "$name" $c)"); done
    row "$name" "${figures[@]}"
  done
  ours=$(column "${1%%:*}" 1)
  for name in "${@:2}"; do
    target=${name#*:}
    name=${name%%:*}
    [ -e "$work/$name.figures" ] || continue
    theirs=$(column "$name" 1)
    awk -v a="$ours" -v b="$theirs" -v n="$name" -v t="$target" -v raw="$1:$name" 'BEGIN {
      r = b > 0 ? a / b : 0
      printf "  %.2f x %s", r, n
      if (t != n) {
        high = sub(/^>/, "", t)
        printf " (target %s %s: %s)", high ? ">=" : "<=", t, (high ? r >= t : r <= t) ? "met" : "missed"
      }
      print ""
    }'
  done
}
limit() { # limit WHAT VALUE UNIT TARGET
  awk -v v="$2" -v t="$4" -v what="$1" -v unit="$3" \
    'BEGIN {printf "%-60s %s %s (target <= %s: %s)\n", what, v, unit, t, v <= t ? "met" : "missed"}'
}
