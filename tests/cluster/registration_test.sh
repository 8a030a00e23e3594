#!/usr/bin/env bash
# WorkloadGroups: a proxy that names one becomes a WorkloadEntry, is called by a ServiceEntry that selects
# it, and goes when it does not come back.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"

start_cluster
inject_default
kubectl apply -f "$here/samples/curl/curl.yaml" >/dev/null
kubectl apply -f - >/dev/null <<'YAML'
apiVersion: v1
kind: ServiceAccount
metadata: {name: machines}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vm}
spec:
  metadata: {labels: {site: east}}
  template: {serviceAccount: machines, ports: {http: 8080}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vm}
spec:
  hosts: [vm.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  workloadSelector: {labels: {site: east}}
YAML
machine() { # machine NAME ACCOUNT GROUP: a proxy that nobody's Service selects
  kubectl apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Pod
metadata:
  name: $1
  annotations:
    proxy.istio.io/config: |
      proxyMetadata: {ISTIO_META_AUTO_REGISTER_GROUP: $3}
spec:
  serviceAccountName: $2
  terminationGracePeriodSeconds: 0
  containers: [{name: httpbin, image: mizzen/httpbin}]
YAML
}
entries() { kubectl get workloadentries -o "jsonpath={range .items[*]}{.metadata.name} {end}"; }
gone() { [ -z "$(entries)" ]; }
entry() { kubectl get workloadentry "vm-$1" -o "jsonpath=$2"; }
ask() { kubectl exec deploy/curl -c curl -- curl -s -o /dev/null -w '%{http_code}\n' -H 'Host: vm.example.com' http://192.0.2.1/status/200; }
address() { kubectl get pod "$1" -o 'jsonpath={.status.podIP}'; }
caretaker() { entry "$(address one)" '{.metadata.annotations.istio\.io/workloadController}'; }
changed_hands() { has '.' caretaker && [ "$(caretaker)" != "$1" ]; } # changed_hands FROM

machine one machines vm
check "the machine is ready" kubectl wait --for=condition=Ready pods --all --timeout=120s
check "it has an entry" within 20 has "vm-$(address one) " entries
check "with its address" has "^$(address one)$" entry "$(address one)" '{.spec.address}'
check "the group's labels and account" has '^east machines$' entry "$(address one)" '{.spec.labels.site} {.spec.serviceAccount}'
check "and who takes care of it" has '^vm mizzend|^vm istiod' entry "$(address one)" '{.metadata.annotations.istio\.io/autoRegistrationGroup} {.metadata.annotations.istio\.io/workloadController}'
check "it serves" within 20 has '^200$' ask

machine two default vm
check "another account is not of the group" within 30 has 'is for service account machines' kubectl logs -n istio-system deploy/istiod
check "and has no entry" test "$(entries)" = "vm-$(address one) "

before=$(caretaker)
kubectl -n istio-system rollout restart deployment istiod >/dev/null
kubectl -n istio-system rollout status deployment istiod >/dev/null
check "a new control plane takes care of it" within 60 changed_hands "$before"
check "and leads to it" within 20 has '^200$' ask
at=$(address one)
kubectl delete pod one --wait=true >/dev/null
check "the entry goes when the machine does not come back" within 40 gone
check "and nobody is called any more ($at)" within 10 has '^503$' ask

finish
