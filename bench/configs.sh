# Configurations of every contender for bench/run: the same job for each, one worker, no access log.
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
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path $work/$1.t; proxy_temp_path $work/$1.p;
fastcgi_temp_path $work/$1.f; uwsgi_temp_path $work/$1.u; scgi_temp_path $work/$1.s;
$2 }
C
}
nginx_upstream='upstream b { server 127.0.0.1:PORT; keepalive 64; keepalive_requests 1000000000; }'
nginx_pass='proxy_http_version 1.1; proxy_set_header Connection "";'

haproxy_conf() { # haproxy_conf NAME BIND SERVER
  cat >"$work/$1.cfg" <<C
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
listen $1
  bind $2
  server b $3
C
}

static_tls() { # the common TLS context of a mizzen-proxy configuration
  cat <<C
              tls_certificates:
              - certificate_chain: {filename: $work/leaf.pem}
                private_key: {filename: $work/leaf.key}
              validation_context: {trusted_ca: {filename: $work/ca.pem}}
              alpn_protocols: [ALPN]
C
}

mizzen_yaml() { # mizzen_yaml NAME PORT UPSTREAM_PORT LISTENER_TLS CLUSTER_TLS
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
          route_config:
            name: all
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: up}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
$4
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $3}}}
$5
C
}

make_configs() {
  certificates
  nginx_conf backend 'server { listen 18000; location / { return 200 "hello\n"; } }'
  nginx_conf nginx "${nginx_upstream/PORT/18000} server { listen 18002; location / { $nginx_pass proxy_pass http://b; } }"
  nginx_conf nginx-client "${nginx_upstream/PORT/18032} server { listen 18012; location / { $nginx_pass proxy_pass https://b;
    proxy_ssl_certificate $work/leaf.pem; proxy_ssl_certificate_key $work/leaf.key; proxy_ssl_protocols TLSv1.3;
    proxy_ssl_trusted_certificate $work/ca.pem; proxy_ssl_verify on; proxy_ssl_name bench; } }"
  nginx_conf nginx-server "${nginx_upstream/PORT/18000} server { listen 18032 ssl; ssl_certificate $work/leaf.pem;
    ssl_certificate_key $work/leaf.key; ssl_client_certificate $work/ca.pem; ssl_verify_client on; ssl_protocols TLSv1.3;
    location / { $nginx_pass proxy_pass http://b; } }"
  haproxy_conf haproxy 127.0.0.1:18003 127.0.0.1:18000
  haproxy_conf haproxy-client 127.0.0.1:18013 "127.0.0.1:18033 ssl crt $work/both.pem ca-file $work/ca.pem verify required alpn h2"
  haproxy_conf haproxy-server "127.0.0.1:18033 ssl crt $work/both.pem ca-file $work/ca.pem verify required alpn h2" 127.0.0.1:18000

  local listener_tls cluster_tls
  listener_tls="      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
$(static_tls | sed 's/ALPN/istio-http\/1.1/')"
  cluster_tls="    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: bench
        common_tls_context:
$(static_tls | sed 's/ALPN/istio-http\/1.1/; s/^  //')"
  mizzen_yaml hop 18001 18000 '' ''
  mizzen_yaml first 18021 18000 '' ''
  mizzen_yaml client 18011 18031 '' "$cluster_tls"
  mizzen_yaml server 18031 18000 "$listener_tls" ''
}
