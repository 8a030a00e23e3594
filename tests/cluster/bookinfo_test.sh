#!/usr/bin/env bash
# The first voyage, by the upstream manifests: deploy, split, match, mutual TLS, and no failed request
# while the mesh changes under load.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"
needs_manifests bookinfo || finish || exit 1
[ -n "${MIZZEN_MANIFESTS:-}" ] || exit 0
networking=$MIZZEN_MANIFESTS/bookinfo/networking

start_cluster
inject_default
check "bookinfo applies" kubectl apply -f "$MIZZEN_MANIFESTS/bookinfo/platform/kube/bookinfo.yaml"
check "its gateway applies" kubectl apply -f "$networking/bookinfo-gateway.yaml"
check "curl sample applies" kubectl apply -f "$MIZZEN_MANIFESTS/samples/curl/curl.yaml"
check "pods become ready" kubectl wait --for=condition=Ready pods --all --timeout=90s
check "six pods of bookinfo read 2/2 Running" bash -c \
  '[ "$(kubectl get pods --no-headers | grep -v ^curl- | grep -c "2/2 *Running")" = 6 ]'
check "the page has reviews" within 30 has 'Book Reviews' curl -sf "http://$GATEWAY_URL/productpage"
check "exec into a client" has '<title>Simple Bookstore App</title>' \
  kubectl exec deploy/curl -c curl -- curl -sS productpage:9080/productpage
check "every proxy is in sync" has 'productpage-v1' mizzenctl proxy-status

share() { # share N: how many of N requests for the page named each version of reviews
  seq "$1" | xargs -P 4 -I{} curl -s -m 10 "http://$GATEWAY_URL/productpage" | grep -o 'reviews-v[123]' | sort | uniq -c
}
split_is_80_20() {
  local v1
  v1=$(share 1000 | awk '$2 == "reviews-v1" {print $1}')
  echo "v1: $v1 of 1000"
  [ "$v1" -ge 760 ] && [ "$v1" -le 840 ]
}
check "destination rules apply" kubectl apply -f "$networking/destination-rule-all.yaml"
check "80/20 applies" kubectl apply -f "$networking/virtual-service-reviews-80-20.yaml"
no_v3() { ! share 30 | grep reviews-v3; }
check "the split arrives" within 15 no_v3
check "1,000 requests split within 4 points of 80/20" draws split_is_80_20

check "jason's route applies" kubectl apply -f "$networking/virtual-service-reviews-jason-v2-v3.yaml"
as_jason() {
  local session
  session=$(curl -s -D - -o /dev/null -d 'username=jason&passwd=x' "http://$GATEWAY_URL/login" |
    grep -i '^set-cookie:' | grep -o 'session=[^;]*')
  curl -s -b "$session" "http://$GATEWAY_URL/productpage"
}
check "jason sees v2" within 15 has 'reviews-v2' as_jason
check "others see v3" within 15 has 'reviews-v3' curl -s "http://$GATEWAY_URL/productpage"

load_start
for i in $(seq 50); do
  kubectl apply -f "$networking/virtual-service-reviews-v3.yaml" >/dev/null
  kubectl apply -f "$networking/virtual-service-reviews-80-20.yaml" >/dev/null
done
check "no request fails during 100 flips of routing" load_is_clean

load_start
control_plane() { kubectl get pods -n istio-system -l app=istiod -o "jsonpath={.items[0]$1}"; }
control_plane_dies() { kill_container "$(control_plane .metadata.name)" mizzend; }
control_plane_is_back() {
  [ "$(control_plane '.status.containerStatuses[0].restartCount')" -ge 1 ] &&
    [ "$(control_plane '.status.containerStatuses[0].ready')" = true ]
}
check "the control plane is killed" control_plane_dies
check "and comes back by itself" within 60 control_plane_is_back
check "no request fails meanwhile" load_is_clean

serial() { mizzenctl proxy-config secret "$1" | awk '$1 == "default" {print $6}'; }
rotate() { # a new certificate for a workload, as at half the life of the old one
  local before
  before=$(serial "$1")
  kubectl exec "$1" -c istio-proxy -- curl -sS -X POST localhost:15000/certs/renew
  within 15 is_renewed "$1" "$before"
}
is_renewed() { [ -n "$(serial "$1")" ] && [ "$(serial "$1")" != "$2" ]; }
load_start
check "productpage's certificate is renewed" rotate deploy/productpage-v1
check "details' certificate is renewed" rotate deploy/details-v1
check "no request fails meanwhile, either" load_is_clean

check "strict mutual TLS applies" kubectl apply -f - <<'Y'
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: STRICT}}
Y
kubectl create namespace plain >/dev/null
kubectl apply -n plain -f "$MIZZEN_MANIFESTS/samples/curl/curl.yaml" >/dev/null
check "a client without a sidecar runs" kubectl wait -n plain --for=condition=Ready pods --all --timeout=60s
check "and is refused" within 15 fails_with 'exit code (56|35|52)' \
  kubectl exec -n plain deploy/curl -- curl -s -m 5 http://reviews.default:9080/reviews/0
check "pods inside go on" has '200' curl -s -o /dev/null -w '%{http_code}' "http://$GATEWAY_URL/productpage"
check "the certificate names its account" has 'spiffe://cluster.local/ns/default/sa/bookinfo-reviews' \
  kubectl exec deploy/productpage-v1 -c istio-proxy -- sh -c \
  'openssl s_client -showcerts -connect reviews:9080 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName'

refused() { kubectl apply -f - <<<"$1"; }
rule() { printf 'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: bad}\nspec: %s\n' "$1"; }
check "an unknown field is refused by its path" fails_with 'htp' refused "$(rule '{hosts: [r], htp: []}')"
check "a bad regex is refused" fails_with 'spec.http\[0\].match\[0\].uri' refused \
  "$(rule '{hosts: [r], http: [{match: [{uri: {regex: "["}}], route: [{destination: {host: r}}]}]}')"
check "a missing destination host is refused" fails_with 'spec.http\[0\].route\[0\].destination' refused \
  "$(rule '{hosts: [r], http: [{route: [{destination: {subset: v1}}]}]}')"
check "a negative weight is refused" fails_with 'spec.http\[0\].route\[0\].weight' refused \
  "$(rule '{hosts: [r], http: [{route: [{destination: {host: r}, weight: -1}]}]}')"

all_labels() {
  local line label
  line=$(kubectl exec "deploy/$1" -c istio-proxy -- curl -s localhost:15090/stats/prometheus |
    grep '^istio_requests_total' | grep "reporter=\"$2\"" | head -n 1)
  for label in reporter {source,destination}_{workload,workload_namespace,principal,app,version,canonical_service,canonical_revision,cluster} \
    destination_service{,_name,_namespace} request_protocol response_flags connection_security_policy response_code grpc_response_status; do
    grep -q "[{,]$label=" <<<"$line" || { echo "no $label in: $line"; return 1; }
  done
}
check "all 25 labels on the caller's side" all_labels productpage-v1 source
check "all 25 labels on the callee's side" all_labels reviews-v1 destination
finish
