#!/usr/bin/env bash
# The local cluster without a mesh: pods, services, names, volumes, probes, the ways in and out, and that
# nothing stays behind. As whoever runs it; as root, once more as an ordinary user.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"

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
check "a mapped image runs" bash -c 'mizzen-local images add "acme/nothing" sleep infinity && kubectl wait --for=condition=Ready pod/unknown --timeout=20s'
check "a crash is retried with back-off" within 20 has 'CrashLoopBackOff' kubectl get pod crasher
check "logs of the run before" has 'last words' kubectl logs crasher --previous
check "a job completes" kubectl wait --for=condition=Complete job/once --timeout=20s
check "a rolling restart loses no request" bash -c '
  kubectl rollout restart deploy/web >/dev/null
  for _ in $(seq 60); do kubectl exec client -- curl -sf -m 5 -o /dev/null http://web/get || exit 1; done
  kubectl rollout status deploy/web --timeout=30s'
check "pods go" kubectl delete pod client unknown crasher --timeout=30s

check "the cluster stops" mizzen-local down
nothing_left() { ! grep -lsz "MIZZEN_HOME=$MIZZEN_HOME" /proc/[0-9]*/environ 2>/dev/null | grep -v "/proc/$$/" | xargs -r -n1 dirname | while read -r p; do
  tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -E 'mizzen-(local|samples|proxy) ' ; done | grep -q . ; }
check "no process stays behind" within 5 nothing_left
check "no mount stays behind" bash -c '! grep -q "$MIZZEN_HOME" /proc/self/mounts'
check "the objects are there again after a second start" bash -c 'mizzen-local up --bare && kubectl rollout status deploy/web --timeout=30s'
check "and stops again" mizzen-local down
if [ "$(id -u)" = 0 ] && [ -z "${MIZZEN_AS_USER:-}" ]; then
  user=nobody
  if grep -q "^$user:" /etc/subuid 2>/dev/null; then :; else skip "as an ordinary user with ids" "$user has no range in /etc/subuid; degraded mode is tested"; fi
  programs=$(mktemp -d)
  cp "$(dirname "$(command -v mizzen-local)")"/mizzen-{local,samples} "$programs" && chmod 755 "$programs"
  check "starts and serves as an ordinary user" setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp PATH="$programs:$PATH" \
    bash -c 'MIZZEN_HOME=$(mktemp -d) && export MIZZEN_HOME && trap "mizzen-local down; rm -rf $MIZZEN_HOME" EXIT && mizzen-local up --bare &&
      export KUBECONFIG=$MIZZEN_HOME/kubeconfig && kubectl create deployment web --image=mccutchen/go-httpbin &&
      kubectl rollout status deploy/web --timeout=30s && kubectl exec deploy/web -- curl -sf -m 5 http://127.0.0.1:8080/get'
  rm -rf "$programs"
fi
finish
