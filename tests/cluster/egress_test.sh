#!/usr/bin/env bash
# The way out: services outside the mesh through ServiceEntries and the egress gateway, TLS that the mesh
# originates, what REGISTRY_ONLY blocks, what a Sidecar lets in, names that the agent answers.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"

start_cluster
inject_default
# shellcheck source=tests/cluster/outside.sh
source "$(dirname "$0")/outside.sh"

# Servers of the machine, outside the mesh: HTTP, two of TCP, TLS that asks for a certificate.
web=$(free_port) db1=$(free_port) db2=$(free_port) tls=$(free_port)
serve mizzen-samples httpbin --port "$web"
serve mizzen-samples tcp-echo "$db1" one
serve mizzen-samples tcp-echo "$db2" two
self_signed outside.example.com outside.example.com "$outside/key" "$outside/cert"
serve openssl s_server -accept "$tls" -cert "$outside/cert" -key "$outside/key" -www -Verify 1 \
  -verify_return_error -CAfile "$outside/cert"

kubectl apply -f - >/dev/null <<'YAML'
apiVersion: v1
kind: ServiceAccount
metadata: {name: httpbin}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec:
      serviceAccountName: httpbin
      containers: [{name: httpbin, image: mccutchen/go-httpbin, ports: [{containerPort: 8080}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client}}
    spec: {containers: [{name: client, image: curlimages/curl}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: resolver}
spec:
  selector: {matchLabels: {app: resolver}}
  template:
    metadata:
      labels: {app: resolver}
      annotations:
        proxy.istio.io/config: |
          concurrency: 1
          proxyMetadata: {ISTIO_META_DNS_CAPTURE: "true", ISTIO_META_DNS_AUTO_ALLOCATE: "true"}
    spec: {containers: [{name: client, image: curlimages/curl}]}
YAML
for name in httpbin client resolver; do
  check "$name is ready" kubectl rollout status "deploy/$name" --timeout=60s
done
check "the egress gateway is ready" kubectl rollout status -n istio-system deploy/istio-egressgateway --timeout=60s

client=(kubectl exec deploy/client -c client --)
get() { "${client[@]}" curl -sS -m 5 "$@"; } # get ARGUMENTS...: curl in the client
code() { get -o /dev/null -w '%{http_code}' "$@"; }
talk() { # talk HOST PORT [DEPLOYMENT]: what a line over TCP is answered
  kubectl exec "deploy/${3:-client}" -c client -- bash -c "exec 3<>/dev/tcp/$1/$2; echo hi >&3; timeout 3 head -n1 <&3"
}
last_log() { # last_log REGEX: a line of the client's proxy
  kubectl logs deploy/client -c istio-proxy --tail=8 | grep -E "$1"
}

# --- ALLOW_ANY and REGISTRY_ONLY ------------------------------------------------------------------
check "ALLOW_ANY: outside HTTP passes" within 20 has '"url"' get "http://host.mizzen.internal:$web/get"
check "and is seen as PassthroughCluster" within 5 last_log 'PassthroughCluster'
check "ALLOW_ANY: outside TCP passes" has '^one hi' talk host.mizzen.internal "$db1"

check "REGISTRY_ONLY applies" mesh_config 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'
check "an unknown host on an HTTP port gets 502" within 20 has '^502$' code -H 'Host: nowhere.example.com' http://httpbin:8000/get
check "and the log says block_all" within 5 last_log '502 .*block_all'
check "an unknown port is cut" within 10 fails_with 'reset|Empty reply' get "http://host.mizzen.internal:$web/get"
check "and the log says UH and BlackHoleCluster" within 5 last_log ' UH .*BlackHoleCluster'
check "the mesh itself is still there" has '^200$' code http://httpbin:8000/get

# --- ServiceEntries -------------------------------------------------------------------------------
service_entry web web.example.com HTTP 80 "$web"
service_entry mysql mysql.example.com MYSQL 3306 "$db1" 'resolution: DNS' 'addresses: [192.0.2.10]'
service_entry range range.example.com TCP 4000 "$db2" 'resolution: DNS_ROUND_ROBIN' 'addresses: [198.51.100.0/24]'
kubectl apply -f - >/dev/null <<'YAML'
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: selected}
spec:
  hosts: [selected.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8000, name: http, protocol: HTTP, targetPort: 8080}]
  workloadSelector: {labels: {app: httpbin}}
YAML
get_at() { # get_at HOST:PORT ARGUMENTS...: no name server knows the host
  local where=$1
  shift
  get --resolve "$where:192.0.2.99" "$@"
}
check "DNS, HTTP" within 20 has '"url"' get_at web.example.com:80 http://web.example.com/get
check "by its own cluster" within 5 last_log 'outbound\|80\|\|web.example.com'
check "an address of its own, TCP" within 10 has '^one hi' talk 192.0.2.10 3306
check "a range, TCP, DNS_ROUND_ROBIN" within 10 has '^two hi' talk 198.51.100.77 4000
check "pods that an entry selects, with mutual TLS" within 10 has 'By=spiffe.*sa/httpbin' get_at selected.internal:8000 http://selected.internal:8000/headers
check "an entry's pods are seen by the debug page" within 5 has 'selected.internal' \
  kubectl exec -n istio-system deploy/istiod -- curl -s http://127.0.0.1:8080/debug/endpointz

# --- a WorkloadEntry behind a Service and behind an entry ---------------------------------------------
address=$(kubectl get pod -l app=httpbin -o jsonpath='{.items[0].status.podIP}')
kubectl apply -f - >/dev/null <<YAML
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm}
spec: {address: $address, ports: {http: 8080}, labels: {app: vm}, serviceAccount: httpbin}
---
apiVersion: v1
kind: Service
metadata: {name: vm}
spec: {selector: {app: vm}, ports: [{name: http, port: 80}]}
YAML
check "a Service selects a WorkloadEntry" within 20 has '"url"' get http://vm/get
check "and follows its removal" bash -c 'kubectl delete workloadentry vm >/dev/null'
check "with 503" within 10 has '^503$' code http://vm/get

# --- the egress gateway ---------------------------------------------------------------------------
through_egress http web web.example.com 80 80
through_egress tcp mysql mysql.example.com 3306 443
through_gateway() { get_at web.example.com:80 http://web.example.com/get >/dev/null && egress_log 'outbound\|80\|\|web.example.com'; }
check "HTTP goes out by the egress gateway" within 20 through_gateway
tcp_through_gateway() { talk 192.0.2.10 3306 | grep '^one hi' && egress_log 'outbound\|3306\|\|mysql.example.com'; }
check "TCP goes out by the egress gateway" within 20 tcp_through_gateway
kubectl delete virtualservice,gateway --all >/dev/null

# --- TLS that the mesh originates ---------------------------------------------------------------------
kubectl create secret generic -n istio-system outside --from-file=tls.crt="$outside/cert" \
  --from-file=tls.key="$outside/key" --from-file=ca.crt="$outside/cert" >/dev/null
service_entry outside outside.example.com HTTP 80 "$tls"
through_egress http outside outside.example.com 80 80
kubectl apply -f - >/dev/null <<'YAML'
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: outside}
spec:
  host: outside.example.com
  trafficPolicy: {tls: {mode: MUTUAL, credentialName: outside, sni: outside.example.com, subjectAltNames: [outside.example.com]}}
YAML
check "MUTUAL by a credential at the egress gateway" within 20 has 'Cipher' get_at outside.example.com:80 http://outside.example.com/
kubectl patch destinationrule outside --type=merge -p '{"spec":{"trafficPolicy":{"tls":{"subjectAltNames":["another.example.com"]}}}}' >/dev/null
check "a server of another name is refused" within 20 has '^503$' get_at outside.example.com:80 -o /dev/null -w '%{http_code}' http://outside.example.com/
kubectl delete virtualservice,gateway,destinationrule --all >/dev/null

# --- Sidecar ------------------------------------------------------------------------------------------
kubectl apply -f - >/dev/null <<'YAML'
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: client}
spec: {workloadSelector: {labels: {app: client}}, egress: [{hosts: ["istio-system/*"]}]}
YAML
check "a Sidecar without the host cuts it (REGISTRY_ONLY)" within 20 fails_with 'reset|Empty reply' get http://httpbin:8000/get
check "the proxy holds nothing of it" within 5 bash -c '! mizzenctl proxy-config cluster deploy/client | grep -q httpbin'
kubectl patch sidecar client --type=merge -p '{"spec":{"outboundTrafficPolicy":{"mode":"ALLOW_ANY"}}}' >/dev/null
check "its own ALLOW_ANY lets it pass" within 20 has '^200$' code http://httpbin:8000/get
kubectl patch sidecar client --type=merge -p '{"spec":{"egress":[{"hosts":["./httpbin.default.svc.cluster.local"]}]}}' >/dev/null
check "and with the host it is the mesh's again" within 20 has 'By=spiffe' get http://httpbin:8000/headers
kubectl apply -f - >/dev/null <<'YAML'
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: httpbin}
spec:
  workloadSelector: {labels: {app: httpbin}}
  ingress:
  - {port: {number: 8080, protocol: HTTP, name: http}, defaultEndpoint: "127.0.0.1:9"}
YAML
check "ingress delivers where defaultEndpoint says" within 20 has '^503$' code http://httpbin:8000/get
kubectl delete sidecar --all >/dev/null
check "without Sidecars all is as before" within 20 has '^200$' code http://httpbin:8000/get

# --- names that the agent answers ---------------------------------------------------------------------
service_entry db1 db1.example.com TCP 3306 "$db1"
service_entry db2 db2.example.com TCP 3306 "$db2"
resolve() { kubectl exec deploy/resolver -c client -- getent ahostsv4 "$1"; }
check "an entry without an address has one" within 20 has '^240\.240\.' resolve db1.example.com
check "two databases of one port are told apart: the first" within 10 has '^one hi' talk db1.example.com 3306 resolver
check "the second" within 10 has '^two hi' talk db2.example.com 3306 resolver
check "the cluster's own names are answered too" has '^10\.96\.' resolve httpbin
check "without capture the name is unknown" fails_with '' "${client[@]}" getent ahostsv4 db1.example.com

# --- ProxyConfig and what the log says ------------------------------------------------------------------
kubectl apply -f - >/dev/null <<'YAML'
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: client}
spec: {selector: {matchLabels: {app: client}}, concurrency: 1, environmentVariables: {GREETING: from-proxyconfig}}
YAML
kubectl rollout restart deploy/client >/dev/null
kubectl rollout status deploy/client --timeout=60s >/dev/null
check "a ProxyConfig reaches new pods" within 20 has 'from-proxyconfig' kubectl exec deploy/client -c istio-proxy -- printenv GREETING
check "a field that nobody acts on" mesh_config 'enableTracing: true'
check "is named in the control plane's log" within 10 has 'enableTracing: read but not acted on' kubectl logs -n istio-system deploy/istiod --tail=50
finish
