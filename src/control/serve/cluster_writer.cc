#include "control/serve/cluster_writer.h"

#include <fmt/core.h>

#include "api/names.h"
#include "base/log.h"
#include "base/strings.h"
#include "config/kinds.h"
#include "config/validate.h"
#include "control/mesh/ingest.h"

namespace mizzen::control {

using object::Json;

namespace {

constexpr int kAttempts = 20;
constexpr std::string_view kManager = "mizzend";
constexpr std::string_view kInjector = "istio-sidecar-injector";
constexpr std::string_view kValidator = "istio-validator-istio-system";

kube::Resource config_maps() { return {"", "v1", "configmaps", true}; }

// The message of the condition that the object has; empty without one.
std::string told_before(const Json& object) {
  const Json* conditions = object::find(object, {"status", "conditions"});
  for (std::size_t i = 0; conditions && conditions->is_array() && i < conditions->size(); ++i) {
    if (object::string_at((*conditions)[i], {"type"}) == "Reconciled") {
      return object::string_at((*conditions)[i], {"message"});
    }
  }
  return {};
}

Duration pause(int attempt) {
  return std::min<Duration>(std::chrono::milliseconds(100) * (1 << std::min(attempt, 6)),
                            std::chrono::seconds(5));
}

}  // namespace

void RootPublisher::set_roots(std::string roots_pem) {
  roots_pem_ = std::move(roots_pem);
  for (const std::string& name : namespaces_) publish(name, 0);
}

void RootPublisher::add_namespace(const std::string& name) {
  if (namespaces_.insert(name).second) publish(name, 0);
}

void RootPublisher::publish(const std::string& name, int attempt) {
  const std::string map_name(api::kRootConfigMap);
  const Json map = {
      {"apiVersion", "v1"},
      {"kind", "ConfigMap"},
      {"metadata",
       {{"name", map_name}, {"namespace", name}, {"labels", {{"istio.io/config", "true"}}}}},
      {"data", {{std::string(api::kRootConfigMapKey), roots_pem_}}}};
  const auto retry = [this, alive = alive_, name, attempt](const Error& error) {
    if (!*alive || !namespaces_.contains(name)) return;
    // A namespace that is going away takes no new objects; its removal ends the attempts.
    log::debug("root", "{}/istio-ca-root-cert: {}", name, error.message);
    if (attempt >= kAttempts) {
      log::warning("root", "{}/istio-ca-root-cert: {}", name, error.message);
      return;
    }
    client_.loop().after(pause(attempt), [this, alive, name, attempt] {
      if (*alive && namespaces_.contains(name)) publish(name, attempt + 1);
    });
  };
  client_.create(config_maps(), name, map,
                 [this, alive = alive_, name, map_name, map, retry](Result<Json> made) {
                   if (!*alive || made) return;
                   if (made.error().code != Code::kExists && made.error().code != Code::kConflict) {
                     retry(made.error());
                     return;
                   }
                   client_.patch(config_maps(), name, map_name, kube::PatchType::kMerge,
                                 {{"data", map.at("data")}}, [retry](Result<Json> patched) {
                                   if (!patched) retry(patched.error());
                                 });
                 });
}

WebhookPatcher::WebhookPatcher(kube::Client& client, std::string roots_pem)
    : client_(client), bundle_(base64_encode(roots_pem)) {}

void WebhookPatcher::start() {
  patch("mutatingwebhookconfigurations", std::string(kInjector));
  patch("validatingwebhookconfigurations", std::string(kValidator));
}

void WebhookPatcher::again(const std::string& plural, const std::string& name) {
  client_.loop().after(std::chrono::seconds(1), [this, alive = alive_, plural, name] {
    if (*alive) patch(plural, name);
  });
}

void WebhookPatcher::patch(const std::string& plural, const std::string& name) {
  const kube::Resource resource{"admissionregistration.k8s.io", "v1", plural, false};
  client_.get(resource, "", name, [this, alive = alive_, resource, plural, name](Result<Json> got) {
    if (!*alive) return;
    if (!got) {
      again(plural, name);
      return;
    }
    Json patch = Json::array();
    const Json* webhooks = object::find(*got, {"webhooks"});
    for (std::size_t i = 0; webhooks && webhooks->is_array() && i < webhooks->size(); ++i) {
      const Json& hook = (*webhooks)[i];
      if (object::string_at(hook, {"clientConfig", "caBundle"}) != bundle_) {
        patch.push_back({{"op", "add"},
                         {"path", fmt::format("/webhooks/{}/clientConfig/caBundle", i)},
                         {"value", bundle_}});
      }
      if (name == kValidator && object::string_at(hook, {"failurePolicy"}) != "Fail") {
        patch.push_back({{"op", "add"},
                         {"path", fmt::format("/webhooks/{}/failurePolicy", i)},
                         {"value", "Fail"}});
      }
    }
    if (patch.empty()) return;
    client_.patch(resource, "", name, kube::PatchType::kJson, patch,
                  [this, alive, plural, name](Result<Json> patched) {
                    if (!*alive) return;
                    if (patched) {
                      log::info("webhooks", "{} trusts this control plane", name);
                    } else {
                      log::warning("webhooks", "{}: {}", name, patched.error().message);
                      again(plural, name);
                    }
                  });
  });
}

void IngressStatusWriter::set_service(const Json& service) {
  if (object::string_at(service, {"metadata", "name"}) != api::kIngressGateway ||
      object::string_at(service, {"metadata", "namespace"}) != api::kSystemNamespace) {
    return;
  }
  Json addresses = Json::array();
  if (const Json* balancer = object::find(service, {"status", "loadBalancer", "ingress"})) {
    addresses = *balancer;
  }
  const Json* external = object::find(service, {"spec", "externalIPs"});
  if (addresses.empty() && external != nullptr) {
    for (const Json& ip : *external) addresses.push_back({{"ip", ip}});
  }
  if (addresses == addresses_) return;
  addresses_ = std::move(addresses);
  for (const auto& [key, told] : told_) write(key);
}

void IngressStatusWriter::add(const Json& ingress) {
  const std::string key = read_key(ingress);
  const Json* told = object::find(ingress, {"status", "loadBalancer", "ingress"});
  told_[key] = told == nullptr ? Json::array() : *told;
  write(key);
}

void IngressStatusWriter::remove(const Json& ingress) { told_.erase(read_key(ingress)); }

void IngressStatusWriter::write(const std::string& key) {
  if (addresses_.empty() || told_[key] == addresses_) return;
  told_[key] = addresses_;
  const std::size_t slash = key.find('/');
  client_.patch(
      {"networking.k8s.io", "v1", "ingresses", true}, key.substr(0, slash), key.substr(slash + 1),
      kube::PatchType::kMerge, {{"status", {{"loadBalancer", {{"ingress", addresses_}}}}}},
      [this, alive = alive_, key](Result<Json> patched) {
        if (!*alive || patched) return;
        log::warning("status", "Ingress {}: {}", key, patched.error().message);
        told_.erase(key);  // told again with its next change
      },
      "status", kManager);
}

void StatusWriter::forget(const Json& object) { gateways_.erase(read_key(object)); }

void StatusWriter::set_conflicts(std::map<std::string, std::string> conflicts) {
  conflicts.swap(conflicts_);
  for (auto& [key, gateway] : gateways_) {
    const auto before = conflicts.find(key);
    const auto now = conflicts_.find(key);
    const std::string was = before == conflicts.end() ? std::string() : before->second;
    if (was != (now == conflicts_.end() ? std::string() : now->second)) report(Json(gateway));
  }
}

void StatusWriter::report(const Json& object) {
  const Result<const config::Kind*> kind = config::kind_for(object);
  if (!kind || !(*kind)->custom) return;
  const std::vector<std::string> unacted = config::unacted_fields(**kind, object);
  std::string message =
      unacted.empty() ? std::string() : "read but not acted on yet: " + join(unacted, ", ");
  const std::string key = read_key(object);
  const auto conflict = conflicts_.find(key);
  const bool collides = (*kind)->kind == "Gateway" && conflict != conflicts_.end();
  if (collides) message = conflict->second + (message.empty() ? "" : "; " + message);
  if ((*kind)->kind == "Gateway") gateways_[key] = object;
  if (told_before(object) == message) return;
  if (!message.empty()) log::warning("config", "{} {}: {}", (*kind)->kind, key, message);
  const Json condition = {
      {"type", "Reconciled"},
      {"status", message.empty() ? "True" : "False"},
      {"reason", collides          ? "Conflicts"
                 : unacted.empty() ? "AllFieldsActedOn"
                                   : "FieldsNotActedOn"},
      {"message", message},
      {"lastTransitionTime", rfc3339(system_clock().wall())},
      {"observedGeneration", object::int_at(object, {"metadata", "generation"})}};
  const kube::Resource resource{std::string((*kind)->group),
                                std::string((*kind)->storage_version()),
                                std::string((*kind)->plural), true};
  client_.patch(
      resource, object::string_at(object, {"metadata", "namespace"}),
      object::string_at(object, {"metadata", "name"}), kube::PatchType::kMerge,
      {{"status", {{"conditions", Json::array({condition})}}}},
      [key](Result<Json> patched) {
        if (!patched) log::debug("status", "{}: {}", key, patched.error().message);
      },
      "status", kManager);
}

}  // namespace mizzen::control
