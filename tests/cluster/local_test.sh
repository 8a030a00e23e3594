#!/usr/bin/env bash
# The local cluster without a mesh: pods, services, names, volumes, probes, hooks, the ways in and out, kubectl
# as people use it, and that nothing stays behind. As whoever runs it; as root, once more as an ordinary user
# with the mesh. MIZZEN_KUBECTL names the kubectl to drive; otherwise the one on PATH and Debian's 1.20.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"
# shellcheck source=tests/cluster/kubectl_checks.sh
source "$here/tests/cluster/kubectl_checks.sh"

MIZZEN_HOME=$(mktemp -d)
export MIZZEN_HOME KUBECONFIG=$MIZZEN_HOME/kubeconfig
trap 'status=$?; mizzen-local down >/dev/null 2>&1 || true; rm -rf "$MIZZEN_HOME"; exit $status' EXIT INT TERM

check "the cluster starts" mizzen-local up --bare
kubectl apply -f - >/dev/null <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue, file.txt: "from a ConfigMap"}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: heads}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers:
      - {name: first, image: busybox, command: [sh, -c, "echo written first > /shared/note"], volumeMounts: [{name: shared, mountPath: /shared}]}
      containers:
      - name: web
        image: mccutchen/go-httpbin
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /get, port: http}, periodSeconds: 1}
        env:
        - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
        - {name: GREETING, value: "sky is $(COLOUR)"}
        - {name: WHERE, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        securityContext: {runAsUser: 10001, runAsGroup: 10001}
        volumeMounts: [{name: shared, mountPath: /shared}, {name: settings, mountPath: /settings}]
      volumes:
      - {name: shared, emptyDir: {}}
      - {name: settings, configMap: {name: settings}}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: curl, image: curlimages/curl}]
---
apiVersion: v1
kind: Pod
metadata: {name: unknown}
spec: {containers: [{name: app, image: "acme/nothing:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: crasher}
spec: {containers: [{name: app, image: busybox, command: [sh, -c, "echo last words; exit 3"]}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: app, image: busybox, command: ["true"]}]}}}
YAML
client=(kubectl exec client -- curl -sS -m 5)
web=(kubectl exec deploy/web -c web --)
check "a deployment rolls out" kubectl rollout status deploy/web --timeout=30s
check "a client is ready" kubectl wait --for=condition=Ready pod/client --timeout=30s
check "a service answers by its name" has '"url"' "${client[@]}" http://web/get
check "a headless service has its pods' addresses" has '10\.244\..*10\.244\.' bash -c 'kubectl exec client -- getent ahostsv4 heads | tr "\n" " "'
kubectl apply -f - >/dev/null <<'YAML'
apiVersion: v1
kind: Service
metadata: {name: by-hand}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: by-hand}
subsets: [{addresses: [{ip: 10.244.9.9}], ports: [{name: http, port: 8080}]}]
YAML
slices() { kubectl get endpointslices -l kubernetes.io/service-name=by-hand -o jsonpath='<{..endpoints..addresses}>'; }
check "Endpoints written by hand have a slice" within 10 has '10.244.9.9' slices
kubectl delete endpoints by-hand >/dev/null
check "which goes with them" within 10 has '^<>$' slices
check "a pod meets itself at its own service" within 10 has '"url"' "${web[@]}" curl -sS -m 2 http://web/get
check "init containers run first and share volumes" has 'written first' "${web[@]}" cat /shared/note
check "a ConfigMap is a volume" has 'from a ConfigMap' "${web[@]}" cat /settings/file.txt
check "variables refer to each other and to ConfigMaps" has 'sky is blue' "${web[@]}" printenv GREETING
check "the downward API knows the pod's address" has '^10\.244\.' "${web[@]}" printenv WHERE
check "the API server answers a pod with its token" has '"minor"' kubectl exec client -- sh -c \
  'd=/var/run/secrets/kubernetes.io/serviceaccount; curl -sS -m 5 --cacert $d/ca.crt -H "Authorization: Bearer $(cat $d/token)" https://kubernetes.default/version'
check "a pod reaches the machine" within 10 has '^[0-9]' kubectl exec client -- sh -c \
  "curl -s -o /dev/null -m 3 -w '%{http_code}' -k https://host.mizzen.internal:$(sed -n 's/.*server: https:..127.0.0.1:\([0-9]*\).*/\1/p' "$KUBECONFIG")/version"
door=$(mizzen-local status | sed -n 's/.*default\/web:80 answers on //p')
check "a NodePort answers on the machine" has '"url"' curl -sS -m 5 "http://$door/get"
check "an unmapped image says how to map it" within 10 has 'images add' kubectl get pod unknown -o jsonpath='{.status.containerStatuses[0].state.waiting.message}'
check "an entry that is not there is not removed" fails_with 'no entry of yours' mizzenctl images remove acme/nothing
check "a mapped image runs" bash -c 'mizzenctl images add "acme/nothing" sh -c "echo \"mapped \$0\"; exec sleep infinity" image && kubectl wait --for=condition=Ready pod/unknown --timeout=20s'
check "by the words that it was mapped to" has '^mapped image$' kubectl logs unknown
check "the catalogue lists it" has '^acme/nothing +you +sh -c' mizzenctl images list
check "beside the built-in ones" has '^\*curlimages/curl:\* +built in +sleep' mizzenctl images
check "an entry is removed" bash -c 'mizzenctl images remove acme/nothing && ! mizzenctl images list | grep -q acme'
check "a crash is retried with back-off" within 20 has 'CrashLoopBackOff' kubectl get pod crasher
check "logs of the run before" has 'last words' kubectl logs crasher --previous
check "a job completes" kubectl wait --for=condition=Complete job/once --timeout=20s
check "a rolling restart loses no request" bash -c '
  kubectl rollout restart deploy/web >/dev/null
  for _ in $(seq 60); do kubectl exec client -- curl -sf -m 5 -o /dev/null http://web/get || exit 1; done
  kubectl rollout status deploy/web --timeout=30s'

kubectl apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: fixed}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: http, nodePort: 31789}]}
---
apiVersion: v1
kind: Pod
metadata: {name: hooks}
spec:
  terminationGracePeriodSeconds: 8
  containers:
  - name: app
    image: busybox
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
    lifecycle:
      postStart: {exec: {command: [sh, -c, "echo started > /host/started"]}}
      preStop: {exec: {command: [sh, -c, "sleep 1; echo stopped > /host/stopped"]}}
    volumeMounts: [{name: host, mountPath: /host}]
  volumes: [{name: host, hostPath: {path: $MIZZEN_HOME/host, type: DirectoryOrCreate}}]
---
apiVersion: v1
kind: Pod
metadata: {name: stubborn}
spec:
  terminationGracePeriodSeconds: 2
  containers: [{name: app, image: busybox, command: [sh, -c, "trap : TERM; while :; do sleep 0.1; done"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: probed}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: slow
    image: busybox
    command: [sh, -c, "sleep 2; touch /tmp/up; sleep 100"]
    startupProbe: {exec: {command: [test, -f, /tmp/up]}, periodSeconds: 1, failureThreshold: 20}
    livenessProbe: {exec: {command: [test, -f, /tmp/up]}, periodSeconds: 1, failureThreshold: 1}
  - name: dying
    image: busybox
    command: [sh, -c, "touch /tmp/up; sleep 2; rm /tmp/up; sleep 100"]
    livenessProbe: {exec: {command: [test, -f, /tmp/up]}, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 1}
  - name: tcp
    image: mccutchen/go-httpbin
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: batch/v1
kind: Job
metadata: {name: with-sidecar}
spec:
  template:
    spec:
      restartPolicy: Never
      initContainers:
      - {name: side, image: mccutchen/go-httpbin, restartPolicy: Always, startupProbe: {httpGet: {path: /get, port: 8080}, periodSeconds: 1}}
      containers: [{name: app, image: curlimages/curl, command: [curl, -sSf, "http://127.0.0.1:8080/get"]}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: set}
spec:
  serviceName: members
  replicas: 2
  selector: {matchLabels: {app: set}}
  template:
    metadata: {labels: {app: set}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: app, image: mccutchen/go-httpbin, ports: [{containerPort: 8080}], readinessProbe: {httpGet: {port: 8080, path: /get}, periodSeconds: 1}}]}
---
apiVersion: v1
kind: Service
metadata: {name: members}
spec: {clusterIP: None, selector: {app: set}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere}}
    spec: {terminationGracePeriodSeconds: 1, containers: [{name: app, image: busybox, command: [sleep, "1000"]}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: minutely}
spec: {schedule: "* * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: app, image: busybox, command: ["true"]}]}}}}}
YAML
check "a node port asked for by its number" within 10 has '"url"' curl -sS -m 5 http://127.0.0.1:31789/get
check "a server behind it sees its client's address" has '10\.244\.0\.2"' curl -sS -m 5 http://127.0.0.1:31789/ip
shared=$(kubectl get svc fixed -o jsonpath='{.status.loadBalancer.ingress[0].ip}'):31789
check "the load balancer's address answers the machine" has '"url"' curl -sS -m 5 "http://$shared/get"
check "and pods alike" within 10 has '"url"' "${client[@]}" "http://$shared/get"
check "postStart has run" within 10 has started cat "$MIZZEN_HOME/host/started"
check "a stateful set comes in order, by name" within 30 has 'set-0 set-1' bash -c 'kubectl wait --for=condition=Ready pod/set-0 pod/set-1 >/dev/null && kubectl get pods -l app=set --sort-by=.status.startTime -o jsonpath="{.items[*].metadata.name}"'
check "its members have names" within 10 has '"url"' "${client[@]}" http://set-1.members.default.svc.cluster.local:8080/get
check "a daemon set runs on the node" kubectl rollout status ds/everywhere --timeout=20s
check "a sidecar ends with its job" kubectl wait --for=condition=Complete job/with-sidecar --timeout=30s
check "a startup probe holds the others back" within 20 has '^true 0$' kubectl get pod probed -o jsonpath='{.status.containerStatuses[?(@.name=="slow")].ready} {.status.containerStatuses[?(@.name=="slow")].restartCount}'
check "a failed liveness probe restarts" within 20 has '^[1-9]' kubectl get pod probed -o jsonpath='{.status.containerStatuses[?(@.name=="dying")].restartCount}'
check "a TCP probe makes ready" within 20 has '^true$' kubectl get pod probed -o jsonpath='{.status.containerStatuses[?(@.name=="tcp")].ready}'
kubectl patch configmap settings --type=json -p '[{"op":"replace","path":"/data/colour","value":"red"},{"op":"remove","path":"/data/file.txt"}]' >/dev/null
check "a ConfigMap's change reaches its volume" within 10 has '^red' "${web[@]}" cat /settings/colour
check "a key that has gone is gone there" within 10 fails_with 'No such file' "${web[@]}" cat /settings/file.txt
check "preStop runs before the end" bash -c 'kubectl delete pod hooks --timeout=20s && grep -q stopped "$MIZZEN_HOME/host/stopped"'
check "what stays after SIGTERM ends with its grace period" bash -c 's=$SECONDS; kubectl delete pod stubborn --timeout=20s && d=$((SECONDS - s)) && [ $d -ge 2 ] && [ $d -le 8 ]'
token='d=/var/run/secrets/kubernetes.io/serviceaccount; curl -sS -m 5 --cacert $d/ca.crt -H "Authorization: Bearer $(cat $d/token)" https://kubernetes.default'
check "a pod's token does not read secrets" has 'cannot list resource' kubectl exec client -- sh -c "$token/api/v1/namespaces/default/secrets"
kubectl create rolebinding reader --clusterrole=view --serviceaccount=default:default >/dev/null
check "a role binding gives it what it says" has '"PodList"' kubectl exec client -- sh -c "$token/api/v1/namespaces/default/pods"
check "and no more" has 'cannot list resource' kubectl exec client -- sh -c "$token/api/v1/namespaces/default/secrets"
check "a cron job is on time" within 75 has '^Complete|^1' kubectl get jobs -o jsonpath='{.items[?(@.metadata.ownerReferences[0].name=="minutely")].status.succeeded}'
check "pods go" kubectl delete pod client unknown crasher probed --timeout=30s

programs_of_kubectl() { # the one on PATH, and Debian's
  if [ -n "${MIZZEN_KUBECTL:-}" ]; then echo "$MIZZEN_KUBECTL"; return; fi
  command -v kubectl
  kubectl version --client 2>/dev/null | grep -q 'v1\.20\.' && return
  ( cd "$MIZZEN_HOME" && apt-get download kubernetes-client && dpkg -x kubernetes-client_*.deb debian ) >/dev/null 2>&1 &&
    echo "$MIZZEN_HOME/debian/usr/bin/kubectl"
}
mapfile -t kubectls < <(programs_of_kubectl)
[ ${#kubectls[@]} -gt 1 ] || [ -n "${MIZZEN_KUBECTL:-}" ] || skip "kubectl 1.20" "Debian's package kubernetes-client cannot be had"
for program in "${kubectls[@]}"; do check_kubectl "$program"; done

check "the cluster stops" mizzen-local down
nothing_left() { ! grep -lsz "MIZZEN_HOME=$MIZZEN_HOME" /proc/[0-9]*/environ 2>/dev/null | grep -v "/proc/$$/" | xargs -r -n1 dirname | while read -r p; do
  tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -E 'mizzen-(local|samples|proxy) ' ; done | grep -q . ; }
check "no process stays behind" within 5 nothing_left
check "no mount stays behind" bash -c '! grep -q "$MIZZEN_HOME" /proc/self/mounts'
check "the objects are there again after a second start" bash -c 'mizzen-local up --bare && kubectl rollout status deploy/web --timeout=30s'
check "and stops again" mizzen-local down
if [ "$(id -u)" = 0 ]; then
  # Without subordinate ids: one user id for all, and the mesh all the same.
  programs=$(mktemp -d)
  cp "$(dirname "$(command -v mizzen-local)")"/mizzen{ctl,d,-local,-proxy,-samples} "$programs" && chmod 755 "$programs"
  as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp PATH="$programs:$PATH" "$@"; }
  rm -rf "$MIZZEN_HOME"
  MIZZEN_HOME=$(as_user mktemp -d)
  export MIZZEN_HOME KUBECONFIG=$MIZZEN_HOME/kubeconfig
  check "as an ordinary user without ids: the mesh starts and serves" as_user mizzen-local up --demo
  eval "$(as_user mizzen-local env)"
  check "it says so" has 'one id for all' as_user mizzen-local status
  details() { as_user kubectl exec deploy/productpage-v1 -c "$1" -- curl -sS -D - -o /dev/null -m 5 http://details:9080/details/0; }
  check "an application's requests go through its sidecar" within 10 has '^server: envoy' details productpage
  check "a proxy's own requests are left alone" within 10 has '^server: istio-envoy' details istio-proxy
  check "an ordinary user's cluster stops" as_user mizzen-local down
  rm -rf "$programs" "$MIZZEN_HOME"
fi
finish
