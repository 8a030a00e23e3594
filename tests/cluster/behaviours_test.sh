#!/usr/bin/env bash
# What a caller sees in each situation of traffic, and what the access logs of its sidecar, of the callee's and of the
# gateway say of it: as a real Istio was seen to answer.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"
needs_manifests behaviours || finish || exit 1
[ -n "${MIZZEN_MANIFESTS:-}" ] || exit 0

start_cluster
inject_default
kubectl create namespace plain >/dev/null
check "httpbin applies" kubectl apply -f "$MIZZEN_MANIFESTS/samples/httpbin/httpbin.yaml"
check "a caller with a sidecar" kubectl apply -f "$MIZZEN_MANIFESTS/samples/curl/curl.yaml"
check "a caller without one" kubectl apply -n plain -f "$MIZZEN_MANIFESTS/samples/curl/curl.yaml"
check "a target for copies" kubectl apply -f "$MIZZEN_MANIFESTS/samples/helloworld/helloworld.yaml"
check "pods become ready" kubectl wait --for=condition=Ready pods --all --timeout=90s
kubectl wait -n plain --for=condition=Ready pods --all --timeout=60s >/dev/null

kinds=virtualservices,destinationrules,gateways.networking.istio.io,sidecars,serviceentries,peerauthentications
id=0
situation() { # situation NAME: what stdin holds is all that is configured
  title=$1
  kubectl delete "$kinds" -n default --all >/dev/null 2>&1
  local rules
  rules=$(cat)
  [ -z "$rules" ] || kubectl apply -n default -f - <<<"$rules" >/dev/null
}

log_of() { # log_of c|s|g: the access log of the caller's sidecar, of the callee's, of the gateway
  case $1 in
    c) kubectl logs deploy/curl -c istio-proxy --tail=200 ;;
    s) kubectl logs deploy/httpbin -c istio-proxy --tail=200 ;;
    g) kubectl logs -n istio-system deploy/istio-ingressgateway --tail=200 ;;
    m) kubectl logs -l app=helloworld -c istio-proxy --tail=200 ;; # of both versions
  esac
}

# attempt NAMESPACE ARGS... -- PATTERN...: one request with an id of its own. A pattern is an extended regular expression
# that a line of the answer (`curl -si`) matches; with `c:`, `s:`, `g:` or `m:` in front a line of that log about this request;
# with `!` in front nothing may match.
attempt() {
  local name_space=$1 arguments=() answer pattern request
  shift
  while [ "$1" != -- ]; do arguments+=("$1"); shift; done
  shift
  id=$((id + 1))
  request=$(printf '00000000-0000-4000-8000-%012d' "$((RANDOM * 100000 + id))")
  answer=$(kubectl exec -n "$name_space" deploy/curl -c curl -- curl -si -m 10 -w '\n<<%{http_code} %{exitcode}>>\n' \
    -H "x-request-id: $request" "${arguments[@]}" 2>&1 | tr -d '\r') || true
  for pattern in "$@"; do
    case $pattern in
      [csgm]:*) within 5 logged "${pattern%%:*}" "$request" "${pattern#*:}" || { printf '%s\n' "$answer"; return 1; } ;;
      '!'*) ! grep -qE -- "${pattern#!}" <<<"$answer" || { printf 'found %s in:\n%s\n' "$pattern" "$answer"; return 1; } ;;
      *) grep -qE -- "$pattern" <<<"$answer" || { printf 'no match for %s in:\n%s\n' "$pattern" "$answer"; return 1; } ;;
    esac
  done
}
logged() { # logged LOG REQUEST PATTERN; `any` in front of the pattern: of any request
  local lines
  lines=$(log_of "$1")
  case $3 in
    any:*) set -- "$1" "" "${3#any:}" ;;
  esac
  grep -E -- "${2:-.}" <<<"$lines" | grep -qE -- "$3" || { printf 'no match for %s in the log of %s:\n' "$3" "$1"; grep -E -- "${2:-.}" <<<"$lines" | tail -n 5; return 1; }
}
sees() { # sees WHAT ARGS... -- PATTERN...: tried until the configuration has arrived
  local what=$1
  shift
  check "$title: $what" within 15 attempt default "$@"
}
outside() { # the same from a pod without a sidecar
  local what=$1
  shift
  check "$title: $what" within 15 attempt plain "$@"
}

url=http://httpbin:8000
to='outbound\|8000\|\|httpbin\.default\.svc\.cluster\.local'
agent='"curl/[^"]*" "[-0-9a-f]*" "httpbin:8000"'
route() { # route SPEC...: a VirtualService for httpbin with this http route
  printf 'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: t}\nspec: {hosts: [httpbin], http: [%s]}\n' "$1"
}
rule() {
  printf -- '---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: t}\nspec: {host: httpbin, %s}\n' "$1"
}

situation "no configuration" </dev/null
sees "a plain request" $url/get -- '^HTTP/1.1 200 OK' '^server: envoy$' '^x-envoy-upstream-service-time: [0-9]+$' \
  '"X-Envoy-Attempt-Count"' 'URI=spiffe://cluster.local/ns/default/sa/curl' '"X-Forwarded-Proto"' '!X-Envoy-Peer-Metadata' \
  "c:\"GET /get HTTP/1.1\" 200 - via_upstream - \"-\" 0 [0-9]+ [0-9]+ [0-9]+ \"-\" $agent \"[0-9.]+:8080\" $to [0-9.]+:[0-9]+ [0-9.]+:8000 [0-9.]+:[0-9]+ - default\$" \
  's:200 - via_upstream - .* inbound\|8080\|\| 127.0.0.6:[0-9]+ [0-9.]+:8080 [0-9.]+:[0-9]+ outbound_.8000_._.httpbin.default.svc.cluster.local default$'
sees "dots in the path are resolved" --path-as-is "$url/anything/a/./c/../d?x=%2F&y=1" -- '^HTTP/1.1 200' 'anything/a/d\?x=%2F&y=1' \
  'c:"GET /anything/a/d\?x=%2F&y=1 HTTP/1.1" 200'
sees "an unknown host on a service's port" -H 'Host: nosuch.example' $url/get -- '^HTTP/1.1 200' '!X-Forwarded-Client-Cert' \
  'c:"nosuch.example" "[0-9.]+:8000" PassthroughCluster .* - allow_any$'
sees "an answer of 503 is not tried again" $url/status/503 -- '^HTTP/1.1 503' \
  "c:503 - via_upstream - .* $to .* default\$"
sees "HTTP/2 with prior knowledge" --http2-prior-knowledge $url/get -- '^HTTP/2 200' 'c:"GET /get HTTP/2" 200 - via_upstream'
sees "a header of more than 60 KiB" -H "x-big: $(head -c 70000 /dev/zero | tr '\0' a)" $url/get -- \
  '^HTTP/1.1 431 Request Header Fields Too Large' '^connection: close' 'c:any:"- - HTTP/1.1" 431 DPE http1.headers_too_large - "-" 0 31 0'
sees "HTTP/1.0 on a port of HTTP" -0 $url/get -- '^HTTP/1.1 426 Upgrade Required' '^connection: close'

situation "abort" < <(route '{fault: {abort: {httpStatus: 555, percentage: {value: 100}}}, route: [{destination: {host: httpbin}}]}')
sees "by the fault filter" $url/get -- '^HTTP/1.1 555' '^content-type: text/plain' '^content-length: 18' '^fault filter abort' \
  "c:555 FI fault_filter_abort - \"-\" 0 18 [0-9]+ - \"-\" $agent \"-\" $to - [0-9.]+:8000 [0-9.]+:[0-9]+ - -\$"

situation "delay" < <(route '{fault: {delay: {fixedDelay: 700ms, percentage: {value: 100}}}, route: [{destination: {host: httpbin}}]}')
sees "by the fault filter" $url/get -- '^HTTP/1.1 200' 'c:200 DI via_upstream - "-" 0 [0-9]+ 7[0-9][0-9] '

situation "timeout" < <(route '{timeout: 300ms, route: [{destination: {host: httpbin}}]}')
sees "of the route" $url/delay/1 -- '^HTTP/1.1 504 Gateway Timeout' '^content-length: 24' '^upstream request timeout' \
  "c:504 UT response_timeout - \"-\" 0 24 (29|30|31|32)[0-9] - .* \"[0-9.]+:8080\" $to "

situation "perTryTimeout" < <(route '{retries: {attempts: 2, perTryTimeout: 200ms, retryOn: "5xx"}, route: [{destination: {host: httpbin}}]}')
sees "three tries" $url/delay/1 -- '^HTTP/1.1 504' '^upstream request timeout' 'c:504 (UT,URX|URX,UT) upstream_per_try_timeout' \
  's: 0 DC downstream_remote_disconnect'

situation "retries on 5xx" < <(route '{retries: {attempts: 3, retryOn: "5xx"}, route: [{destination: {host: httpbin}}]}')
four_tries() { [ "$(log_of s | grep -c "\"GET /status/503?$1 HTTP/1.1\" 503")" -ge 4 ]; }
sees "used up" "$url/status/503?four" -- '^HTTP/1.1 503' 'c:503 URX via_upstream'
check "$title: four tries" within 5 four_tries four

situation "redirect" < <(route '{redirect: {uri: /moved, authority: other.example, redirectCode: 302}}')
sees "where it leads" $url/get -- '^HTTP/1.1 302 Found' '^location: http://other.example/moved$' '^content-length: 0' \
  "c:302 - direct_response - \"-\" 0 0 [0-9]+ - \"-\" $agent \"-\" - - [0-9.]+:8000 [0-9.]+:[0-9]+ - -\$"

situation "direct response" < <(route '{directResponse: {status: 418, body: {string: short and stout}}}')
sees "as written" $url/get -- '^HTTP/1.1 418' '^content-type: text/plain' '^short and stout' 'c:418 - direct_response - "-" 0 15 '

situation "rewrite" < <(route '{match: [{uri: {prefix: /v1/}}], rewrite: {uri: /anything/}, route: [{destination: {host: httpbin}}]}')
sees "of a prefix" "$url/v1/x?q=1" -- '^HTTP/1.1 200' '"X-Envoy-Original-Path"' '"http://httpbin:8000/anything/x\?q=1"' \
  'c:"GET /v1/x\?q=1 HTTP/1.1" 200' 's:"GET /v1/x\?q=1 HTTP/1.1" 200'
sees "nothing for another path" $url/get -- '^HTTP/1.1 404 Not Found' '^content-length: 0' \
  "c:404 NR route_not_found - \"-\" 0 0 [0-9]+ - \"-\" $agent \"-\" - - [0-9.]+:8000 [0-9.]+:[0-9]+ - -\$"

situation "headers" < <(route '{headers: {request: {set: {x-a: "1"}, add: {x-b: "%PROTOCOL%"}, remove: [user-agent]}, response: {set: {x-c: "3"}, remove: [x-envoy-upstream-service-time]}}, route: [{destination: {host: httpbin}}]}')
sees "set, added, removed" $url/headers -- '^HTTP/1.1 200' '^x-c: 3' '"X-A"' '"HTTP/1.1"' '!User-Agent' '!x-envoy-upstream-service-time' \
  'c:200 - via_upstream - "-" 0 [0-9]+ [0-9]+ - "-" "-"'

situation "no match" < <(route '{match: [{headers: {x-k: {exact: v}}}], route: [{destination: {host: httpbin}}]}')
sees "is not found" $url/get -- '^HTTP/1.1 404' 'c:404 NR route_not_found'
sees "and found with the header" -H 'x-k: v' $url/get -- '^HTTP/1.1 200'

situation "a subset that is not there" < <(route '{route: [{destination: {host: httpbin, subset: nope}}]}')
sees "has no cluster" $url/get -- '^HTTP/1.1 503' '^content-length: 0' \
  "c:503 NC cluster_not_found - \"-\" 0 0 [0-9]+ - \"-\" $agent \"-\" - - "

situation "a subset without endpoints" < <(route '{route: [{destination: {host: httpbin, subset: v9}}]}'; rule 'subsets: [{name: v9, labels: {version: v9}}]')
sees "is not healthy" $url/get -- '^HTTP/1.1 503' '^content-length: 19' '^no healthy upstream' \
  'c:503 UH no_healthy_upstream - .* outbound\|8000\|v9\|httpbin'

situation "a host that is not there" < <(route '{route: [{destination: {host: nosuch.default.svc.cluster.local}}]}')
sees "has no cluster" $url/get -- '^HTTP/1.1 503' 'c:503 NC cluster_not_found'

situation "queryParams, method, withoutHeaders" < <(route '{match: [{queryParams: {a: {regex: "[0-9]+"}}, method: {exact: GET}, withoutHeaders: {x-no: {}}}], directResponse: {status: 299}}, {route: [{destination: {host: httpbin}}]}')
sees "match" "$url/get?a=12" -- '^HTTP/1.1 299' 'c:299 - direct_response'
sees "another value" "$url/get?a=x" -- '^HTTP/1.1 200'
sees "with the header" -H 'x-no: 1' "$url/get?a=12" -- '^HTTP/1.1 200'

situation "CORS" < <(route '{corsPolicy: {allowOrigins: [{exact: "https://a.example"}], allowMethods: [GET, PUT], allowHeaders: [x-t], exposeHeaders: [x-e], maxAge: 24h, allowCredentials: true}, route: [{destination: {host: httpbin}}]}')
preflight=(-X OPTIONS -H 'Access-Control-Request-Method: PUT')
sees "a preflight" "${preflight[@]}" -H 'Origin: https://a.example' $url/get -- '^HTTP/1.1 200' '^access-control-allow-origin: https://a.example' \
  '^access-control-allow-credentials: true' '^access-control-allow-methods: GET,PUT' '^access-control-allow-headers: x-t' \
  '^access-control-max-age: 86400' '^access-control-expose-headers: x-e' '^content-length: 0' \
  "c:\"OPTIONS /get HTTP/1.1\" 200 - cors_response - .* \"-\" $to - "
sees "a simple request" -H 'Origin: https://a.example' $url/headers -- '^HTTP/1.1 200' '^access-control-expose-headers: x-e'
sees "another origin's preflight goes on" "${preflight[@]}" -H 'Origin: https://b.example' $url/get -- 'c:"OPTIONS /get HTTP/1.1" [0-9]+ - via_upstream'

situation "circuit breaker" < <(rule 'trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}}}')
burst() {
  local output
  output=$(kubectl exec deploy/curl -c curl -- curl -s --parallel --parallel-immediate --parallel-max 8 -D - \
    "http://httpbin:8000/delay/0.[1-8]" -o /dev/null -o /dev/null -o /dev/null -o /dev/null -o /dev/null -o /dev/null -o /dev/null -o /dev/null 2>&1 | tr -d '\r')
  [ "$(grep -c '^HTTP/1.1 503' <<<"$output")" -ge 4 ] && grep -q '^x-envoy-overloaded: true' <<<"$output" &&
    grep -q '^HTTP/1.1 200' <<<"$output"
}
check "$title: most of eight at once are turned away" within 30 burst
check "$title: with flag UO" within 5 logged c "" 'any:503 UO upstream_reset_before_response_started\{overflow\} - "-" 0 81 0'

situation "outlier detection" < <(rule 'trafficPolicy: {outlierDetection: {consecutive5xxErrors: 2, interval: 1s, baseEjectionTime: 20s, maxEjectionPercent: 100}}')
sees "ejects the only host" "$url/status/[500-503]" -- '^HTTP/1.1 503' '^no healthy upstream' 'c:any:"GET /status/50[0-9] HTTP/1.1" 503 UH no_healthy_upstream'
situation "after an ejection" </dev/null
sees "the host is back" $url/get -- '^HTTP/1.1 200'

situation "mirror" < <(route '{route: [{destination: {host: httpbin}}], mirror: {host: helloworld, port: {number: 5000}}, mirrorPercentage: {value: 100}}')
sees "a copy arrives" $url/get -- '^HTTP/1.1 200' 'm:"GET /get HTTP/1.1" .* "httpbin:8000" .* inbound\|5000\|\|'

situation "no gateway" </dev/null
outside "the port is closed" http://istio-ingressgateway.istio-system/get -- '<<000 7>>'

gateway() { printf 'apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: t}\nspec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]%s}]}\n---\n' "$1"; }
situation "a gateway for one host" < <(gateway ''; cat <<'Y'
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: t}
spec: {hosts: [a.example.com], gateways: [t], http: [{match: [{uri: {prefix: /get}}], route: [{destination: {host: httpbin, port: {number: 8000}}}]}]}
Y
)
in=http://istio-ingressgateway.istio-system
outside "the right host" -H 'Host: a.example.com' $in/get -- '^HTTP/1.1 200' '^server: istio-envoy' '"X-Envoy-External-Address"' '"X-Forwarded-For"' \
  'sa/istio-ingressgateway-service-account'
check "$title: its log" within 5 logged g "" "any:\"GET /get HTTP/1.1\" 200 - via_upstream - .* \"a.example.com\" \"[0-9.]+:8080\" $to [0-9.]+:[0-9]+ [0-9.]+:8080 [0-9.]+:[0-9]+ - -\$"
outside "another host" -H 'Host: b.example.com' $in/get -- '^HTTP/1.1 404' '^server: istio-envoy' '^content-length: 0'
check "$title: its log" within 5 logged g "" 'any:404 NR route_not_found - .* "b.example.com" "-" - - '
outside "another path" -H 'Host: a.example.com' $in/status/200 -- '^HTTP/1.1 404'
outside "headers of a stranger" -H 'Host: a.example.com' -H 'x-forwarded-for: 1.2.3.4' -H 'x-envoy-retry-on: 5xx' $in/get -- \
  '^HTTP/1.1 200' '"1.2.3.4,[0-9.]+"' '!X-Envoy-Retry-On'

situation "httpsRedirect" < <(gateway ', tls: {httpsRedirect: true}')
outside "leads to https" -H 'Host: a.example.com' "$in/get?x=1" -- '^HTTP/1.1 301 Moved Permanently' '^location: https://a.example.com/get\?x=1' '^content-length: 0'
check "$title: its log" within 5 logged g "" 'any:"GET /get\?x=1 HTTP/1.1" 301 - direct_response'
finish
