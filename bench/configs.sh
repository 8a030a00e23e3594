# Configurations of every contender for bench/run: the same job for each, one worker.
# Expects $work.

certificates() {
  (
    cd "$work"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /O=bench \
      -keyout ca.key -out ca.pem
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /O=bench -keyout leaf.key -out leaf.csr
    printf 'subjectAltName=URI:spiffe://cluster.local/ns/bench/sa/bench,DNS:bench\n' >leaf.ext
    openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem
    cat leaf.pem leaf.key >both.pem
  ) >/dev/null 2>&1
}

nginx_conf() { # nginx_conf NAME BODY-OF-HTTP
  cat >"$work/$1.conf" <<C
daemon off; worker_processes 1; pid $work/$1.pid; error_log $work/$1.err;
$([ "$(id -u)" != 0 ] || echo "user root;")
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path $work/$1.t; proxy_temp_path $work/$1.p;
fastcgi_temp_path $work/$1.f; uwsgi_temp_path $work/$1.u; scgi_temp_path $work/$1.s;
$2 }
C
}
nginx_upstream='upstream b { server 127.0.0.1:PORT; keepalive 64; keepalive_requests 1000000000; }'
nginx_pass='proxy_http_version 1.1; proxy_set_header Connection "";'

haproxy_conf() { # haproxy_conf NAME BIND SERVER [MODE]
  cat >"$work/$1.cfg" <<C
global
  nbthread 1
  maxconn 8192
defaults
  mode ${4:-http}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
$([ "${4:-http}" = http ] && echo "  http-reuse always")
listen $1
  bind $2
  server b $3
C
}

tls_common() { # tls_common INDENT ALPN: what both sides of mutual TLS have in common
  sed "s/^/$1/" <<C
tls_certificates:
- certificate_chain: {filename: $work/leaf.pem}
  private_key: {filename: $work/leaf.key}
validation_context: {trusted_ca: {filename: $work/ca.pem}}
alpn_protocols: [$2]
C
}
listener_tls() { # listener_tls CLIENT-CERTIFICATE-REQUIRED ALPN
  cat <<C
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: $1
          common_tls_context:
$(tls_common "            " "$2")
C
}
cluster_tls() {
  cat <<C
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: bench
        common_tls_context:
$(tls_common "          " istio-http/1.1)
C
}
# What a sidecar of Istio's does beside forwarding, as its control plane configures it: its access log's text, client
# certificates told on, requests marked for tracing (to no collector), retries, and filters that stand ready; at the
# server a policy.
sidecar_connections() { # sidecar_connections NAME: of the connection manager
  cat <<C
          server_name: istio-envoy
          normalize_path: true
          path_with_escaped_slashes_action: KEEP_UNCHANGED
          proxy_100_continue: true
          stream_idle_timeout: 0s
          request_id_extension:
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig
              use_request_id_for_trace_sampling: true
          tracing:
            client_sampling: {value: 100}
            random_sampling: {value: 100}
            overall_sampling: {value: 100}
            custom_tags:
            - {tag: istio.canonical_revision, literal: {value: v1}}
            - {tag: istio.canonical_service, literal: {value: bench}}
            - {tag: istio.cluster_id, literal: {value: Kubernetes}}
            - {tag: istio.mesh_id, literal: {value: cluster.local}}
            - {tag: istio.namespace, literal: {value: bench}}
          upgrade_configs: [{upgrade_type: websocket}]
          forward_client_cert_details: APPEND_FORWARD
          set_current_client_cert_details: {subject: true, dns: true, uri: true}
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: $work/$1.access
              log_format:
                text_format_source:
                  inline_string: "$istio_log\\n"
C
}
istio_log='[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS%'
istio_log+=' %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED%'
istio_log+=' %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\"'
istio_log+=' \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS%'
istio_log+=' %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%'
sidecar_route='                  timeout: 0s
                  max_stream_duration: {max_stream_duration: 0s, grpc_timeout_header_max: 0s}
                  retry_policy:
                    retry_on: connect-failure,refused-stream,unavailable,cancelled
                    num_retries: 2
                    host_selection_retry_max_attempts: 5
                    retry_host_predicate:
                    - name: envoy.retry_host_predicates.previous_hosts
                      typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}
                decorator: {operation: "bench.bench.svc.cluster.local:80/*"}'
inbound_route='                  timeout: 0s
                  max_stream_duration: {max_stream_duration: 0s, grpc_timeout_header_max: 0s}
                  retry_policy: {retry_on: reset-before-request, num_retries: 2}
                decorator: {operation: "bench.bench.svc.cluster.local:80/*"}'
sidecar_filters='          - name: envoy.filters.http.grpc_stats
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig, emit_filter_state: true}
          - name: envoy.filters.http.fault
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}
          - name: envoy.filters.http.cors
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}'
policy() {
  cat <<'C'
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  callers:
                    permissions: [{any: true}]
                    principals: [{authenticated: {principal_name: {prefix: "spiffe://cluster.local/ns/bench/"}}}]
C
}
cluster() { # cluster NAME PORT TLS
  cat <<C
  - name: $1
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: $1
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $2}}}
$3
C
}

# The same file drives mizzen-proxy and Envoy.
# envoy_yaml NAME PORT UPSTREAM_PORT [LISTENER_TLS [CLUSTER_TLS [CONNECTIONS [FILTERS [HOSTS [CLUSTERS [ROUTE]]]]]]]
envoy_yaml() {
  cat >"$work/$1.yaml" <<C
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: $2}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
${6:-}
          route_config:
            name: all
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route:
                  cluster: up
${10:-}
${8:-}
          http_filters:
${7:-}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
${4:-}
  clusters:
$(cluster up "$3" "${5:-}")
${9:-}
C
}
sidecars() { # sidecars NAME PORT MIDDLE_PORT: the client's, NAME-source, and the server's, NAME-target
  envoy_yaml "$1-source" "$2" "$3" '' "$(cluster_tls)" "$(sidecar_connections "$1-source")" "$sidecar_filters" '' '' "$sidecar_route"
  envoy_yaml "$1-target" "$3" 18000 "$(listener_tls true istio-http/1.1)" '' "$(sidecar_connections "$1-target")" \
    "$(policy)"$'\n'"$sidecar_filters" '' '' "$inbound_route"
}
tcp_yaml() { # tcp_yaml NAME PORT UPSTREAM_PORT LISTENER_TLS
  cat >"$work/$1.yaml" <<C
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: $2}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: in
          cluster: up
$4
  clusters:
$(cluster up "$3" "")
C
}
services() { # services HOSTS|CLUSTERS: of a mesh with 1,000 services
  local i
  for ((i = 0; i < 1000; i++)); do
    if [ "$1" = HOSTS ]; then
      echo "            - {name: \"s$i:80\", domains: [\"s$i.default.svc.cluster.local\", \"s$i\", \"s$i.default\"], routes: [{match: {prefix: /}, route: {cluster: s$i}}]}"
    else
      echo "  - {name: s$i, type: STATIC, connect_timeout: 5s, load_assignment: {cluster_name: s$i, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.1.$((i / 250)).$((i % 250 + 1)), port_value: 8080}}}}]}]}}"
    fi
  done
}

make_configs() {
  certificates
  nginx_conf backend "server { listen 18000; location / { return 200 \"hello\n\"; } location /big { alias $work/big; } }"
  nginx_conf nginx "${nginx_upstream/PORT/18000} server { listen 18002; location / { $nginx_pass proxy_pass http://b; } }"
  nginx_conf nginx-client "${nginx_upstream/PORT/18032} server { listen 18012; location / { $nginx_pass proxy_pass https://b;
    proxy_ssl_certificate $work/leaf.pem; proxy_ssl_certificate_key $work/leaf.key; proxy_ssl_protocols TLSv1.3;
    proxy_ssl_trusted_certificate $work/ca.pem; proxy_ssl_verify on; proxy_ssl_name bench; } }"
  nginx_conf nginx-server "${nginx_upstream/PORT/18000} server { listen 18032 ssl; ssl_certificate $work/leaf.pem;
    ssl_certificate_key $work/leaf.key; ssl_client_certificate $work/ca.pem; ssl_verify_client on; ssl_protocols TLSv1.3;
    location / { $nginx_pass proxy_pass http://b; } }"
  local mutual="ssl crt $work/both.pem ca-file $work/ca.pem verify required"
  haproxy_conf haproxy 127.0.0.1:18003 127.0.0.1:18000
  haproxy_conf haproxy-client 127.0.0.1:18013 "127.0.0.1:18033 $mutual alpn h2"
  haproxy_conf haproxy-server "127.0.0.1:18033 $mutual alpn h2,http/1.1" 127.0.0.1:18000
  haproxy_conf haproxy-tcp 127.0.0.1:18052 127.0.0.1:18000 tcp
  haproxy_conf haproxy-tls "127.0.0.1:18054 $mutual" 127.0.0.1:18000 tcp

  local in out name base
  in=$(listener_tls true istio-http/1.1)
  out=$(cluster_tls)
  # Mizzen's ports end in 1 and 5, Envoy's in 4 and 6: docs/benchmarks.md has the roles.
  envoy_yaml mizzen 18001 18000
  envoy_yaml envoy 18005 18000
  envoy_yaml first 18021 18000
  envoy_yaml mizzen-client 18011 18031 '' "$out"
  envoy_yaml mizzen-server 18031 18000 "$in"
  envoy_yaml envoy-client 18014 18034 '' "$out"
  envoy_yaml envoy-server 18034 18000 "$in"
  sidecars mizzen 18015 18035
  sidecars envoy 18016 18036
  envoy_yaml to-envoy 18017 18036 '' "$out"
  envoy_yaml mizzen-h2 18041 18000 "$(listener_tls false h2)"
  tcp_yaml mizzen-tcp 18051 18000 ''
  tcp_yaml mizzen-tls 18053 18000 "$in"
  for name in mizzen envoy; do
    base=18061
    [ $name = envoy ] && base=18062
    envoy_yaml $name-many $base 18000 "$in" '' '' '' "$(services HOSTS)" "$(services CLUSTERS)"
  done
  truncate -s 512M "$work/big"
}
