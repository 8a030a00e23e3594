#include "table.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "api/names.h"
#include "base/strings.h"
#include "config/kinds.h"
#include "object/yaml.h"

namespace mizzen::sim {
namespace {

namespace fs = std::filesystem;

Json metadata(std::string_view name, std::string_view name_space, const Json& labels = nullptr) {
  Json out = {{"name", name}, {"namespace", name_space}};
  if (labels.is_object()) out["labels"] = labels;
  return out;
}

// Makes the Kubernetes objects of a world's services and workloads, and gives out addresses.
class World {
 public:
  explicit World(std::vector<Json>* out) : out_(*out) {}

  void add_service(const Json& spec);
  void add_workload(const Json& spec);

 private:
  std::string add_pod(const std::string& name, const std::string& name_space, Json labels);

  std::vector<Json>& out_;
  int services_ = 0;
  int pods_ = 0;
};

std::string World::add_pod(const std::string& name, const std::string& name_space, Json labels) {
  const std::string address = fmt::format("10.1.{}.{}", pods_ / 250, pods_ % 250 + 1);
  ++pods_;
  out_.push_back({{"apiVersion", "v1"},
                  {"kind", "Pod"},
                  {"metadata", metadata(name, name_space, labels)},
                  {"spec", {{"serviceAccountName", "default"}}},
                  {"status", {{"phase", "Running"}, {"podIP", address}}}});
  return address;
}

// {name, namespace, labels}: a workload that only calls.
void World::add_workload(const Json& spec) {
  const std::string name = object::string_at(spec, {"name"});
  const Json labels = spec.contains("labels") ? spec["labels"] : Json{{"app", name}};
  add_pod(name, object::string_at(spec, {"namespace"}, "default"), labels);
}

// {name, namespace, ports: {name: number}, versions: [v1, {name: v2, labels}], labels, address}: a
// service with a pod for each version.
void World::add_service(const Json& spec) {
  const std::string name = object::string_at(spec, {"name"});
  const std::string name_space = object::string_at(spec, {"namespace"}, "default");
  Json labels = spec.contains("labels") ? spec["labels"] : Json::object();
  if (!labels.contains("app")) labels["app"] = name;
  Json service_ports = Json::array();
  Json slice_ports = Json::array();
  for (const auto& [port_name, number] : spec.at("ports").items()) {
    service_ports.push_back({{"name", port_name}, {"port", number}, {"targetPort", number}});
    slice_ports.push_back({{"name", port_name}, {"port", number}});
  }
  ++services_;
  const std::string address =
      object::string_at(spec, {"address"}, fmt::format("10.96.0.{}", services_));
  out_.push_back({{"apiVersion", "v1"},
                  {"kind", "Service"},
                  {"metadata", metadata(name, name_space)},
                  {"spec",
                   {{"clusterIP", address},
                    {"selector", {{"app", labels["app"]}}},
                    {"ports", service_ports}}}});
  Json endpoints = Json::array();
  for (const Json& version : spec.contains("versions") ? spec["versions"] : Json{"v1"}) {
    const std::string version_name =
        version.is_string() ? version.get<std::string>() : object::string_at(version, {"name"});
    const std::string pod = fmt::format("{}-{}", name, version_name);
    Json pod_labels = labels;
    pod_labels["version"] = version_name;
    if (version.is_object() && version.contains("labels")) pod_labels.update(version["labels"]);
    endpoints.push_back({{"addresses", {add_pod(pod, name_space, pod_labels)}},
                         {"targetRef", {{"kind", "Pod"}, {"name", pod}}},
                         {"conditions", {{"ready", true}}}});
  }
  Json slice = {
      {"apiVersion", "discovery.k8s.io/v1"},
      {"kind", "EndpointSlice"},
      {"metadata", metadata(name + "-1", name_space, Json{{"kubernetes.io/service-name", name}})},
      {"ports", slice_ports},
      {"endpoints", endpoints}};
  out_.push_back(std::move(slice));
}

const config::Kind* kind_named(std::string_view name) {
  for (const config::Kind& kind : config::kinds()) {
    if (kind.kind == name) return &kind;
  }
  return nullptr;
}

// "VirtualService reviews.other": {...spec...}; each later one is a second younger.
Result<Json> read_object(const std::string& title, const Json& spec, std::size_t age) {
  const auto space = title.find(' ');
  const config::Kind* kind = kind_named(title.substr(0, space));
  if (kind == nullptr || space == std::string::npos) {
    return fail(Code::kInvalid, fmt::format("\"{}\" is not `Kind name` or `Kind name.namespace`: "
                                            "write such as \"VirtualService reviews\"",
                                            title));
  }
  const std::string full = title.substr(space + 1);
  const auto dot = full.find('.');
  Json whole = {
      {"apiVersion",
       fmt::format("{}{}{}", kind->group, kind->group.empty() ? "" : "/", kind->storage_version())},
      {"kind", kind->kind},
      {"metadata",
       metadata(full.substr(0, dot), dot == std::string::npos ? "default" : full.substr(dot + 1))}};
  whole["metadata"]["creationTimestamp"] = fmt::format("2026-01-01T00:{:02}:00Z", age % 60);
  // A kind without a spec has its fields at the top.
  if (kind->descriptor->FindFieldByName("spec") != nullptr) {
    whole["spec"] = spec;
  } else {
    whole.update(spec);
  }
  return whole;
}

Result<Case> read_case(const std::string& file, const Json& json) {
  Case out;
  out.name = fmt::format("{}: {}", file, object::string_at(json, {"name"}, "(no name)"));
  out.from = object::string_at(json, {"from"}, "client.default");
  out.refused = object::string_at(json, {"refused"});
  out.warned = object::string_at(json, {"warned"});
  if (json.contains("objects")) {
    for (const Json& entry : json["objects"]) {
      for (const auto& [title, spec] : entry.items()) {
        auto made = read_object(title, spec, out.objects.size());
        if (!made) return std::unexpected(made.error().in(out.name));
        out.objects.push_back(std::move(*made));
      }
    }
  }
  if (json.contains("secrets")) {
    for (const auto& [name, host] : json["secrets"].items()) {
      out.secrets[name] = host.get<std::string>();
    }
  }
  if (!json.contains("rows")) return out;
  for (const Json& row : json["rows"]) {
    std::string title;
    for (const char* key : {"ask", "connect", "cluster", "endpoints", "listener"}) {
      if (row.contains(key)) title = fmt::format("{} {}", key, row[key].get<std::string>());
    }
    if (title.empty()) {
      return fail(Code::kInvalid,
                  out.name + ": a row needs ask, connect, cluster, endpoints or listener");
    }
    if (row.contains("headers")) title += " " + row["headers"].dump();
    out.rows.push_back({out.name + ": " + title, row});
  }
  return out;
}

}  // namespace

std::string Row::text(std::string_view key, std::string_view fallback) const {
  return object::string_at(json, {key}, fallback);
}

Result<Table> read_table(const std::string& path) {
  const std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  std::string yaml = text.str();
  for (auto at = yaml.find("FILES/"); at != std::string::npos; at = yaml.find("FILES/")) {
    yaml.replace(at, 6, files_folder() + "/");
  }
  MIZZEN_TRY(const auto documents, object::parse_yaml(yaml));
  const std::string name = fs::path(path).stem();
  if (documents.size() != 1) return fail(Code::kInvalid, name + ": one YAML document is expected");
  const Json& json = documents.front().value;
  Table out;
  World world(&out.world);
  for (const Json& service : json.at("services")) world.add_service(service);
  if (json.contains("workloads")) {
    for (const Json& workload : json["workloads"]) world.add_workload(workload);
  }
  for (const Json& one : json.at("cases")) {
    MIZZEN_TRY(Case made, read_case(name, one));
    out.cases.push_back(std::move(made));
  }
  return out;
}

std::size_t count_rows(const Table& table) {
  std::size_t rows = 0;
  for (const Case& one : table.cases) {
    rows += one.rows.size() + (one.refused.empty() ? 0 : 1) + (one.warned.empty() ? 0 : 1);
  }
  return rows;
}

Ask parse_ask(std::string_view text) {
  Ask ask;
  if (const auto space = text.find(' '); space != std::string_view::npos) {
    ask.method = text.substr(0, space);
    text.remove_prefix(space + 1);
  }
  if (text.starts_with("https://")) {
    ask.tls = true;
    ask.port = 443;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  }
  const auto slash = text.find_first_of("/?");
  ask.authority = text.substr(0, slash);
  if (slash != std::string_view::npos) ask.path = text.substr(slash);
  const auto colon = ask.authority.rfind(':');
  ask.host = ask.authority.substr(0, colon);
  if (colon != std::string::npos) {
    ask.port = parse_int<std::uint16_t>(ask.authority.substr(colon + 1)).value_or(0);
  }
  return ask;
}

std::string cluster_of(std::string_view text, std::uint16_t port) {
  if (text == "nowhere") return {};
  if (text.starts_with("outbound") || text.ends_with("Cluster")) return std::string(text);
  std::string_view subset;
  if (const auto slash = text.find('/'); slash != std::string_view::npos) {
    subset = text.substr(slash + 1);
    text = text.substr(0, slash);
  }
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    port = parse_int<std::uint16_t>(text.substr(colon + 1)).value_or(0);
    text = text.substr(0, colon);
  }
  std::string host(text);
  if (host.find('.') == std::string::npos) host += ".default";
  if (host.find(".svc.") == std::string::npos && host.find(".com") == std::string::npos) {
    host += ".svc.cluster.local";
  }
  return api::outbound_cluster(port, subset, host);
}

}  // namespace mizzen::sim
