# Servers of the machine, outside the mesh, and the rules that lead to them. Sourced after lib.sh; needs a
# cluster. `outside` is a folder for their files; they end with the script.
outside=$(mktemp -d)
servers=()
end_servers() { [ ${#servers[@]} -eq 0 ] || kill "${servers[@]}" 2>/dev/null || true; rm -rf "$outside"; }
trap 'status=$?; end_servers; end_cluster; exit $status' EXIT INT TERM

free_port() { # a port of the machine that nobody listens on
  local port
  while port=$((RANDOM % 10000 + 21000)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}
serve() { # serve COMMAND...: until the script ends
  "$@" >"$outside/log.$RANDOM" 2>&1 &
  servers+=($!)
}

# service_entry NAME HOST PROTOCOL PORT TARGET [MORE...]: a host outside the mesh, behind a port of this machine. MORE are
# lines of its spec (`addresses: [...]`, another `resolution`).
service_entry() {
  local name=$1 host=$2 protocol=$3 port=$4 target=$5
  shift 5
  kubectl apply -f - >/dev/null <<YAML
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: $name}
spec:
  hosts: [$host]
  location: MESH_EXTERNAL
$(printf '  %s\n' "${@:-resolution: DNS}")
  ports: [{number: $port, name: ${protocol,,}, protocol: $protocol}]
  endpoints: [{address: host.mizzen.internal, ports: {${protocol,,}: $target}}]
YAML
}

# through_egress http|tcp NAME HOST PORT GATEWAY_PORT: traffic for the host goes by the egress gateway's port. TCP has
# nothing but its port to tell by there; HTTP has its host.
through_egress() {
  local kind=$1 name=$2 host=$3 port=$4 gateway_port=$5 names='"*"'
  [ "$kind" = tcp ] || names=$host
  kubectl apply -f - >/dev/null <<YAML
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: egress-$name}
spec:
  selector: {istio: egressgateway}
  servers: [{port: {number: $gateway_port, name: $kind, protocol: ${kind^^}}, hosts: [$names]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: $name}
spec:
  hosts: [$host]
  gateways: [mesh, egress-$name]
  $kind:
  - match: [{gateways: [mesh], port: $port}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: $gateway_port}}}]
  - match: [{gateways: [egress-$name], port: $gateway_port}]
    route: [{destination: {host: $host, port: {number: $port}}}]
YAML
}
egress_log() { kubectl logs -n istio-system deploy/istio-egressgateway --tail=8 | grep -E "$1"; }

mesh_config() { # mesh_config TEXT: lines more for the mesh, in place of those of last time
  local mesh
  mesh=$(kubectl get configmap istio -n istio-system -o jsonpath='{.data.mesh}' | sed '/^# more/,$d')
  kubectl create configmap istio -n istio-system --from-literal=mesh="$(printf '%s\n# more\n%s\n' "$mesh" "$1")" \
    --dry-run=client -o yaml | kubectl apply -f - >/dev/null
}
