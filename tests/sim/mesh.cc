#include "mesh.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "api/names.h"
#include "base/clock.h"
#include "base/strings.h"
#include "config/validate.h"
#include "control/mesh/hosts.h"
#include "control/serve/learned_scope.h"
#include "control/serve/scope.h"
#include "pki/certificate.h"
#include "pki/key.h"

namespace mizzen::sim {

namespace fs = std::filesystem;

namespace {

const pki::Authority& root() {
  static const pki::Authority authority =
      *pki::make_root("cluster.local", system_clock().wall(), std::chrono::hours(24));
  return authority;
}

std::string revocation_list() {
  const auto leaf = *pki::Certificate::from_pem(revoked().chain_pem);
  return *pki::make_revocation_list(root(), std::span(&leaf, 1),
                                    system_clock().wall() - std::chrono::minutes(1),
                                    std::chrono::hours(1));
}

Json secret_object(const std::string& key, const std::string& host) {
  const Certified made = certify(host);
  const auto slash = key.find('/');
  return {{"apiVersion", "v1"},
          {"kind", "Secret"},
          {"metadata", {{"namespace", key.substr(0, slash)}, {"name", key.substr(slash + 1)}}},
          {"data",
           {{"tls.crt", base64_encode(made.chain_pem)},
            {"tls.key", base64_encode(made.key_pem)},
            {"ca.crt", base64_encode(root_pem())},
            {"ca.crl", base64_encode(revocation_list())}}}};
}

std::shared_ptr<const proxy::Secret> own_secret(std::string_view name) {
  auto secret = std::make_shared<proxy::Secret>();
  const Certified made = certify("spiffe://cluster.local/ns/default/sa/default");
  secret->name = name;
  secret->certificate_chain = made.chain_pem;
  secret->private_key = made.key_pem;
  secret->trusted_ca = root_pem();
  secret->version_hash = fnv1a(made.chain_pem);
  return secret;
}

}  // namespace

const std::string& root_pem() {
  static const std::string pem = root().certificate.to_pem();
  return pem;
}

Certified certify(const std::string& host) {
  const auto key = *pki::PrivateKey::generate_p256();
  pki::IssueOptions options;
  if (host.find("://") != std::string::npos) {
    options.names.uris = {host};
  } else {
    options.names.dns = {host};
  }
  options.not_before = system_clock().wall() - std::chrono::hours(1);
  options.not_after = system_clock().wall() + std::chrono::hours(1);
  const auto leaf = *pki::issue(key.public_key(), options, root().key, &root().certificate);
  return {leaf.to_pem(), key.to_pem()};
}

const Certified& revoked() {
  static const Certified made = certify("revoked.client");
  return made;
}

const std::string& files_folder() {
  struct Folder {
    Folder() : path(fs::temp_directory_path() / fmt::format("mizzen-tables-{}", getpid())) {
      fs::create_directories(path);
      const Certified made = certify("client.example");
      std::ofstream(path / "cert.pem") << made.chain_pem;
      std::ofstream(path / "key.pem") << made.key_pem;
      std::ofstream(path / "ca.pem") << root_pem();
      std::ofstream(path / "crl.pem") << revocation_list();
    }
    ~Folder() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
    fs::path path;
  };
  static const Folder folder;
  static const std::string text = folder.path.string();
  return text;
}

Result<std::unique_ptr<Mesh>> Mesh::make(const Table& table, const Case& one) {
  auto mesh = std::make_unique<Mesh>();
  mesh->case_ = one;
  for (const Json& object : table.world) mesh->store_.apply(object);
  for (const Json& object : one.objects) mesh->store_.apply(object);
  for (const auto& [key, host] : one.secrets) mesh->store_.apply(secret_object(key, host));
  const std::vector<std::string> errors = mesh->store_.take_errors();
  if (!errors.empty()) return fail(Code::kInvalid, one.name + ": " + join(errors, "; "));
  MIZZEN_CHECKED(mesh->translate());
  MIZZEN_CHECKED(mesh->compile());
  return mesh;
}

Status Mesh::translate() {
  const auto dot = case_.from.rfind('.');
  const auto workload = store_.workload(case_.from.substr(dot + 1), case_.from.substr(0, dot));
  if (!workload) return fail(Code::kInvalid, case_.name + ": there is no pod " + case_.from);
  proxy_.name = case_.from;
  proxy_.name_space = workload->name_space;
  proxy_.address = workload->address;
  proxy_.labels = workload->labels;
  proxy_.locality = workload->locality;
  if (proxy_.labels.contains("istio")) proxy_.kind = control::ProxyKind::kGateway;
  snapshot_ = control::scope_for(store_.snapshot(), proxy_);
  translate(*snapshot_);
  return {};
}

Result<std::unique_ptr<Mesh>> Mesh::asking_for(const std::vector<std::string>& names) const {
  auto mesh = std::make_unique<Mesh>();
  mesh->case_ = case_;
  mesh->snapshot_ = snapshot_;
  mesh->proxy_ = proxy_;
  mesh->proxy_.on_demand = true;
  if (!control::learns_scope(*snapshot_, mesh->proxy_)) return nullptr;
  const control::Directory directory(*snapshot_, mesh->proxy_);
  control::Wanted wanted;
  xds::Update update;
  update.type_url = api::kDestinationType;
  for (const std::string& name : names) {
    const auto need = control::parse_need(name);
    if (need && directory.find(*need, *snapshot_, &wanted)) {
      update.resources.push_back({name, "1", {}, {}});
    } else {
      update.removed.push_back(name);
    }
  }
  mesh->translate(*directory.narrow(snapshot_, wanted));
  mesh->config_ = std::make_unique<proxy::ConfigStore>(system_clock());
  for (const std::string& name : names) mesh->config_->want(name);
  MIZZEN_CHECKED(mesh->compile());
  mesh->config_->apply(update);
  mesh->live_ = proxy::make_live_config(mesh->config_->publish());
  return mesh;
}

void Mesh::translate(const control::Snapshot& snapshot) {
  const auto set = [&](std::string_view url, control::Resources resources) {
    world_.types[std::string(url)] = std::move(resources);
  };
  set(api::kClusterType, control::translate_clusters(snapshot, proxy_));
  set(api::kEndpointType, control::translate_endpoints(snapshot, proxy_));
  set(api::kListenerType, control::translate_listeners(snapshot, proxy_));
  set(api::kRouteType, control::translate_routes(snapshot, proxy_));
  set(api::kSecretType, control::translate_secrets(snapshot, proxy_));
}

Status Mesh::compile() {
  if (!config_) config_ = std::make_unique<proxy::ConfigStore>(system_clock());
  config_->set_secret(own_secret(api::kWorkloadSecret));
  config_->set_secret(own_secret(api::kRootSecret));
  for (const std::string_view url : {api::kClusterType, api::kEndpointType, api::kListenerType,
                                     api::kRouteType, api::kSecretType}) {
    xds::Update update;
    update.type_url = url;
    for (const auto& [name, resource] : *world_.types.at(std::string(url))) {
      update.resources.push_back(*resource);
    }
    for (const xds::Rejection& rejection : config_->apply(update)) {
      return fail(Code::kInvalid,
                  fmt::format("{}: {}: {}", case_.name, rejection.name, rejection.reason));
    }
  }
  live_ = proxy::make_live_config(config_->publish());
  return {};
}

io::Address Mesh::destination(const Ask& ask) const {
  if (is_gateway()) return *io::Address::parse_ip(proxy_.address, ask.port);
  if (control::is_address(ask.host)) return *io::Address::parse_ip(ask.host, ask.port);
  std::string host = ask.host;
  if (host.find('.') == std::string::npos) host += "." + proxy_.name_space;
  for (const std::string& name :
       {ask.host, host, host + ".svc.cluster.local", host + ".cluster.local"}) {
    const control::Service* service = snapshot_->service(name);
    if (service == nullptr || service->addresses.empty()) continue;
    return *io::Address::parse_ip(service->addresses.front(), ask.port);
  }
  return *io::Address::parse_ip("203.0.113.9", ask.port);
}

std::shared_ptr<const proxy::Listener> Mesh::listener(const io::Address& destination) const {
  if (auto found = live_->hand_off(destination)) return found;
  return live_->listener(api::kVirtualOutbound);
}

Admission admit(const Case& one) {
  Admission out;
  for (const Json& object : one.objects) {
    const config::Validation said = config::validate(object);
    for (const auto& error : said.errors) out.errors += object::to_string(error) + "\n";
    for (const auto& warning : said.warnings) out.warnings += object::to_string(warning) + "\n";
    if (const auto kind = config::kind_for(object)) {
      for (const std::string& path : config::unacted_fields(**kind, object)) {
        out.warnings += path + ": not acted on yet\n";
      }
    }
  }
  return out;
}

}  // namespace mizzen::sim
