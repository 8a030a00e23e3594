#!/usr/bin/env bash
# Nothing that changes under load costs a request: restarts of every workload, config that does not
# concern the traffic, listeners and clusters that are replaced, certificates, the proxies' own binary
# and their number of workers.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"

start_cluster --demo
check "the page comes" within 60 has 'Simple Bookstore App' curl -sf "http://$GATEWAY_URL/productpage"

# Steady load by four clients over kept connections, from outside and from inside the mesh; every answer
# must be 200. A curl run asks 20 times over one connection.
page() { curl -s -m 20 -o /dev/null -w '%{http_code}\n' "http://$GATEWAY_URL/productpage?[1-20]" || echo "curl $?"; }
inside() {
  kubectl exec deploy/productpage-v1 -c productpage -- \
    curl -s -m 20 -o /dev/null -w '%{http_code}\n' 'http://details:9080/details/[1-20]' || echo "curl $?"
}

restart() { # restart DEPLOYMENT [NAMESPACE]: new pods take the place of the old ones
  kubectl -n "${2:-default}" rollout restart "deploy/$1" && kubectl -n "${2:-default}" rollout status "deploy/$1" --timeout=120s
}
load_start page page page inside
for deployment in details-v1 ratings-v1 reviews-v1 reviews-v2 reviews-v3; do
  check "$deployment is restarted" restart "$deployment"
done
check "no request fails" load_is_clean

load_start page page page inside
others() { # what others do with the mesh: services, routes and policies that this traffic does not use
  local i
  for i in $(seq 15); do
    kubectl apply -f - >/dev/null <<Y
apiVersion: v1
kind: Service
metadata: {name: other-$i, namespace: default}
spec: {ports: [{name: http, port: $((9200 + i))}], selector: {app: nobody}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: other, namespace: default}
spec: {hosts: [other-1], http: [{timeout: ${i}s, route: [{destination: {host: other-1}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: details, namespace: default}
spec: {host: details, trafficPolicy: {connectionPool: {tcp: {connectTimeout: ${i}s}}}}
Y
  done
  for i in $(seq 15); do kubectl delete service "other-$i" >/dev/null; done
  kubectl delete virtualservice other >/dev/null
}
check "others change the mesh, and a cluster in use is replaced again and again" others
check "no request fails" load_is_clean

proxy_admin() { # proxy_admin DEPLOYMENT PATH [CURL ARGUMENT...], in default or istio-system
  local deployment=$1 path=$2 namespace=default
  shift 2
  [ "$deployment" = istio-ingressgateway ] && namespace=istio-system
  kubectl -n "$namespace" exec "deploy/$deployment" -c istio-proxy -- curl -sS "$@" "localhost:15000/$path"
}
epoch() { proxy_admin "$1" server_info | jq -e ".command_line_options.restart_epoch // 0 | . == $2"; }
upgraded() { # upgraded DEPLOYMENT EPOCH [QUERY]
  proxy_admin "$1" "upgrade${3:-}" -f -X POST && within 60 epoch "$1" "$2"
}
# Behind the gateway, a server whose head and body leave apart: when an upgrade comes between the two, the answer has said
# that its connection stays. Its callers know no second try.
source "$(dirname "$0")/outside.sh"
apart=$(free_port)
serve python3 "$(dirname "$0")/slow_body.py" serve "$apart"
service_entry apart apart.example.com HTTP 80 "$apart"
kubectl apply -f - >/dev/null <<'Y'
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: apart, namespace: default}
spec: {hosts: [apart.example.com], gateways: [bookinfo-gateway], http: [{route: [{destination: {host: apart.example.com}}]}]}
Y
apart() { python3 "$(dirname "$0")/slow_body.py" ask "$GATEWAY_URL" apart.example.com; }
check "head and body come apart" within 20 has '^200$' curl -s -o /dev/null -w '%{http_code}' -H 'host: apart.example.com' "http://$GATEWAY_URL/"

load_start page page page inside apart apart apart apart
check "a certificate is renewed" proxy_admin productpage-v1 certs/renew -f -X POST
check "productpage's proxy is replaced while it runs" upgraded productpage-v1 1
check "the gateway's too, with three workers" upgraded istio-ingressgateway 1 '?concurrency=3'
check "and once more" upgraded istio-ingressgateway 2
check "details' proxy, and once more" upgraded details-v1 1
check "the second time" upgraded details-v1 2
check "no request fails" load_is_clean
check "the pods did not restart" bash -c \
  '[ -z "$(kubectl get pods -A --no-headers | awk "\$5 != 0 && /productpage|gateway|details/")" ]'
workers() { proxy_admin istio-ingressgateway server_info | jq -e ".command_line_options.concurrency == 3"; }
check "the gateway has three workers" workers

load_start page page page page # productpage's own calls end with its pod
check "the gateway is restarted" restart istio-ingressgateway istio-system
check "productpage is restarted" restart productpage-v1
check "no request fails" load_is_clean
finish
