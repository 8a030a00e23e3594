#!/usr/bin/env bash
# The commands of documents as they stand: istioctl and minikube as names of mizzenctl, from an empty
# machine to an installed mesh and back.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"
MIZZEN_HOME=$(mktemp -d)
export MIZZEN_HOME
trap 'status=$?; minikube delete >/dev/null 2>&1; minikube delete -p second >/dev/null 2>&1; rm -rf "$MIZZEN_HOME"; exit $status' EXIT INT TERM

eval "$(mizzenctl env --names)"
check "istioctl is on PATH before a cluster runs" has "$MIZZEN_HOME/names/istioctl" command -v istioctl
check "minikube says that there is no cluster" fails_with 'Profile "minikube" not found' minikube status
check "an address needs a cluster" fails_with 'is not running' minikube ip
check "a driver is kept, and said to do nothing" has 'has no effect' minikube config set driver kvm2
check "and read again" has '^- driver: kvm2$' minikube config view
check "minikube starts a cluster" has 'kubectl is now configured to use "minikube"' minikube start --memory=12384 --cpus=4
check "whose context is minikube" has '^minikube$' kubectl config current-context
check "and answers" has 'Ready' kubectl get nodes
check "minikube status reads as ever" has 'apiserver: Running' minikube status
check "minikube profile list" has '^minikube +Running' minikube profile list

check "istioctl sees no mesh yet" has 'no running Istio pods in "istio-system"' istioctl version
check "the cluster can take one" has 'No issues found when checking the cluster' istioctl x precheck
check "there is nothing to verify yet" fails_with '0 Istio control planes detected' istioctl verify-install
check "a profile that is not there is refused" fails_with 'profile "tiny" is not there' istioctl install --set profile=tiny -y
check "istioctl installs the mesh" has 'Installation complete' istioctl install --set profile=demo -y
check "which verifies" has 'Istio is installed and verified successfully' istioctl verify-install
check "versions of both planes" has 'data plane version: [^ ]+ \([0-9]+ proxies\)' istioctl version
check "the proxies' versions in JSON" bash -c 'istioctl version -o json | jq -e ".dataPlaneVersion[0].IstioVersion"'

check "the namespace is not enabled yet" has '^Info \[IST0102\] \(Namespace default\)' istioctl analyze
kubectl label namespace default istio-injection=enabled >/dev/null
check "and then is" has '✔ No validation issues found when analyzing namespace: default.' istioctl analyze
kubectl apply -f "$here/samples/bookinfo/bookinfo.yaml" -f "$here/samples/bookinfo/gateway.yaml" >/dev/null
check "bookinfo becomes ready" kubectl wait --for=condition=Ready pods --all --timeout=90s
check "nothing is wrong with it" has '✔ No validation issues found' istioctl analyze
check "a mistake in a file is found" fails_with 'Error \[IST0101\] \(VirtualService default/r .*r.yaml:1\) Referenced host not found: "nowhere"' \
  bash -c 'printf "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r}\nspec: {hosts: [r], http: [{route: [{destination: {host: nowhere}}]}]}\n" >"$MIZZEN_HOME/r.yaml" && istioctl analyze "$MIZZEN_HOME/r.yaml"'
check "with istioctl's exit code" bash -c 'istioctl analyze "$MIZZEN_HOME/r.yaml" >/dev/null 2>&1; [ $? = 79 ]'
check "and without a cluster" fails_with 'IST0101' istioctl analyze --use-kube=false "$MIZZEN_HOME/r.yaml"

ingress() { # by the node port, as documents have it
  curl -s -m 5 "http://$(minikube ip):$(kubectl -n istio-system get svc istio-ingressgateway -o jsonpath='{.spec.ports[?(@.name=="http2")].nodePort}')/productpage"
}
check "the page answers at minikube's address and the node port" within 30 has 'Simple Bookstore App' ingress
by_the_tunnel() { # by the load balancer's address and the service's port, as documents have it
  curl -s -m 5 "http://$(kubectl -n istio-system get svc istio-ingressgateway -o jsonpath='{.status.loadBalancer.ingress[0].ip}'):$(kubectl -n istio-system get svc istio-ingressgateway -o jsonpath='{.spec.ports[?(@.name=="http2")].port}')/productpage"
}
if [ "$(id -u)" -eq 0 ]; then
  minikube tunnel >/dev/null 2>&1 &
  check "with minikube tunnel, at the load balancer's address and port 80" within 10 has 'Simple Bookstore App' by_the_tunnel
  kill $!
else
  skip "minikube tunnel" "ports 80 and 443 take root"
fi
check "minikube service prints addresses" has '^http://127.0.0.1:[0-9]+$' minikube service istio-ingressgateway -n istio-system --url
check "a service without a node port is named" fails_with 'SVC_NOT_FOUND' minikube service nothing
check "addons are listed" has '^istio +disabled' minikube addons list
check "an unknown one is refused" fails_with 'not a valid minikube addon' minikube addons enable nothing

check "a namespace that was set stays" bash -c \
  'kubectl config set-context minikube --namespace=tutorial >/dev/null && eval "$(mizzenctl env --names)" && [ "$(kubectl config view -o "jsonpath={.contexts..namespace}")" = tutorial ]'
check "a second cluster has a name of its own" has 'configured to use "second"' minikube start -p second
check "and is the one that kubectl talks to" has '^second$' kubectl config current-context
check "it is deleted" has 'Removed all traces' minikube delete -p second
check "minikube stops" has '1 node stopped' minikube stop
check "and says so" fails_with 'apiserver: Stopped' minikube status
check "and is deleted" has 'Removed all traces' minikube delete
finish
