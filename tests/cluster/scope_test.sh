#!/usr/bin/env bash
# On-demand scope in a mesh of many services: the first request to any of them succeeds, and a sidecar
# holds what its workload has called.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"

services=${MIZZEN_SERVICES:-2000}  # at least 200
start_cluster
kubectl label namespace default istio-injection=enabled --overwrite >/dev/null
kubectl apply -f "$here/samples/curl/curl.yaml" -f "$here/samples/httpbin/httpbin.yaml" >/dev/null
check "client and server become ready" kubectl wait --for=condition=Ready pods --all --timeout=120s

# kubectl holds itself back to some requests a second: all of them by one connection.
add_services() { # FROM TO: services of httpbin's pods
  local i port
  coproc proxy { exec kubectl proxy --port=0 2>&1; }
  read -r -u "${proxy[0]}" port
  port=${port##*:}
  for ((i = $1; i < $2; i++)); do
    [ "$i" = "$1" ] || echo next
    printf 'url = "http://127.0.0.1:%d/api/v1/namespaces/default/services"\nheader = "content-type: application/json"\n' "$port"
    printf 'output = /dev/null\nwrite-out = "%%{http_code}\\n"\nsilent\ndata = "{\\"metadata\\":{\\"name\\":\\"s%d\\"},\\"spec\\":{\\"selector\\":{\\"app\\":\\"httpbin\\"},\\"ports\\":[{\\"name\\":\\"http\\",\\"port\\":8000,\\"targetPort\\":8080}]}}"\n' "$i"
  done | curl -K - | sort | uniq -c
  kill "$proxy_PID"
}
ask() { kubectl exec deploy/curl -c curl -- curl -s -o /dev/null -w '%{http_code}\n' --max-time 10 "$@"; }
clusters() { mizzenctl proxy-config cluster deploy/curl -o json | jq '[.[] | select(.name | startswith("outbound|"))] | length'; }
whole=s$((services - 1)).default.svc.cluster.local:8000

check "$services services are there" has "^ *$services 201\$" add_services 0 "$services"
before=$(clusters)
check "the last of them has endpoints" within 60 bash -c "kubectl get endpointslices -l kubernetes.io/service-name=${whole%%.*} -o json | jq -e '.items[0].endpoints[0]'"
check "the first request to one of them succeeds" has '^200$' ask http://s12:8000/status/200
check "so does the first by its address" has '^200$' ask "http://$(kubectl get service s77 -o jsonpath='{.spec.clusterIP}'):8000/status/200"
check "and the first by its whole name" has '^200$' ask "http://$whole/status/200"
check "the sidecar holds what was called, and no more" test "$(clusters)" = $((before + 3))
check "explain asks as a request would" has 's42.default.svc.cluster.local' mizzenctl x explain deploy/curl GET http://s42:8000/get
check "that is learned too" test "$(clusters)" = $((before + 4))
check "a host that is none goes the way of such" has '^[25]' ask -H 'Host: later:8000' "http://$whole/status/200"
kubectl apply -f - >/dev/null <<'YAML'
apiVersion: v1
kind: Service
metadata: {name: later}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: later}
spec: {hosts: [later], http: [{fault: {abort: {httpStatus: 418, percentage: {value: 100}}}, route: [{destination: {host: later}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: s55}
spec: {hosts: [s55], http: [{match: [{uri: {prefix: /gone}}], directResponse: {status: 410}}, {route: [{destination: {host: s56}}]}]}
YAML
check "one that comes later is known without asking again" within 20 has '^418$' ask -H 'Host: later:8000' "http://$whole/status/200"
check "a rule is obeyed by the first request" has '^410$' ask http://s55:8000/gone
check "and leads to another service" has '^200$' ask http://s55:8000/status/200

kubectl -n istio-system scale deployment istiod --replicas=0 >/dev/null
check "the control plane goes" within 30 bash -c '! kubectl -n istio-system get pods -l app=istiod -o name | grep -q .'
check "what is known serves without it" has '^200$' ask "http://$whole/status/200"
check "what is not is refused" has '^503$' ask -H 'Host: s150:8000' "http://$whole/status/200"
check "with its own flag" within 10 has ' 503 SU ' kubectl logs deploy/curl -c istio-proxy --tail=20
kubectl -n istio-system scale deployment istiod --replicas=1 >/dev/null
check "and served when it is back" within 60 has '^200$' ask -H 'Host: s150:8000' "http://$whole/status/200"
check "as is all that was known" has '^200$' ask http://s12:8000/status/200
finish
