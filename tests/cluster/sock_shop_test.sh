#!/usr/bin/env bash
# The sock shop by the upstream manifests: deploy, traffic management, resiliency. Each has the effect that
# its document describes, seen in real requests.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"
needs_manifests "sock shop" || finish || exit 1
[ -n "${MIZZEN_MANIFESTS:-}" ] || exit 0

start_cluster
# As they stand, but for the half minute, or three, that pods wait before their first probe: nothing is to be seen in it.
shop=$MIZZEN_HOME/shop
cp -r "$MIZZEN_MANIFESTS/sock-shop" "$shop"
grep -rlZ 'initialDelaySeconds' "$shop" | xargs -0 sed -i -E 's/(initialDelaySeconds:) (30|180)$/\1 2/'
deploy=$shop/1-deploy-app traffic=$shop/2-traffic-management resiliency=$shop/3-resiliency
k() { kubectl -n sock-shop "$@"; }
applies() { check "apply $1" kubectl apply -f "$2"; }

applies "the namespace" "$deploy/manifests/sock-shop-ns.yaml"
applies "the shop" "$deploy/manifests"
applies "its virtual services" "$deploy/sockshop-virtual-services.yaml"
applies "its gateway" "$deploy/sockshop-gateway.yaml"
applies "version 2 of the page" "$traffic/front-end-dep-v2.yaml"
applies "the load generator" "$resiliency/circuit-breaking/fortio.yaml"

# Pods that stand in for the catalogue and do as they are asked, and a page that answers when it is told to.
stand_in() { # stand_in NAME SERVICE VERSION PORT REPLICAS [SIDECAR]
  kubectl apply -f - <<Y
apiVersion: apps/v1
kind: Deployment
metadata: {name: $1, namespace: sock-shop}
spec:
  replicas: $5
  selector: {matchLabels: {stand-in: $1}}
  template:
    metadata:
      labels: {stand-in: $1, name: $2, version: $3}
      annotations: {sidecar.istio.io/inject: "${6:-true}"}
    spec:
      containers:
      - name: stand-in
        image: mizzen/samples
        args: [fortio-server, --port, "$4"]
Y
}

check "both front-ends become ready" k wait --for=condition=Ready pods -l name=front-end --timeout=120s
check "they have a sidecar" has 'front-end-v2.* 2/2 +Running' k get pods

page() { curl -s -m 10 "http://$GATEWAY_URL/" "$@"; }
buttons() { # buttons N: how many of N pages had buttons of each colour
  seq "$1" | xargs -P 4 -I{} curl -s -m 10 "http://$GATEWAY_URL/" | grep -o 'data-buttons="[a-z]*"' | sort | uniq -c
}
only() { # only COLOUR: 20 pages, all of that colour
  local all
  all=$(buttons 20)
  echo "$all"
  [ "$(grep -c . <<<"$all")" = 1 ] && grep -q "20 data-buttons=\"$1\"" <<<"$all"
}
check "with version 2 beside it, the page stays blue" within 30 only blue

applies "blue/green: v2" "$traffic/blue-green/frontv2-virtual-service.yaml"
check "every page is red" within 15 only red
applies "blue/green: v1" "$traffic/blue-green/frontv1-virtual-service.yaml"
check "every page is blue again" within 15 only blue

share_of_red_is_a_fifth() {
  local red
  red=$(buttons 400 | awk '/red/ {print $1}')
  echo "red: ${red:-0} of 400"
  [ "${red:-0}" -ge 52 ] && [ "${red:-0}" -le 108 ]
}
applies "the canary" "$traffic/canary/canary-virtual-service.yaml"
check "the canary arrives" within 15 bash -c "seq 20 | xargs -I{} curl -s http://$GATEWAY_URL/ | grep -q red"
check "one page in five is red" draws share_of_red_is_a_fifth

applies "the route for Firefox" "$traffic/route-headers/frontv2-virtual-service-firefox.yaml"
check "others get blue" within 15 only blue
check "Firefox gets red" has 'data-buttons="red"' page -A 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'

applies "the mirror" "$traffic/mirorring/mirror-v2-virtual-service.yaml"
mirrored() {
  local path="/category.html?copy=$RANDOM$RANDOM"
  curl -s -m 10 "http://$GATEWAY_URL$path" | grep -q 'data-buttons="blue"' &&
    within 5 has "GET ${path//\?/\\?} 200" k logs deploy/front-end-v2 -c front-end
}
check "version 1 answers, and version 2 logs a copy" within 20 mirrored
k delete deploy front-end-v2 >/dev/null
stand_in slow-v2 front-end v2 8079 1 >/dev/null
check "a version 2 that takes 20 s to answer" k wait --for=condition=Ready pods -l stand-in=slow-v2 --timeout=60s
answers_at_once() {
  local i
  for i in 1 2 3 4 5; do
    curl -s -m 2 -o /dev/null -w '%{http_code} in %{time_total}\n' "http://$GATEWAY_URL/?delay=20s&i=$i" || return 1
  done
}
check "nobody waits for the copy" answers_at_once
k delete deploy slow-v2 >/dev/null
check "it goes" within 60 bash -c '[ -z "$(kubectl -n sock-shop get pods -l stand-in=slow-v2 --no-headers)" ]'
applies "the clean-up of part 2" "$traffic/cleanup-virtual-service.yaml"

check "all of the shop becomes ready" k wait --for=condition=Ready pods --all --timeout=240s
check "and reads 2/2, the queue 3/3" bash -c \
  '[ "$(kubectl -n sock-shop get pods --no-headers | grep -vcE "(2/2|3/3) +Running")" = 0 ]'
check "every proxy is in sync" has 'catalogue-db.*sock-shop' mizzenctl proxy-status
check "the catalogue comes out of its database" within 30 has '"name":"Holy"' curl -s "http://$GATEWAY_URL/catalogue"

jar=$MIZZEN_HOME/cookies
shopper() { curl -s -m 20 -b "$jar" -c "$jar" -w ' %{http_code}' "$@"; }
check "user signs in" has 'Cookie is set 200' shopper -u user:password "http://$GATEWAY_URL/login"
check "a wrong password does not" has ' 401$' curl -s -w ' %{http_code}' -u user:wrong "http://$GATEWAY_URL/login"
sock=$(curl -s "http://$GATEWAY_URL/catalogue?order=price" | jq -r '.[0].id')
check "a sock goes into the basket" has ' 201$' shopper -d "{\"id\":\"$sock\"}" "http://$GATEWAY_URL/cart"
check "the order is placed" has '"total":12.98.* 201$' shopper -X POST -d '{}' "http://$GATEWAY_URL/orders"
check "the parcel leaves the queue" within 10 has 'shipped [0-9a-f]+ for' k logs deploy/queue-master -c queue-master

timed() { curl -s -m 30 -o /dev/null -w '%{http_code} %{time_total}\n' "$1"; }
takes() { # takes STATUS LEAST MOST URL: seconds
  local answer
  answer=$(timed "$4")
  echo "$answer"
  awk -v s="$1" -v least="$2" -v most="$3" '{exit !($1 == s && $2 >= least && $2 <= most)}' <<<"$answer"
}
applies "the delay" "$resiliency/fault-injection/delay-fault-injection-virtual-service.yaml"
check "the catalogue takes five seconds" within 30 takes 200 5 7 "http://$GATEWAY_URL/catalogue"
check "the page itself does not" takes 200 0 2 "http://$GATEWAY_URL/"

failures_are_a_tenth() {
  local failed
  failed=$(seq 300 | xargs -P 4 -I{} curl -s -m 10 -o /dev/null -w '%{http_code}\n' "http://$GATEWAY_URL/catalogue" |
    sort | uniq -c | tee "$MIZZEN_HOME/codes" | awk '$2 == 500 {print $1}')
  cat "$MIZZEN_HOME/codes"
  [ "$(wc -l <"$MIZZEN_HOME/codes")" = 2 ] && [ "${failed:-0}" -ge 12 ] && [ "${failed:-0}" -le 52 ]
}
applies "the abort" "$resiliency/fault-injection/abort-fault-injection-virtual-service.yaml"
check "the delay is over" within 15 takes 200 0 2 "http://$GATEWAY_URL/catalogue"
check "one answer in ten is 500" draws failures_are_a_tenth

# Who answers: the catalogue itself, or one of two stand-ins.
stand_in stand-in catalogue v1 80 2 >/dev/null
check "stand-ins run" k wait --for=condition=Ready pods -l stand-in=stand-in --timeout=60s
fortio() { k exec deploy/fortio-deploy -c fortio -- fortio "$@"; }
answering_pods() { # of 30 requests from one pod
  local i
  k exec deploy/fortio-deploy -c fortio -- bash -c \
    'for i in $(seq 30); do curl -s catalogue/debug | grep -o "server, on .*" || echo catalogue; done' | sort -u
}
counts_pods() { # counts_pods N
  local pods
  pods=$(answering_pods)
  echo "$pods"
  [ "$(grep -c . <<<"$pods")" = "$1" ]
}
check "without a rule all three answer" within 20 counts_pods 3
applies "stickiness" "$resiliency/load-balancing/load-balancing-consistent-hash.yaml"
check "one address is always answered by one pod" within 20 counts_pods 1

# The document's command, `/usr/bin/fortio` before the dashes included.
fortio_pod=$(k get pod | grep fortio | awk '{ print $1 }')
as_documented() {
  kubectl -n sock-shop exec -it "$fortio_pod" -c fortio /usr/bin/fortio -- load -c 4 -qps 0 -n 40 -loglevel Warning http://catalogue/tags
}
k delete deploy stand-in --wait >/dev/null
check "the stand-ins are gone" within 60 bash -c '[ -z "$(kubectl -n sock-shop get pods -l stand-in --no-headers)" ]'
applies "the circuit breaker" "$resiliency/circuit-breaking/circuit-breaking.yaml"
broken() {
  local output
  output=$(as_documented 2>&1)
  tail -n 8 <<<"$output"
  grep -qE '^Code 200 : [1-9]' <<<"$output" && grep -qE '^Code 503 : [1-9]' <<<"$output" &&
    grep -qE '^Sockets used: [0-9]+ \(for perfect keepalive, would be 4\)' <<<"$output"
}
check "of four at once a share is refused" within 20 broken
check "the sidecar says why: UO" within 20 has '" 503 UO ' k logs "$fortio_pod" -c istio-proxy --tail=300

# One pod that fails, beside the one that does not: the first failure puts it out.
stand_in failing catalogue v1 80 1 >/dev/null
check "a failing pod runs" k wait --for=condition=Ready pods -l stand-in=failing --timeout=60s
meets_the_failing_one() { has 'Code 503 : [1-9]' fortio load -c 1 -qps 20 -n 20 -quiet 'http://catalogue/tags?status=503'; }
check "it is met" within 30 meets_the_failing_one
stays_out() {
  local output
  output=$(fortio load -c 1 -qps 20 -n 40 -quiet 'http://catalogue/tags?status=503')
  grep '^Code' <<<"$output"
  grep -q '^Code 200 : 40 ' <<<"$output"
}
check "and then left alone" within 10 stays_out
check "being put out" within 5 has 'FAILED +outbound\|80\|v1\|catalogue' mizzenctl proxy-config endpoints "$fortio_pod.sock-shop"
k delete deploy failing >/dev/null

applies "the clean-up's subsets, without limits" "$resiliency/cleanup-virtual-service.yaml"
# The manifest names no conditions. Those of Istio's default are about connections: one that is refused is tried
# elsewhere; a try that takes more than its second is not, and ends with 504.
stand_in refusing catalogue v1 81 2 false >/dev/null
check "pods without a sidecar that refuse connections run" k wait --for=condition=Ready pods -l stand-in=refusing --timeout=60s
applies "retries" "$resiliency/retry/retry-virtual-service.yaml"
refused_once() { fortio load -c 4 -qps 0 -n 40 -quiet http://catalogue/tags; }
check "a refused connection costs a try, not the answer" within 20 has 'Code 200 : 40 ' refused_once
k delete deploy refusing >/dev/null
stand_in slow catalogue v1 80 2 >/dev/null
check "slow pods run" k wait --for=condition=Ready pods -l stand-in=slow --timeout=60s
k scale deploy/catalogue --replicas=0 >/dev/null
check "only slow pods are left" within 60 bash -c \
  '[ -z "$(kubectl -n sock-shop get pods -l "name=catalogue,stand-in!=slow" --no-headers)" ]'
slow_answer() { # slow_answer LEAST MOST: 504 within these seconds
  k exec deploy/fortio-deploy -c fortio -- curl -s -m 20 -o /dev/null -w '%{http_code} %{time_total}\n' \
    'http://catalogue/tags?delay=20s' | awk -v least="$1" -v most="$2" '{print; exit !($1 == 504 && $2 >= least && $2 <= most)}'
}
check "a try ends after a second" within 30 slow_answer 0.9 4.5
applies "the total timeout" "$resiliency/timeout/timeout-virtual-service.yaml"
check "and all of them within five" within 15 slow_answer 0.9 5.5
kubectl apply -f - >/dev/null <<'Y'
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: catalogue, namespace: sock-shop}
spec:
  hosts: [catalogue]
  http:
  - route: [{destination: {host: catalogue, subset: v1}}]
    retries: {attempts: 3, perTryTimeout: 1s, retryOn: "5xx"}
    timeout: 3s
Y
check "with a condition for it, tries go on until the whole time is up" within 15 slow_answer 2.9 3.9
applies "the clean-up of part 3" "$resiliency/cleanup-virtual-service.yaml"
check "fortio goes" kubectl delete -f "$resiliency/circuit-breaking/fortio.yaml"
finish
