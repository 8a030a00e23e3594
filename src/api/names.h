// The words of the mesh, said once: ports, resource names, cluster names, type URLs, ALPNs, labels,
// node metadata keys, files and environment variables. They are Istio's and Envoy's public words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mizzen::api {

// --- Ports -----------------------------------------------------------------------------------
inline constexpr std::uint16_t kAdminPort = 15000;  // proxy, loopback only
inline constexpr std::uint16_t kOutboundCapturePort = 15001;
inline constexpr std::uint16_t kInboundCapturePort = 15006;
inline constexpr std::uint16_t kHbonePort = 15008;
inline constexpr std::uint16_t kAgentPort = 15020;  // health, merged metrics, app probes
inline constexpr std::uint16_t kReadinessPort = 15021;
inline constexpr std::uint16_t kDnsPort = 15053;
inline constexpr std::uint16_t kProxyMetricsPort = 15090;
inline constexpr std::uint16_t kEastWestPort = 15443;
inline constexpr std::uint16_t kDiscoveryPlainPort = 15010;
inline constexpr std::uint16_t kDiscoveryTlsPort = 15012;
inline constexpr std::uint16_t kControlMetricsPort = 15014;
inline constexpr std::uint16_t kWebhookPort = 15017;  // Service port 443
inline constexpr std::uint16_t kControlDebugPort = 8080;

// --- Identities of the installation --------------------------------------------------------------
inline constexpr std::string_view kSystemNamespace = "istio-system";
inline constexpr std::string_view kControlPlane = "istiod";  // Deployment, Service, label app
inline constexpr std::string_view kControlPlaneAccount = "istiod";
inline constexpr std::string_view kIngressGateway = "istio-ingressgateway";
inline constexpr std::string_view kEgressGateway = "istio-egressgateway";
inline constexpr std::string_view kMeshConfigMap = "istio";  // keys: mesh, meshNetworks
inline constexpr std::string_view kInjectorConfigMap = "istio-sidecar-injector";
inline constexpr std::string_view kRootConfigMap = "istio-ca-root-cert";  // in every namespace
inline constexpr std::string_view kRootConfigMapKey = "root-cert.pem";
inline constexpr std::string_view kCaSecret = "istio-ca-secret";  // ca-cert.pem, ca-key.pem
inline constexpr std::string_view kCaSecretCert = "ca-cert.pem";
inline constexpr std::string_view kCaSecretKey = "ca-key.pem";
inline constexpr std::string_view kDefaultTrustDomain = "cluster.local";
inline constexpr std::string_view kDefaultDomainSuffix = "cluster.local";
inline constexpr std::string_view kDefaultClusterId = "Kubernetes";
inline constexpr std::string_view kDefaultRevision = "default";
inline constexpr std::string_view kTokenAudience = "istio-ca";
inline constexpr std::string_view kProxyImage = "mizzen/proxyv2";
inline constexpr std::string_view kControlImage = "mizzen/pilot";
inline constexpr std::uint32_t kProxyUid = 1337;

// --- Files in an injected pod ---
inline constexpr std::string_view kTokenFile = "/var/run/secrets/tokens/istio-token";
inline constexpr std::string_view kRootCertFile = "/var/run/secrets/istio/root-cert.pem";
inline constexpr std::string_view kPodLabelsFile = "/etc/istio/pod/labels";
inline constexpr std::string_view kPodAnnotationsFile = "/etc/istio/pod/annotations";
inline constexpr std::string_view kWorkloadSdsSocket =
    "/var/run/secrets/workload-spiffe-uds/socket";

// --- Labels and annotations ---
inline constexpr std::string_view kTlsModeLabel = "security.istio.io/tlsMode";
inline constexpr std::string_view kTlsModeIstio = "istio";
inline constexpr std::string_view kCanonicalNameLabel = "service.istio.io/canonical-name";
inline constexpr std::string_view kCanonicalRevisionLabel = "service.istio.io/canonical-revision";
inline constexpr std::string_view kInjectionLabel = "istio-injection";
inline constexpr std::string_view kRevisionLabel = "istio.io/rev";
inline constexpr std::string_view kInjectAnnotation = "sidecar.istio.io/inject";
inline constexpr std::string_view kStatusAnnotation = "sidecar.istio.io/status";

// --- Clusters, routes and listeners of Istio's generated configuration ---
inline constexpr std::string_view kPassthroughCluster = "PassthroughCluster";
inline constexpr std::string_view kBlackHoleCluster = "BlackHoleCluster";
inline constexpr std::string_view kInboundPassthroughCluster = "InboundPassthroughCluster";
inline constexpr std::string_view kAgentCluster = "agent";
inline constexpr std::string_view kPrometheusCluster = "prometheus_stats";
inline constexpr std::string_view kXdsCluster = "xds-grpc";
inline constexpr std::string_view kSdsCluster = "sds-grpc";
inline constexpr std::string_view kVirtualInbound = "virtualInbound";
inline constexpr std::string_view kVirtualOutbound = "virtualOutbound";
inline constexpr std::string_view kBlackHoleRoute = "block_all";
inline constexpr std::string_view kPassthroughRoute = "allow_any";

// "outbound|9080|v1|reviews.default.svc.cluster.local" taken apart. Views into the name.
struct ClusterName {
  std::string_view direction;  // "outbound", "inbound"
  std::uint16_t port = 0;
  std::string_view subset;
  std::string_view host;  // empty for inbound
};
std::string outbound_cluster(std::uint16_t port, std::string_view subset, std::string_view host);
std::string inbound_cluster(std::uint16_t port);  // "inbound|9080||"
std::optional<ClusterName> parse_cluster_name(std::string_view name);
// The SNI of mutual TLS: "outbound_.9080_.v1_.reviews.default.svc.cluster.local".
std::string outbound_sni(std::uint16_t port, std::string_view subset, std::string_view host);
// "spiffe://<trust domain>/ns/<namespace>/sa/<service account>"
std::string spiffe_id(std::string_view trust_domain, std::string_view name_space,
                      std::string_view service_account);

// --- xDS type URLs -----------------------------------------------------------------------------
inline constexpr std::string_view kTypePrefix = "type.googleapis.com/";
inline constexpr std::string_view kListenerType =
    "type.googleapis.com/envoy.config.listener.v3.Listener";
inline constexpr std::string_view kRouteType =
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
inline constexpr std::string_view kClusterType =
    "type.googleapis.com/envoy.config.cluster.v3.Cluster";
inline constexpr std::string_view kEndpointType =
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
inline constexpr std::string_view kSecretType =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
// Istio's names for the agent's DNS (NDS); its message is in protos/istio/nds.proto.
inline constexpr std::string_view kNameTableType =
    "type.googleapis.com/istio.networking.nds.v1.NameTable";
// Ours: what a proxy of on-demand scope calls, by name ("reviews:9080", "10.96.0.12:9080",
// "[fd00::1]:80",
// "*:9080" for the port as such). A message without fields: that it is there says that the mesh
// knows the name, and that all of it was sent before; delta ADS alone.
inline constexpr std::string_view kDestinationType =
    "type.googleapis.com/mizzen.xds.v1.Destination";
inline constexpr std::string_view kDeltaAdsMethod =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
inline constexpr std::string_view kSotwAdsMethod =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
inline constexpr std::string_view kDeltaSdsMethod =
    "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets";
inline constexpr std::string_view kSotwSdsMethod =
    "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";
inline constexpr std::string_view kCreateCertificateMethod =
    "/istio.v1.auth.IstioCertificateService/CreateCertificate";

// --- Extension names ---------------------------------------------------------------------------
inline constexpr std::string_view kHttpConnectionManager =
    "envoy.filters.network.http_connection_manager";
inline constexpr std::string_view kTcpProxyFilter = "envoy.filters.network.tcp_proxy";
inline constexpr std::string_view kNetworkRbacFilter = "envoy.filters.network.rbac";
inline constexpr std::string_view kSniClusterFilter = "envoy.filters.network.sni_cluster";
inline constexpr std::string_view kRouterFilter = "envoy.filters.http.router";
inline constexpr std::string_view kFaultFilter = "envoy.filters.http.fault";
inline constexpr std::string_view kCorsFilter = "envoy.filters.http.cors";
inline constexpr std::string_view kRbacFilter = "envoy.filters.http.rbac";
inline constexpr std::string_view kJwtFilter = "envoy.filters.http.jwt_authn";
inline constexpr std::string_view kGrpcStatsFilter = "envoy.filters.http.grpc_stats";
inline constexpr std::string_view kLocalRateLimitFilter = "envoy.filters.http.local_ratelimit";
inline constexpr std::string_view kOriginalDstFilter = "envoy.filters.listener.original_dst";
inline constexpr std::string_view kTlsInspector = "envoy.filters.listener.tls_inspector";
inline constexpr std::string_view kHttpInspector = "envoy.filters.listener.http_inspector";
inline constexpr std::string_view kTlsSocket = "envoy.transport_sockets.tls";
inline constexpr std::string_view kRawBufferSocket = "envoy.transport_sockets.raw_buffer";
inline constexpr std::string_view kHttpProtocolOptions =
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
inline constexpr std::string_view kFileAccessLog = "envoy.access_loggers.file";
inline constexpr std::string_view kPreviousHosts = "envoy.retry_host_predicates.previous_hosts";
inline constexpr std::string_view kPreviousPriorities =
    "envoy.retry_priorities.previous_priorities";
inline constexpr std::string_view kPreviousPrioritiesType =
    "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3."
    "PreviousPrioritiesConfig";

// Metadata namespaces: Istio's of every resource, and the one that picks an endpoint's transport
// socket ({"tlsMode": "istio"}).
inline constexpr std::string_view kIstioMetadata = "istio";
inline constexpr std::string_view kTransportSocketMatchMetadata = "envoy.transport_socket_match";
inline constexpr std::string_view kLbMetadata = "envoy.lb";
// Ours, on listeners: {"on_demand": true} where destinations that they do not know are to be asked
// for.
inline constexpr std::string_view kMizzenMetadata = "mizzen";
inline constexpr std::string_view kOnDemandField = "on_demand";

// --- ALPN ------------------------------------------------------------------------------------
inline constexpr std::string_view kAlpnMizzenH2 = "mizzen-h2";  // private, between two Mizzens
inline constexpr std::string_view kAlpnIstio = "istio";
inline constexpr std::string_view kAlpnIstioPeerExchange = "istio-peer-exchange";
inline constexpr std::string_view kAlpnIstioHttp10 = "istio-http/1.0";
inline constexpr std::string_view kAlpnIstioHttp11 = "istio-http/1.1";
inline constexpr std::string_view kAlpnIstioH2 = "istio-h2";
inline constexpr std::string_view kAlpnH2 = "h2";
inline constexpr std::string_view kAlpnHttp11 = "http/1.1";

// --- Secrets -----------------------------------------------------------------------------------
inline constexpr std::string_view kWorkloadSecret = "default";
inline constexpr std::string_view kRootSecret = "ROOTCA";
inline constexpr std::string_view kKubernetesSecretPrefix = "kubernetes://";
inline constexpr std::string_view kCacertSuffix = "-cacert";

// --- Node metadata keys (core.v3.Node.metadata) ---
namespace node {
inline constexpr std::string_view kLabels = "LABELS";
inline constexpr std::string_view kAnnotations = "ANNOTATIONS";
inline constexpr std::string_view kName = "NAME";
inline constexpr std::string_view kNamespace = "NAMESPACE";
inline constexpr std::string_view kWorkloadName = "WORKLOAD_NAME";
inline constexpr std::string_view kOwner = "OWNER";
inline constexpr std::string_view kServiceAccount = "SERVICE_ACCOUNT";
inline constexpr std::string_view kClusterId = "CLUSTER_ID";
inline constexpr std::string_view kMeshId = "MESH_ID";
inline constexpr std::string_view kIstioVersion = "ISTIO_VERSION";
inline constexpr std::string_view kInstanceIps = "INSTANCE_IPS";
inline constexpr std::string_view kPodPorts = "POD_PORTS";
inline constexpr std::string_view kAppContainers = "APP_CONTAINERS";
inline constexpr std::string_view kInterceptionMode = "INTERCEPTION_MODE";
inline constexpr std::string_view kNodeName = "NODE_NAME";
inline constexpr std::string_view kTrustDomain = "TRUST_DOMAIN";
inline constexpr std::string_view kProxyConfig = "PROXY_CONFIG";
inline constexpr std::string_view kRequestedNetworkView = "REQUESTED_NETWORK_VIEW";
inline constexpr std::string_view kDnsCapture = "DNS_CAPTURE";
inline constexpr std::string_view kDnsAutoAllocate = "DNS_AUTO_ALLOCATE";
// Ours: "true" when the proxy is a Mizzen.
inline constexpr std::string_view kMizzen = "MIZZEN";
// Ours: "true" when the proxy asks for what it calls (kDestinationType), and wants no more.
inline constexpr std::string_view kOnDemandScope = "ON_DEMAND_SCOPE";
}  // namespace node

// Node ids are "sidecar~10.1.0.4~productpage-v1-x.default~default.svc.cluster.local".
struct NodeId {
  std::string type;  // "sidecar" or "router"
  std::string address;
  std::string pod;
  std::string name_space;
  std::string domain;
};
std::string to_string(const NodeId& node);
std::optional<NodeId> parse_node_id(std::string_view id);

}  // namespace mizzen::api
