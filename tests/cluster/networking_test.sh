#!/usr/bin/env bash
# Every manifest of Bookinfo's networking folder, applied as the documents say, has the effect that they describe: seen by
# requests. Kubernetes Ingress and a gateway of one's own beside them.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"
needs_manifests networking || finish || exit 1
[ -n "${MIZZEN_MANIFESTS:-}" ] || exit 0
networking=$MIZZEN_MANIFESTS/bookinfo/networking
platform=$MIZZEN_MANIFESTS/bookinfo/platform/kube

start_cluster
inject_default
kubectl apply -f "$platform/bookinfo.yaml" >/dev/null
kubectl apply -f "$MIZZEN_MANIFESTS/samples/curl/curl.yaml" >/dev/null
check "bookinfo becomes ready" kubectl wait --for=condition=Ready pods --all --timeout=90s

apply() { check "$1 applies" kubectl apply -f "$networking/$1.yaml"; }
forget() { kubectl delete -f "$networking/$1.yaml" --ignore-not-found >/dev/null 2>&1 || true; }
page() { curl -s -m 15 "http://$GATEWAY_URL/productpage"; }
inside() { kubectl exec deploy/curl -c curl -- curl -s -m 15 "$@"; }
session() {
  curl -s -D - -o /dev/null -d 'username=jason&passwd=x' "http://$GATEWAY_URL/login" | grep -i '^set-cookie:' | grep -o 'session=[^;]*'
}
as_jason() { curl -s -m 15 -b "$(session)" "http://$GATEWAY_URL/productpage"; }
# only REGEX COMMAND...: in 12 runs nothing of `reviews-v.` but what matches
only() {
  local regex=$1 found
  shift
  found=$(for _ in $(seq 12); do "$@"; done | grep -o 'reviews-v[123]' | sort -u)
  [ -n "$found" ] && ! grep -qvE "^reviews-($regex)\$" <<<"$found" || { echo "$found"; return 1; }
}
shares() { # shares N LOW HIGH VERSION: of N requests so many percent name the version
  local n=$1 count
  count=$(seq "$n" | xargs -P 4 -I{} curl -s -m 15 "http://$GATEWAY_URL/productpage" | grep -o "reviews-$4" | wc -l)
  echo "$4: $count lines in $n pages"
  # A page names its version in one line.
  [ $((count * 100 / n)) -ge "$2" ] && [ $((count * 100 / n)) -le "$3" ]
}

apply bookinfo-gateway
check "the page comes through the gateway" within 30 has 'Simple Bookstore App' page
check "other paths do not" has '404' curl -s -o /dev/null -w '%{http_code}' "http://$GATEWAY_URL/nosuch"

apply certmanager-gateway
check "two gateways share port 80: the page" within 15 has 'Simple Bookstore App' page
check "and the challenge's path, whose service is not there" within 15 has '503' \
  curl -s -o /dev/null -w '%{http_code}' "http://$GATEWAY_URL/.well-known/acme-challenge/x"
forget certmanager-gateway

apply destination-rule-reviews
apply destination-rule-all
apply virtual-service-all-v1
check "all to v1" within 20 only 'v1' page
apply virtual-service-reviews-test-v2
check "jason sees v2" within 20 only 'v2' as_jason
check "others v1" only 'v1' page

apply virtual-service-ratings-test-delay
slow_for_jason() {
  local took
  took=$(curl -s -o /dev/null -m 20 -b "$(session)" -w '%{time_total}' "http://$GATEWAY_URL/productpage")
  echo "took $took"
  awk -v t="$took" 'BEGIN {exit !(t > 5 && t < 9)}'
}
check "7 s of delay meet the page's own timeout" within 60 slow_for_jason
check "the reviews are not there for jason" within 30 has 'Sorry, product reviews are currently unavailable' as_jason
check "others do not wait" has 'reviews-v1' page
apply virtual-service-ratings-test-abort
check "ratings fail for jason at once" within 20 has 'Ratings service is currently unavailable' as_jason
check "not for others" only 'v1' page
kubectl apply -f "$networking/virtual-service-all-v1.yaml" >/dev/null

apply virtual-service-reviews-50-v3
check "half to v3" within 30 shares 200 40 60 v3
apply virtual-service-reviews-80-20
check "80 % to v1" within 30 shares 200 70 90 v1
apply virtual-service-reviews-90-10
check "90 % to v1" within 30 shares 200 82 97 v1
apply virtual-service-reviews-v2-v3
check "v2 and v3 only" within 20 only 'v2|v3' page
check "half to v2" draws shares 200 40 60 v2
apply virtual-service-reviews-v3
check "v3 only" within 20 only 'v3' page
apply virtual-service-reviews-jason-v2-v3
check "jason v2, others v3" within 20 only 'v2' as_jason
check "others v3" only 'v3' page

apply virtual-service-ratings-db
check "ratings of a version that does not run are unavailable" within 20 has 'Ratings service is currently unavailable' page
apply virtual-service-ratings-mysql
check "the same for the MySQL version" within 20 has 'Ratings service is currently unavailable' page
apply virtual-service-ratings-mysql-vm
check "and for the one on a machine" within 20 has 'Ratings service is currently unavailable' page
forget virtual-service-ratings-mysql-vm
kubectl apply -f "$networking/virtual-service-all-v1.yaml" >/dev/null

apply virtual-service-details-v2
check "details of a version that does not run" within 20 has '503' inside -o /dev/null -w '%{http_code}' http://details:9080/details/0
apply fault-injection-details-v1
check "details are aborted" within 20 has '555' inside -o /dev/null -w '%{http_code}' http://details:9080/details/0
forget fault-injection-details-v1

apply destination-rule-all-mtls
kubectl apply -f "$networking/virtual-service-all-v1.yaml" >/dev/null
check "mutual TLS by rule: the page comes" within 20 only 'v1' page
check "by mutual TLS" within 10 has 'connection_security_policy="mutual_tls"' \
  kubectl exec deploy/reviews-v1 -c istio-proxy -- curl -s localhost:15090/stats/prometheus
forget virtual-service-all-v1
forget destination-rule-all-mtls
check "without rules all versions come" within 30 bash -c \
  "[ \"\$(for i in \$(seq 30); do curl -s http://$GATEWAY_URL/productpage; done | grep -o 'reviews-v[123]' | sort -u | wc -l)\" = 3 ]"
check "the rule for an API outside applies" kubectl apply -f "$networking/egress-rule-google-apis.yaml"
forget egress-rule-google-apis

# Kubernetes Ingress.
forget bookinfo-gateway
check "the page is gone with its gateway" within 15 bash -c "! curl -sf http://$GATEWAY_URL/productpage"
kubectl apply -f - >/dev/null <<'Y'
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: istio}
spec: {controller: istio.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: bookinfo}
spec:
  ingressClassName: istio
  rules:
  - http:
      paths:
      - {path: /productpage, pathType: Exact, backend: {service: {name: productpage, port: {number: 9080}}}}
      - {path: /static, pathType: Prefix, backend: {service: {name: productpage, port: {name: http}}}}
Y
check "the page comes by an Ingress" within 20 has 'Simple Bookstore App' page
check "what it does not name does not come" has '404' curl -s -o /dev/null -w '%{http_code}' "http://$GATEWAY_URL/staticfiles"
check "its status says where" within 15 has '[0-9]' kubectl get ingress bookinfo -o 'jsonpath={.status.loadBalancer.ingress[0].ip}'
kubectl delete ingress bookinfo >/dev/null

# HTTPS, and a certificate that changes while it serves.
certificate() { # certificate NAME: a Secret for secure.example.com whose subject is NAME
  local folder=$MIZZEN_HOME/certs
  mkdir -p "$folder"
  self_signed "$1" secure.example.com "$folder/key.pem" "$folder/cert.pem"
  kubectl -n istio-system create secret tls secure --cert "$folder/cert.pem" --key "$folder/key.pem" --dry-run=client -o yaml |
    kubectl apply -f - >/dev/null
}
certificate first
kubectl apply -f - >/dev/null <<'Y'
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: secure}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [secure.example.com], tls: {mode: SIMPLE, credentialName: secure}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: secure}
spec: {hosts: [secure.example.com], gateways: [secure], http: [{route: [{destination: {host: productpage, port: {number: 9080}}}]}]}
Y
gateway_pod() { kubectl exec -n istio-system deploy/istio-ingressgateway -- "$@"; }
subject() { gateway_pod sh -c 'openssl s_client -connect 127.0.0.1:8443 -servername secure.example.com </dev/null 2>/dev/null | openssl x509 -noout -subject'; }
check "HTTPS with the Secret's certificate" within 20 has 'CN *= *first' subject
certificate second
check "a new certificate is shown within seconds" within 10 has 'CN *= *second' subject

# Clients that must show a certificate.
ca=$MIZZEN_HOME/ca
mkdir -p "$ca"
touch "$ca/index.txt"
echo 01 >"$ca/serial"
cat >"$ca/ca.cnf" <<Y
[ca]
default_ca = here
[here]
dir = $ca
database = $ca/index.txt
serial = $ca/serial
new_certs_dir = $ca
certificate = $ca/ca.pem
private_key = $ca/ca.key
default_md = sha256
default_days = 2
default_crl_days = 2
policy = any
[any]
commonName = supplied
Y
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1" 2>/dev/null; }
key "$ca/ca.key"
openssl req -x509 -new -key "$ca/ca.key" -subj /CN=clients -days 2 -out "$ca/ca.pem" 2>/dev/null
for name in good bad; do
  key "$ca/$name.key"
  openssl req -new -key "$ca/$name.key" -subj "/CN=$name" -out "$ca/$name.csr" 2>/dev/null
  openssl ca -batch -config "$ca/ca.cnf" -in "$ca/$name.csr" -out "$ca/$name.pem" -notext 2>/dev/null
done
mutual_secret() { # mutual_secret FILE...: certificate and key of the gateway, the clients' authority, and more
  kubectl -n istio-system create secret generic mutual --from-file=cert="$MIZZEN_HOME/certs/cert.pem" \
    --from-file=key="$MIZZEN_HOME/certs/key.pem" --from-file=cacert="$ca/ca.pem" "$@" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
}
mutual_secret
kubectl apply -f - >/dev/null <<'Y'
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: mutual}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [mutual.example.com], tls: {mode: MUTUAL, credentialName: mutual}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: mutual}
spec: {hosts: [mutual.example.com], gateways: [mutual], http: [{directResponse: {status: 207}}]}
Y
as() { # as NAME: the status that a client with this certificate gets
  cat "$ca/$1.pem" "$ca/$1.key" | kubectl exec -i deploy/curl -c curl -- sh -c 'cat >/tmp/client.pem'
  inside -k -o /dev/null -w '%{http_code}' --cert /tmp/client.pem \
    --connect-to mutual.example.com:443:istio-ingressgateway.istio-system:443 https://mutual.example.com/ || true
}
check "a client with a certificate" within 20 has '207' as good
check "none without" has '000' bash -c "kubectl exec deploy/curl -c curl -- curl -sk -m 5 -o /dev/null -w '%{http_code}' \
  --connect-to mutual.example.com:443:istio-ingressgateway.istio-system:443 https://mutual.example.com/ || true"
check "another one" has '207' as bad

# What another Gateway stands in the way of is said.
kubectl apply -f - >/dev/null <<'Y'
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: twice}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [secure.example.com], tls: {mode: SIMPLE, credentialName: secure}}
Y
check "a conflict is in the status of the younger Gateway" within 15 has 'already: name each host once' \
  kubectl get gateways.networking.istio.io twice -o 'jsonpath={.status.conditions[0].message}'

# A gateway of one's own, made by injection.
kubectl apply -f - >/dev/null <<'Y'
apiVersion: v1
kind: Service
metadata: {name: own-gateway}
spec:
  selector: {istio: own}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: own-gateway}
spec:
  selector: {matchLabels: {istio: own}}
  template:
    metadata:
      annotations: {inject.istio.io/templates: gateway}
      labels: {istio: own, sidecar.istio.io/inject: "true"}
    spec:
      containers: [{name: istio-proxy, image: auto}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: own}
spec: {selector: {istio: own}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: own}
spec: {hosts: ["*"], gateways: [own], http: [{route: [{destination: {host: details, port: {number: 9080}}}]}]}
Y
check "a gateway by injection becomes ready" kubectl wait --for=condition=Ready pod -l istio=own --timeout=60s
check "and serves its own Gateway" within 20 has '"author"' inside http://own-gateway/details/0
finish
