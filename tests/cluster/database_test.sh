#!/usr/bin/env bash
# A database outside the mesh: a real MariaDB on this machine gives Bookinfo its stars, by the upstream manifests;
# reached through a ServiceEntry where nothing else is let out, through the egress gateway, and as a machine of a namespace.
# shellcheck source=tests/lib.sh
source "$(dirname "$0")/../lib.sh"
needs_manifests database || finish || exit 1
[ -n "${MIZZEN_MANIFESTS:-}" ] || exit 0
if ! command -v mariadbd >/dev/null || ! command -v mariadb >/dev/null; then
  skip database "MariaDB is not installed (Debian: mariadb-server-core, mariadb-client-core)"
  finish
  exit
fi
platform=$MIZZEN_MANIFESTS/bookinfo/platform/kube
networking=$MIZZEN_MANIFESTS/bookinfo/networking

start_cluster
inject_default
# shellcheck source=tests/cluster/outside.sh
source "$(dirname "$0")/outside.sh"

db=$(free_port)
as_root=() && [ "$(id -u)" -ne 0 ] || as_root=(--user=root)
# By --force it does without an address of this machine's name.
mariadb-install-db --no-defaults "${as_root[@]}" --auth-root-authentication-method=normal --skip-test-db --force \
  --datadir="$outside/data" >"$outside/installed" 2>&1 || tail -n 8 "$outside/installed"
cat >"$outside/init.sql" <<'SQL'
CREATE DATABASE test;
CREATE TABLE test.ratings (ReviewID INT NOT NULL PRIMARY KEY, Rating INT);
INSERT INTO test.ratings VALUES (1, 5), (2, 4);
ALTER USER root@'127.0.0.1' IDENTIFIED BY 'password';
SQL
serve mariadbd --no-defaults "${as_root[@]}" --datadir="$outside/data" --socket="$outside/socket" \
  --pid-file="$outside/pid" --bind-address=127.0.0.1 --port="$db" --skip-name-resolve --init-file="$outside/init.sql"
sql() { mariadb --no-defaults -uroot -ppassword -h127.0.0.1 -P"$db" -Ne "$1" test; }
check "MariaDB answers" within 20 has '^5$' sql 'SELECT Rating FROM ratings WHERE ReviewID = 1'

kubectl apply -f "$platform/bookinfo.yaml" >/dev/null
kubectl apply -f "$networking/bookinfo-gateway.yaml" >/dev/null
kubectl apply -f "$networking/destination-rule-all.yaml" >/dev/null
check "Bookinfo becomes ready" kubectl wait --for=condition=Ready pods --all --timeout=90s
mesh_config 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'

page() { curl -s -m 15 "http://$GATEWAY_URL/productpage"; }
stars() { kubectl exec deploy/productpage-v1 -c productpage -- curl -s -m 15 http://ratings:9080/ratings/0; }
# opens NAMESPACE DEPLOYMENT SERVICE: its proxy has opened connections there. The access log says so when they end, and a
# database's stay open.
opens() {
  kubectl exec -n "$1" "deploy/$2" -c istio-proxy -- curl -s localhost:15090/stats/prometheus |
    grep '^istio_tcp_connections_opened_total{.*reporter="source"' | grep "destination_service=\"$3\""
}

# --- through a ServiceEntry ---------------------------------------------------------------------------
check "version 2 of ratings applies" kubectl apply -f "$platform/bookinfo-ratings-v2-mysql.yaml"
kubectl set env deploy/ratings-v2-mysql MYSQL_DB_HOST=host.mizzen.internal MYSQL_DB_PORT="$db" >/dev/null
check "and becomes ready" kubectl rollout status deploy/ratings-v2-mysql --timeout=60s
check "the traffic goes to it" kubectl apply -f "$networking/virtual-service-ratings-mysql.yaml"
check "without a ServiceEntry nothing comes of it" within 20 has 'could not connect to ratings database' stars
check "and the page says so" within 10 has 'Ratings service is currently unavailable' page
check "the sidecar let nothing out" within 10 bash -c 'kubectl logs deploy/ratings-v2-mysql -c istio-proxy --tail=20 | grep BlackHoleCluster'
service_entry database host.mizzen.internal MYSQL "$db" "$db"
check "with one the stars come out of MariaDB" within 20 has '"Reviewer1":5,"Reviewer2":4' stars
check "by its own cluster" within 10 opens default ratings-v2-mysql host.mizzen.internal
sql 'UPDATE ratings SET Rating = 1 WHERE ReviewID = 2'
check "what changes there is seen here" within 10 has '"Reviewer1":5,"Reviewer2":1' stars
check "the page has its stars again" within 10 bash -c "! curl -s http://$GATEWAY_URL/productpage | grep -q 'currently unavailable'"

# --- through the egress gateway -----------------------------------------------------------------------
through_egress tcp database host.mizzen.internal "$db" 443
kubectl rollout restart deploy/ratings-v2-mysql >/dev/null
check "its pod is another one" kubectl rollout status deploy/ratings-v2-mysql --timeout=60s
check "the stars are still there" within 20 has '"Reviewer2":1' stars
check "by the egress gateway" within 10 opens istio-system istio-egressgateway host.mizzen.internal
check "to which the sidecar speaks" within 10 opens default ratings-v2-mysql istio-egressgateway.istio-system.svc.cluster.local
check "and to nobody else" fails_with '' opens default ratings-v2-mysql host.mizzen.internal
kubectl scale -n istio-system deploy/istio-egressgateway --replicas=0 >/dev/null
check "without the gateway they do not" within 30 has 'could not connect to ratings database' stars
kubectl scale -n istio-system deploy/istio-egressgateway --replicas=1 >/dev/null
check "and with it they do" within 30 has '"Reviewer2":1' stars
kubectl delete virtualservice,gateway database egress-database --ignore-not-found >/dev/null

# --- as a machine of the namespace `vm` ---------------------------------------------------------------
# What `istioctl register -n vm mysqldb ADDRESS 3306` made: a service without a selector, and its address.
machine=$(kubectl exec deploy/productpage-v1 -c productpage -- getent ahostsv4 host.mizzen.internal | awk 'NR == 1 {print $1}')
kubectl create namespace vm >/dev/null
kubectl apply -n vm -f - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: mysqldb}
spec: {ports: [{name: mysql, port: 3306, targetPort: $db}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: mysqldb}
subsets: [{addresses: [{ip: $machine}], ports: [{name: mysql, port: $db}]}]
YAML
check "the version for a database on a machine applies" kubectl apply -f "$platform/bookinfo-ratings-v2-mysql-vm.yaml"
check "and becomes ready" kubectl rollout status deploy/ratings-v2-mysql-vm --timeout=60s
check "the traffic goes to it" kubectl apply -f "$networking/virtual-service-ratings-mysql-vm.yaml"
check "the stars come from the machine" within 20 has '"Reviewer2":1' stars
check "by the service" within 10 opens default ratings-v2-mysql-vm mysqldb.vm.svc.cluster.local
finish
