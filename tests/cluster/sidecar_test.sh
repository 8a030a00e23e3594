#!/usr/bin/env bash
# A sidecar that dies, and connections that are open when strict mutual TLS begins.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"
start_cluster --demo
kubectl apply -f "$here/samples/curl/curl.yaml" >/dev/null
kubectl create namespace plain >/dev/null
kubectl apply -n plain -f "$here/samples/curl/curl.yaml" >/dev/null
check "clients inside and outside the mesh run" bash -c \
  'kubectl rollout status deploy/curl --timeout=60s && kubectl rollout status -n plain deploy/curl --timeout=60s'

page_is_whole() { curl -s -m 5 "http://$GATEWAY_URL/productpage" | grep -q 'reviews-v[123]'; }
restarts() { # of the sidecar of a pod
  kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[?(@.name=="istio-proxy")].restartCount}'
}
restarted() { [ "$(restarts "$1")" -gt "$2" ]; }
ready() { kubectl wait --for=condition=Ready "pod/$1" --timeout=5s; }

# Load goes on all the time: what fails while the proxy is away fails, after that nothing does.
pod=$(kubectl get pods -l app=productpage -o jsonpath='{.items[0].metadata.name}')
before=$(restarts "$pod")
load_start
check "a sidecar is killed under load" kill_container "$pod" mizzen-proxy
check "its container is started again" within 30 restarted "$pod" "$before"
check "and gets ready by itself" within 30 ready "$pod"
check "the page is served again" within 15 page_is_whole
load_stop >/dev/null
load_start
answered() { [ "$(cat "$MIZZEN_HOME"/load/*.* | wc -l)" -ge "$1" ]; }
within 20 answered 40
check "without a failed request from then on" load_is_clean

# One connection, a request every 0.1 s until the connection ends or `stop` appears.
cat >"$MIZZEN_HOME/one-connection" <<'S'
exec 3<>/dev/tcp/reviews.default/9080 || exit
until [ -e /tmp/stop ]; do
  printf 'GET /reviews/0 HTTP/1.1\r\nhost: reviews.default:9080\r\n\r\n' >&3 || break
  IFS= read -r -t 5 status <&3 || break
  echo "$status"
  length=0
  while IFS= read -r -t 5 line <&3 && [ "$line" != $'\r' ]; do
    if [[ ${line,,} =~ ^content-length:\ *([0-9]+) ]]; then length=${BASH_REMATCH[1]}; fi
  done
  head -c "$length" <&3 >/dev/null
  sleep 0.1
done 2>/dev/null
[ -e /tmp/stop ] && echo "asked to stop" || echo "the connection has ended"
S
keep_asking() { # keep_asking NAMESPACE: in the background, into $MIZZEN_HOME/asked.NAMESPACE
  kubectl exec -i -n "$1" deploy/curl -c curl -- bash -s <"$MIZZEN_HOME/one-connection" >"$MIZZEN_HOME/asked.$1" 2>&1 &
}
keep_asking plain
keep_asking default
answered() { [ "$(grep -c '^HTTP/1.1 200' "$MIZZEN_HOME/asked.$1")" -ge "$2" ]; }
check "a client without a sidecar asks on one connection" within 15 answered plain 5
check "and so does one with a sidecar" within 15 answered default 5
load_start
check "strict mutual TLS applies" kubectl apply -f "$here/samples/bookinfo/strict-mtls.yaml"
check "the plain connection that was open is ended" within 15 has 'the connection has ended' cat "$MIZZEN_HOME/asked.plain"
check "a new one is refused" fails_with 'exit code (56|35|52)' \
  kubectl exec -n plain deploy/curl -- curl -s -m 5 http://reviews.default:9080/reviews/0
more=$(($(grep -c '^HTTP/1.1 200' "$MIZZEN_HOME/asked.default") + 20))
check "the connection inside the mesh goes on" within 15 answered default "$more"
kubectl exec deploy/curl -c curl -- touch /tmp/stop
check "until it is asked to stop" within 15 has 'asked to stop' cat "$MIZZEN_HOME/asked.default"
check "and had no other answer than 200" bash -c \
  "! grep '^HTTP/' '$MIZZEN_HOME/asked.default' | grep -v ' 200 '"
check "no request through the gateway failed meanwhile" load_is_clean

# A certificate that names an account of the mesh, under a root of somebody else's.
foreign() {
  kubectl exec -i -n plain deploy/curl -- bash -s <<'S'
set -e
cd "$(mktemp -d)"
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /O=cluster.local -days 1 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout key.pem -out leaf.csr -subj / 2>/dev/null
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -out leaf.pem \
  -extfile <(echo 'subjectAltName=critical,URI:spiffe://cluster.local/ns/default/sa/bookinfo-productpage') 2>/dev/null
printf 'GET /reviews/0 HTTP/1.1\r\nhost: reviews\r\n\r\n' |
  timeout 5 openssl s_client -connect reviews.default:9080 -alpn istio -cert leaf.pem -key key.pem -ign_eof 2>&1 || true
S
}
refused_handshakes() {
  kubectl get pods -l app=reviews -o name | while read -r pod; do
    kubectl exec "$pod" -c istio-proxy -- curl -s localhost:15000/stats | sed -n 's/^mizzen_downstream_handshake_failures_total: //p'
  done | awk '{sum += $1} END {print sum + 0}'
}
before=$(refused_handshakes)
foreign >"$MIZZEN_HOME/foreign" 2>&1
check "a certificate of another root is refused by an alert" has 'alert unknown ca' cat "$MIZZEN_HOME/foreign"
check "and gets no answer" bash -c "! grep -q '^HTTP/' '$MIZZEN_HOME/foreign'"
counted() { [ "$(refused_handshakes)" -gt "$before" ]; }
check "the refusal is counted" within 5 counted
finish
