#!/usr/bin/env bash
# Prometheus finds the proxies by their pods' annotations, and the command line leads to its page.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"
start_cluster --demo
addons=$here/samples/addons

if ! [ -x /usr/bin/prometheus ]; then
  check "prometheus applies" kubectl apply -f "$addons/prometheus.yaml"
  check "its pod says what to install" within 15 has 'apt-get install prometheus' \
    kubectl describe pod -n istio-system -l app=prometheus
  skip "Prometheus scrapes the proxies" "the package prometheus is not installed"
  finish
  exit
fi

check "prometheus applies" kubectl apply -f "$addons/prometheus.yaml"
check "its pod becomes ready" kubectl rollout status -n istio-system deploy/prometheus --timeout=60s

dashboard() { # dashboard NAME ARGUMENT...: leaves the address in $url
  rm -f "$MIZZEN_HOME/dashboard"
  mizzenctl dashboard "$@" --browser=false >"$MIZZEN_HOME/dashboard" 2>&1 &
  dashboard_pid=$!
  within 15 grep -q '^http://' "$MIZZEN_HOME/dashboard" || return 1
  url=$(grep -m 1 '^http://' "$MIZZEN_HOME/dashboard")
}
dashboard_ends() { # a shell's background jobs do not hear Ctrl-C
  kill -TERM "$dashboard_pid"
  within 10 has_ended "$dashboard_pid"
}
has_ended() { ! kill -0 "$1" 2>/dev/null; }

dashboard prometheus
check "dashboard prometheus prints an address of this machine" has '^http://localhost:[0-9]+$' echo "$url"
check "where Prometheus answers" has 'Prometheus Server is Ready' curl -sS "$url/-/ready"
query() { curl -sS -G --data-urlencode "query=$1" "$url/api/v1/query"; }
values() { query "$1" | jq -r '.data.result[] | "\(.metric.reporter // .metric.pod // .metric.app) \(.value[1])"'; }
is() { # is WANTED QUERY
  local got
  got=$(values "$2" | sort | tr '\n' ' ')
  [ "$got" = "$1" ] || { echo "got: $got"; query "$2"; return 1; }
}

pods=$(kubectl get pods -A -o json | jq '[.items[] | select(.metadata.annotations["prometheus.io/scrape"] == "true")] | length')
all_up() { [ "$(query 'sum(up{job="kubernetes-pods"})' | jq -r '.data.result[0].value[1]')" = "$pods" ]; }
check "every pod that asks for it is scraped" within 60 all_up
for _ in $(seq 20); do curl -s -o /dev/null "http://$GATEWAY_URL/productpage"; done
check "requests to reviews are told by both sides" within 60 is 'destination 1 source 1 ' \
  'min by (reporter) (istio_requests_total{destination_app="reviews"} > bool 0)'
check "targets carry their pod and namespace" has 'reviews-v1-' \
  query 'up{namespace="default", app="reviews", version="v1", pod=~"reviews-v1-.*"} == 1'
check "the control plane is scraped too" has '"component":"pilot"' query 'istio_build{component="pilot"}'

check "strict mutual TLS applies" kubectl apply -f "$here/samples/bookinfo/strict-mtls.yaml"
scraped_since() { # every proxy of the application, by plain HTTP, after $1
  local fresh
  fresh=$(query "count(timestamp(up{job=\"kubernetes-pods\",namespace=\"default\"} == 1) > $1)" | jq -r '.data.result[0].value[1]')
  echo "scraped since: $fresh"
  [ "$fresh" = "$(kubectl get pods --no-headers | wc -l)" ]
}
check "and the proxies are scraped still" within 60 scraped_since "$(date +%s)"
check "the dashboard ends when told to" dashboard_ends

dashboard envoy deploy/reviews-v1
check "dashboard envoy leads to a proxy's administration" has '"state":"LIVE"' \
  bash -c "curl -sS $url/server_info | tr -d ' \n'"
check "many connections at a time" bash -c "seq 40 | xargs -P 20 -I{} curl -sSf -o /dev/null $url/config_dump"
check "and ends, too" dashboard_ends
dashboard controlz
check "dashboard controlz leads to the control plane" has 'registryz' curl -sS "$url"
check "and ends" dashboard_ends
check "a dashboard that is not there is named" fails_with 'no Kiali pods found' mizzenctl dashboard kiali --browser=false
finish
