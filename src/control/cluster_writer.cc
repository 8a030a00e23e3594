#include "control/cluster_writer.h"

#include <fmt/core.h>

#include "api/names.h"
#include "base/log.h"
#include "base/strings.h"
#include "config/kinds.h"
#include "config/validate.h"
#include "control/ingest.h"

namespace mizzen::control {

using object::Json;

namespace {

constexpr int kAttempts = 20;
constexpr std::string_view kManager = "mizzend";
constexpr std::string_view kInjector = "istio-sidecar-injector";
constexpr std::string_view kValidator = "istio-validator-istio-system";

kube::Resource config_maps() { return {"", "v1", "configmaps", true}; }

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

void StatusWriter::report(const Json& object) {
  const Result<const config::Kind*> kind = config::kind_for(object);
  if (!kind || !(*kind)->custom) return;
  const std::vector<std::string> unacted = config::unacted_fields(**kind, object);
  const std::string message =
      unacted.empty() ? std::string() : "read but not acted on yet: " + join(unacted, ", ");
  const Json* conditions = object::find(object, {"status", "conditions"});
  std::string told;
  for (std::size_t i = 0; conditions && conditions->is_array() && i < conditions->size(); ++i) {
    if (object::string_at((*conditions)[i], {"type"}) == "Reconciled") {
      told = object::string_at((*conditions)[i], {"message"});
    }
  }
  if (told == message) return;
  const std::string name = object::string_at(object, {"metadata", "name"});
  const std::string name_space = object::string_at(object, {"metadata", "namespace"});
  if (!unacted.empty()) {
    log::warning("config", "{} {}/{}: {}", (*kind)->kind, name_space, name, message);
  }
  const Json condition = {
      {"type", "Reconciled"},
      {"status", unacted.empty() ? "True" : "False"},
      {"reason", unacted.empty() ? "AllFieldsActedOn" : "FieldsNotActedOn"},
      {"message", message},
      {"lastTransitionTime", rfc3339(system_clock().wall())},
      {"observedGeneration", object::int_at(object, {"metadata", "generation"})}};
  const kube::Resource resource{std::string((*kind)->group),
                                std::string((*kind)->storage_version()),
                                std::string((*kind)->plural), true};
  client_.patch(
      resource, name_space, name, kube::PatchType::kMerge,
      {{"status", {{"conditions", Json::array({condition})}}}},
      [name](Result<Json> patched) {
        if (!patched) log::debug("status", "{}: {}", name, patched.error().message);
      },
      "status", kManager);
}

}  // namespace mizzen::control
