#!/usr/bin/env bash
# Sends the table of ambiguous messages (tests/conformance/cases.txt) to mizzen-proxy and to those of Envoy, nginx and
# haproxy that are there, and prints who does what with each as a Markdown table. With --save it becomes
# docs/http-conformance.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cases=$PWD/tests/conformance/cases.txt
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT INT TERM
PATH=${MIZZEN_BIN:-$PWD/out/bin}:$PWD/out/build/release/bin:$PATH:/usr/sbin

backend=18490 base=18500
envoy_config() { # envoy_config PORT
  cat <<C
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: $1}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          normalize_path: true
          generate_request_id: false
          http_protocol_options: {accept_http_10: true, default_host_for_http_10: default}
          upgrade_configs: [{upgrade_type: websocket}]
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: up, timeout: 0s}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $backend}}}
C
}
start() { # start NAME COMMAND...
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 &
  pids+=($!)
}
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
wait_for() { # wait_for PORT NAME
  local deadline=$((SECONDS + 15))
  until answers "$1"; do
    [ $SECONDS -lt $deadline ] || { echo "$2 does not listen on $1:" >&2; tail -n 5 "$work/$2.log" >&2; return 1; }
    sleep 0.05
  done
}
probe() { # probe NAME PORT HTTP2-PORT
  wait_for "$2" "$1"
  http-probe "$2" "$3" $backend "$cases" >"$work/$1.seen"
  names+=("$1")
}

names=()
envoy_config $base >"$work/mizzen.yaml"
start mizzen mizzen-proxy -c "$work/mizzen.yaml" --concurrency 1
probe mizzen $base $base

envoy=${MIZZEN_ENVOY:-$(command -v envoy || true)}
if [ -n "$envoy" ] && head -c 4 "$envoy" | grep -q ELF; then
  envoy_config $((base + 1)) >"$work/envoy.yaml"
  start envoy "$envoy" -c "$work/envoy.yaml" --concurrency 1 --log-level error --use-dynamic-base-id
  probe envoy $((base + 1)) $((base + 1))
else
  echo "Envoy is left out: MIZZEN_ENVOY names none" >&2
fi

if command -v nginx >/dev/null; then
  cat >"$work/nginx.conf" <<C
daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.err;
events { worker_connections 256; }
http { access_log off; client_body_temp_path $work/t; proxy_temp_path $work/p;
fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
upstream b { server 127.0.0.1:$backend; keepalive 8; }
server { listen $((base + 2)); listen $((base + 3)) http2;
location / { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host \$http_host;
proxy_request_buffering off; proxy_pass http://b; } } }
C
  start nginx nginx -p "$work" -c "$work/nginx.conf" -e "$work/nginx.err"
  probe nginx $((base + 2)) $((base + 3))
else
  echo "nginx is left out: it is not installed" >&2
fi

if command -v haproxy >/dev/null; then
  cat >"$work/haproxy.cfg" <<C
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend in
  bind 127.0.0.1:$((base + 4))
  bind 127.0.0.1:$((base + 5)) proto h2
  default_backend up
backend up
  server b 127.0.0.1:$backend
C
  start haproxy haproxy -f "$work/haproxy.cfg"
  probe haproxy $((base + 4)) $((base + 5))
else
  echo "haproxy is left out: it is not installed" >&2
fi

table() {
  local name row
  row="| case |"
  for name in "${names[@]}"; do row+=" $name |"; done
  echo "$row"
  row="|---|"
  for name in "${names[@]}"; do row+="---|"; done
  echo "$row"
  awk -F': ' '$1 == "case" {c = $2} $1 == "section" {print c "\t" $2}' "$cases" |
    while IFS=$'\t' read -r c section; do
      row="| $c ($section) |"
      for name in "${names[@]}"; do row+=" $(awk -F'\t' -v c="$c" '$1 == c {print $2}' "$work/$name.seen") |"; done
      echo "$row"
    done
}
version() { "$@" 2>&1 | head -n 1; }
page() {
  cat <<P
# What proxies do with messages that can be read in two ways

Written by \`tests/interop/conformance.sh --save\`. The cases, byte by byte, with the RFC's section for each, stand in
\`tests/conformance/cases.txt\`; a test holds our own column, the bytes that reach the server included.

A cell says what the client got, and how many requests reached the server. "goes on": the connection was used further
after the message was refused. "waits": for bytes that never came, within 1.5 s. "closes": without an answer. "reset": the
HTTP/2 stream or connection. Empty: not run (no HTTP/2).

P
  printf 'Compared on one machine, default settings: mizzen-proxy'
  [[ " ${names[*]} " != *" envoy "* ]] || printf ', %s' "$("$envoy" --version | grep -o '/[0-9][0-9.]*/' | tr -d / | sed 's/^/Envoy /')"
  [[ " ${names[*]} " != *" nginx "* ]] || printf ', %s' "$(version nginx -v | sed 's/.*: //')"
  [[ " ${names[*]} " != *" haproxy "* ]] || printf ', %s' "$(version haproxy -v | awk '{print $1, $3}')"
  printf '.\n\n'
  table
}
if [ "${1:-}" = --save ]; then page >docs/http-conformance.md; else table; fi
