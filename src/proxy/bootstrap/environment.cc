#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "api/names.h"
#include "api/version.h"
#include "base/strings.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "proxy/bootstrap/bootstrap.h"

namespace mizzen::proxy {
namespace {

using nlohmann::json;

constexpr std::string_view kMetaPrefix = "ISTIO_META_";
constexpr std::string_view kMetaJsonPrefix = "ISTIO_METAJSON_";

std::string value_of(const Environment& environment, std::string_view name,
                     std::string_view otherwise = {}) {
  auto found = environment.find(name);
  if (found == environment.end() || found->second.empty()) return std::string(otherwise);
  return found->second;
}

std::string read_if_there(std::string_view path) {
  std::ifstream file{std::string(path), std::ios::binary};
  std::stringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

json parse_json(const std::string& text) {
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// PROXY_CONFIG: a ProxyConfig in YAML or JSON.
Result<json> proxy_config(const Environment& environment) {
  std::string text = value_of(environment, "PROXY_CONFIG", "{}");
  auto config = read_yaml(text);
  if (!config) return std::unexpected(config.error().in("PROXY_CONFIG"));
  return config->is_object() ? std::move(*config) : json::object();
}

std::string text_in(const json& object, const char* key, std::string_view otherwise) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() &&
                 !found->get_ref<const std::string&>().empty()
             ? found->get<std::string>()
             : std::string(otherwise);
}

Status host_and_port(std::string_view text, std::string& host, std::uint16_t& port,
                     std::string_view what) {
  auto colon = text.rfind(':');
  auto number = colon == std::string_view::npos ? std::nullopt
                                                : parse_int<std::uint16_t>(text.substr(colon + 1));
  if (!number) {
    return fail(Code::kInvalid, fmt::format("{}: '{}' is not host:port", what, text));
  }
  host = text.substr(0, colon);
  port = *number;
  return {};
}

// Names and values as Istio's agent has them: everything of ISTIO_META_, and what it adds itself.
json node_metadata(const Environment& environment, const json& config) {
  json metadata = json::object();
  for (const auto& [name, value] : environment) {
    if (name.starts_with(kMetaPrefix)) {
      metadata[name.substr(kMetaPrefix.size())] = value;
    } else if (name.starts_with(kMetaJsonPrefix)) {
      json inner = parse_json(value);
      if (inner.is_object()) metadata[name.substr(kMetaJsonPrefix.size())] = std::move(inner);
    }
  }
  auto set = [&](std::string_view key, std::string value) {
    if (!value.empty()) metadata[std::string(key)] = std::move(value);
  };
  set(api::node::kName, value_of(environment, "POD_NAME"));
  set(api::node::kNamespace, value_of(environment, "POD_NAMESPACE"));
  set(api::node::kServiceAccount, value_of(environment, "SERVICE_ACCOUNT"));
  set(api::node::kInstanceIps, value_of(environment, "INSTANCE_IP"));
  set(api::node::kTrustDomain, value_of(environment, "TRUST_DOMAIN"));
  if (!metadata.contains(api::node::kClusterId)) {
    metadata[std::string(api::node::kClusterId)] = api::kDefaultClusterId;
  }
  metadata[std::string(api::node::kIstioVersion)] = api::kVersion;
  metadata[std::string(api::node::kMizzen)] = "true";
  metadata[std::string(api::node::kProxyConfig)] = config;
  auto files = {std::pair{api::node::kLabels, api::kPodLabelsFile},
                std::pair{api::node::kAnnotations, api::kPodAnnotationsFile}};
  for (const auto& [key, path] : files) {
    json entries = json::object();
    for (auto& [name, value] : parse_downward(read_if_there(path))) entries[name] = value;
    if (!entries.empty()) metadata[std::string(key)] = std::move(entries);
  }
  return metadata;
}

// The service cluster: `<canonical service>.<namespace>`, as Istio names it.
std::string service_cluster(const json& metadata, const std::string& name_space) {
  std::string name;
  if (auto labels = metadata.find(api::node::kLabels); labels != metadata.end()) {
    name = text_in(*labels, "service.istio.io/canonical-name", text_in(*labels, "app", ""));
  }
  if (name.empty()) name = text_in(metadata, "WORKLOAD_NAME", "istio-proxy");
  return name + "." + name_space;
}

std::string wire_of(const Bootstrap& made) {
  envoy::config::bootstrap::v3::Bootstrap proto;
  proto.mutable_node()->ParseFromString(xds::node_bytes(made.node));
  auto* address = proto.mutable_admin()->mutable_address()->mutable_socket_address();
  address->set_address(made.admin->host);
  address->set_port_value(made.admin->port);
  auto* dynamic = proto.mutable_dynamic_resources();
  dynamic->mutable_lds_config()->mutable_ads();
  dynamic->mutable_cds_config()->mutable_ads();
  auto* ads = dynamic->mutable_ads_config();
  ads->set_api_type(envoy::config::core::v3::ApiConfigSource::DELTA_GRPC);
  ads->add_grpc_services()->mutable_envoy_grpc()->set_cluster_name(std::string(api::kXdsCluster));
  auto* cluster = proto.mutable_static_resources()->add_clusters();
  cluster->set_name(std::string(api::kXdsCluster));
  cluster->set_type(envoy::config::cluster::v3::Cluster::STRICT_DNS);
  auto* assignment = cluster->mutable_load_assignment();
  assignment->set_cluster_name(std::string(api::kXdsCluster));
  auto* socket = assignment->add_endpoints()
                     ->add_lb_endpoints()
                     ->mutable_endpoint()
                     ->mutable_address()
                     ->mutable_socket_address();
  socket->set_address(made.discovery->host);
  socket->set_port_value(made.discovery->port);
  return proto.SerializeAsString();
}

// "5s", "1m30s": what Go writes of a duration.
Result<std::optional<Duration>> duration_in(const json& config, const char* key) {
  const std::string text = text_in(config, key, "");
  if (text.empty()) return std::nullopt;
  Duration total{};
  std::int64_t number = -1;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] >= '0' && text[i] <= '9' && number < 1'000'000) {
      number = std::max<std::int64_t>(number, 0) * 10 + (text[i] - '0');
      continue;
    }
    const bool millis = text.compare(i, 2, "ms") == 0;
    if (number >= 0 && millis) {
      total += std::chrono::milliseconds(number);
      ++i;
    } else if (number >= 0 && text[i] == 'h') {
      total += std::chrono::hours(number);
    } else if (number >= 0 && text[i] == 'm') {
      total += std::chrono::minutes(number);
    } else if (number >= 0 && text[i] == 's') {
      total += std::chrono::seconds(number);
    } else {
      return fail(Code::kInvalid,
                  fmt::format("PROXY_CONFIG.{}: '{}' is no duration; write 5s", key, text));
    }
    number = -1;
  }
  return total;
}

}  // namespace

std::map<std::string, std::string> parse_downward(std::string_view text) {
  std::map<std::string, std::string> pairs;
  for (auto line : split(text, '\n')) {
    auto equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    // The value is quoted as Go's %q does, which JSON understands for what Kubernetes allows.
    json value = parse_json(std::string(line.substr(equals + 1)));
    pairs[std::string(trim(line.substr(0, equals)))] =
        value.is_string() ? value.get<std::string>() : std::string(line.substr(equals + 1));
  }
  return pairs;
}

Environment process_environment() {
  Environment environment;
  for (char** entry = environ; entry && *entry; ++entry) {
    std::string_view text(*entry);
    auto equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

Result<Bootstrap> bootstrap_from_environment(const Environment& environment, std::string_view role,
                                             std::string_view domain) {
  if (role != "sidecar" && role != "router") {
    return fail(Code::kInvalid, fmt::format("role '{}': write sidecar or router", role));
  }
  MIZZEN_TRY(json config, proxy_config(environment));
  std::string name_space = value_of(environment, "POD_NAMESPACE", "default");
  std::string address = value_of(environment, "INSTANCE_IP", "127.0.0.1");
  // With two families the first address names the node.
  address = address.substr(0, address.find(','));
  std::string pod = value_of(environment, "POD_NAME", "unknown");
  Bootstrap made;
  json metadata = node_metadata(environment, config);
  made.on_demand =
      role == "sidecar" && text_in(metadata, api::node::kOnDemandScope.data(), "") != "false";
  if (made.on_demand) metadata[std::string(api::node::kOnDemandScope)] = "true";
  made.node.id = api::to_string(
      api::NodeId{std::string(role), address, pod, name_space,
                  domain.empty() ? name_space + ".svc.cluster.local" : std::string(domain)});
  made.node.cluster = service_cluster(metadata, name_space);
  made.node.metadata_json = metadata.dump();
  made.node.user_agent_name = "mizzen";
  made.node.user_agent_version = api::kVersion;
  made.admin = SocketAddr{"127.0.0.1", api::kAdminPort, false};

  std::string default_address = fmt::format("{}.{}.svc:{}", api::kControlPlane,
                                            api::kSystemNamespace, api::kDiscoveryTlsPort);
  made.dynamic_clusters.emplace();  // by ADS, waited for however long it takes
  made.dynamic_listeners.emplace();
  DiscoverySettings& discovery = made.discovery.emplace();
  MIZZEN_CHECKED(host_and_port(text_in(config, "discoveryAddress", default_address), discovery.host,
                               discovery.port, "PROXY_CONFIG.discoveryAddress"));
  discovery.tls = discovery.port != api::kDiscoveryPlainPort;
  discovery.sni = discovery.host;
  discovery.root_file = value_of(environment, "XDS_ROOT_CA", api::kRootCertFile);
  discovery.token_file = value_of(environment, "MIZZEN_TOKEN_FILE", api::kTokenFile);

  WorkloadSettings& workload = made.workload.emplace();
  workload.trust_domain = value_of(environment, "TRUST_DOMAIN", api::kDefaultTrustDomain);
  workload.name_space = name_space;
  workload.service_account = value_of(environment, "SERVICE_ACCOUNT", "default");
  MIZZEN_CHECKED(host_and_port(
      value_of(environment, "CA_ADDR", text_in(config, "discoveryAddress", default_address)),
      workload.ca_host, workload.ca_port, "CA_ADDR"));
  workload.root_file = value_of(environment, "CA_ROOT_CA", api::kRootCertFile);
  workload.token_file = discovery.token_file;
  workload.app_probers_json = value_of(environment, "ISTIO_KUBE_APP_PROBERS");
  workload.prometheus_annotations_json = value_of(environment, "ISTIO_PROMETHEUS_ANNOTATIONS");
  workload.dns_capture = value_of(environment, "ISTIO_META_DNS_CAPTURE") == "true";
  if (config.contains("concurrency") && config["concurrency"].is_number_unsigned()) {
    made.concurrency = config["concurrency"].get<unsigned>();
  }
  MIZZEN_TRY(workload.termination_drain, duration_in(config, "terminationDrainDuration"));
  if (config.contains("statusPort") && config["statusPort"].is_number_unsigned()) {
    workload.status_port = config["statusPort"].get<std::uint16_t>();
  }
  made.wire = wire_of(made);
  return made;
}

}  // namespace mizzen::proxy
