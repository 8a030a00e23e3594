#!/usr/bin/env bash
# Runs h2spec (github.com/summerwind/h2spec) against mizzen-proxy: HTTP/2 by prior knowledge and by ALPN over
# TLS, every section, strict cases too. h2spec is looked for in MIZZEN_H2SPEC and on PATH, else built by `go install`
# into a folder that is removed afterwards; without either the run says "skipped" and ends well.
set -euo pipefail
folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${MIZZEN_BIN:-$folder/../../out/bin}
work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT INT TERM

h2spec=${MIZZEN_H2SPEC:-$(command -v h2spec || true)}
if [ -z "$h2spec" ] && command -v go >/dev/null; then
  GOBIN=$work/bin GOPATH=$work/go go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible \
    >"$work/go.log" 2>&1 && h2spec=$work/bin/h2spec
fi
if [ -z "$h2spec" ]; then
  echo "skipped: no h2spec (set MIZZEN_H2SPEC, put h2spec on PATH, or install go)"
  exit 0
fi

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

listener() { # listener NAME PORT CODEC TRANSPORT_SOCKET
  cat <<C
  - name: $1
    address: {socket_address: {address: 127.0.0.1, port_value: $2}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          codec_type: $3
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                direct_response: {status: 200, body: {inline_string: "what h2spec asks for is long enough"}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
$4
C
}
tls="      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - certificate_chain: {filename: $work/cert.pem}
              private_key: {filename: $work/key.pem}"
port=${MIZZEN_H2SPEC_PORT:-18480}
{
  echo "static_resources:"
  echo "  listeners:"
  listener plain "$port" HTTP2 ""
  listener tls $((port + 1)) AUTO "$tls"
} >"$work/proxy.yaml"
"$bin/mizzen-proxy" -c "$work/proxy.yaml" --concurrency 1 >"$work/proxy.log" 2>&1 &
pids+=($!)
deadline=$((SECONDS + 10))
until curl -sf -m 2 --http2-prior-knowledge -o /dev/null "http://127.0.0.1:$port/"; do
  [ $SECONDS -lt $deadline ] || { echo "the proxy does not answer:" >&2; cat "$work/proxy.log" >&2; exit 1; }
  sleep 0.05
done

status=0
run() { # run TITLE ARGUMENT...
  echo "h2spec, $1"
  shift
  "$h2spec" "$@" -h 127.0.0.1 -o "${MIZZEN_H2SPEC_TIMEOUT:-2}" --strict >"$work/out" 2>&1 || status=1
  tail -n 2 "$work/out"
  [ $status -eq 0 ] || sed -n '/^Failures/,$p' "$work/out"
}
run "prior knowledge" -p "$port"
run "TLS and ALPN" -p $((port + 1)) -t -k
exit $status
