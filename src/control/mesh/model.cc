#include "control/mesh/model.h"

#include "api/names.h"

namespace mizzen::control {
namespace {

const std::string* find(const Labels& labels, std::string_view key) {
  const auto found = labels.find(key);
  return found == labels.end() || found->second.empty() ? nullptr : &found->second;
}

}  // namespace

bool labels_match(const Labels& wanted, const Labels& have) {
  for (const auto& [key, value] : wanted) {
    const auto found = have.find(key);
    if (found == have.end() || found->second != value) return false;
  }
  return true;
}

std::string Workload::canonical_name() const {
  for (const std::string_view key :
       {"service.istio.io/canonical-name", "app.kubernetes.io/name", "app"}) {
    if (const std::string* value = find(labels, key)) return *value;
  }
  return owner_name;
}

std::string Workload::canonical_revision() const {
  for (const std::string_view key :
       {"service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"}) {
    if (const std::string* value = find(labels, key)) return *value;
  }
  return "latest";
}

std::string Workload::spiffe_id(std::string_view trust_domain) const {
  return api::spiffe_id(trust_domain, name_space,
                        service_account.empty() ? std::string_view("default") : service_account);
}

const ServicePort* Service::port(std::uint16_t number) const {
  for (const ServicePort& port : ports) {
    if (port.number == number) return &port;
  }
  return nullptr;
}

bool Service::visible_to(std::string_view other_namespace) const {
  if (export_to.empty()) return true;
  for (const std::string& to : export_to) {
    if (to == "*" || to == other_namespace) return true;
    if (to == "." && other_namespace == name_space) return true;
  }
  return false;
}

}  // namespace mizzen::control
