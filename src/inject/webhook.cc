#include "inject/webhook.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/strings.h"
#include "config/kinds.h"
#include "config/validate.h"
#include "object/json.h"
#include "object/meta.h"

namespace mizzen::inject {
namespace {

constexpr std::size_t kMaxReview = 8 << 20;

Json answer(const Json& request, Json response) {
  response["uid"] = object::string_at(request, {"uid"});
  return {{"apiVersion", "admission.k8s.io/v1"},
          {"kind", "AdmissionReview"},
          {"response", std::move(response)}};
}

// 400, as Istio's: of a refusal with 422 that has no causes, kubectl 1.20 does not show the
// message.
Json refusal(const Json& request, std::string message) {
  return answer(request, {{"allowed", false},
                          {"status",
                           {{"status", "Failure"},
                            {"message", std::move(message)},
                            {"reason", "BadRequest"},
                            {"code", 400}}}});
}

// The Deployment behind a ReplicaSet's pod, else the pod's own controller.
void owner_of(const Json& pod, std::string* kind, std::string* name) {
  const object::Meta meta = object::meta_of(pod);
  const object::OwnerReference* owner = meta.controller();
  if (owner == nullptr) {
    *name = meta.name;
    return;
  }
  *kind = owner->kind;
  *name = owner->name;
  const auto hash = meta.labels.find("pod-template-hash");
  if (owner->kind != "ReplicaSet" || hash == meta.labels.end()) return;
  const std::string suffix = "-" + hash->second;
  if (!name->ends_with(suffix)) return;
  name->resize(name->size() - suffix.size());
  *kind = "Deployment";
}

std::string describe(const Json& request) {
  const Json* object = object::find(request, {"object"});
  const std::string kind = object::string_at(request, {"kind", "kind"});
  std::string name = object::string_at(request, {"name"});
  if (name.empty() && object) name = object::string_at(*object, {"metadata", "name"});
  if (name.empty() && object) name = object::string_at(*object, {"metadata", "generateName"});
  return fmt::format("{} {}/{}", kind, object::string_at(request, {"namespace"}), name);
}

}  // namespace

Webhooks::Webhooks(Settings settings, std::function<Json(const std::string&)> namespace_labels)
    : settings_(std::move(settings)), namespace_labels_(std::move(namespace_labels)) {}

Json Webhooks::review_injection(const Json& review) {
  const Json* request = object::find(review, {"request"});
  if (request == nullptr || !request->is_object()) {
    ++counters_.malformed;
    return refusal(Json::object(), "not an AdmissionReview: `request` is missing");
  }
  const Json* pod = object::find(*request, {"object"});
  if (pod == nullptr || !pod->is_object()) {
    ++counters_.malformed;
    return refusal(*request, "request.object is missing");
  }
  std::string name_space = object::string_at(*request, {"namespace"});
  if (name_space.empty())
    name_space = object::string_at(*pod, {"metadata", "namespace"}, "default");
  const Decision decision = decide(*pod, namespace_labels_(name_space), settings_);
  if (decision != Decision::kInject) {
    ++counters_.skipped;
    return answer(*request, {{"allowed", true}});
  }
  std::string kind;
  std::string owner;
  owner_of(*pod, &kind, &owner);
  Result<Json> injected = inject_pod(*pod, name_space, kind, owner, settings_);
  if (!injected) {
    ++counters_.malformed;
    return refusal(*request, fmt::format("{}: {}", describe(*request), injected.error().message));
  }
  ++counters_.injected;
  log::info("inject", "{}: sidecar injected", describe(*request));
  return answer(*request, {{"allowed", true},
                           {"patchType", "JSONPatch"},
                           {"patch", base64_encode(json_patch(*pod, *injected).dump())}});
}

Json Webhooks::review_validity(const Json& review) {
  const Json* request = object::find(review, {"request"});
  if (request == nullptr || !request->is_object()) {
    ++counters_.malformed;
    return refusal(Json::object(), "not an AdmissionReview: `request` is missing");
  }
  const Json* object = object::find(*request, {"object"});
  if (object == nullptr || !object->is_object()) {  // a deletion
    return answer(*request, {{"allowed", true}});
  }
  const config::Validation result = config::validate(*object);
  Json warnings = Json::array();
  for (const config::FieldError& warning : result.warnings) {
    warnings.push_back(object::to_string(warning));
  }
  // Whoever applies it hears at once what will have no effect; a policy above all.
  if (const auto kind = config::kind_for(*object)) {
    for (const std::string& field : config::unacted_fields(**kind, *object)) {
      warnings.push_back(fmt::format("{}: read but not acted on yet", field));
    }
  }
  if (result.errors.empty()) {
    ++counters_.accepted;
    Json response = {{"allowed", true}};
    if (!warnings.empty()) response["warnings"] = std::move(warnings);
    return answer(*request, std::move(response));
  }
  ++counters_.refused;
  return refusal(*request, fmt::format("{}: {}", describe(*request),
                                       object::to_string(std::span(result.errors))));
}

bool Webhooks::handle(const std::shared_ptr<net::Exchange>& exchange) {
  const std::string_view path = exchange->path();
  const auto is = [&](std::string_view base) {
    return path == base || (path.starts_with(base) && path[base.size()] == '/');
  };
  const bool injection = is("/inject");
  if (!injection && !is("/validate")) return false;
  exchange->read_body(kMaxReview, [this, exchange, injection](Result<std::string> body) {
    if (!body) {
      exchange->respond(body.error().code == Code::kLimit ? 413 : 400, {}, body.error().message);
      return;
    }
    const Result<object::Json> review = object::parse_json(*body);
    if (!review) {
      ++counters_.malformed;
      exchange->respond(400, {{"content-type", "text/plain"}}, review.error().message);
      return;
    }
    const Json reply = injection ? review_injection(*review) : review_validity(*review);
    exchange->respond(200, {{"content-type", "application/json"}}, reply.dump());
  });
  return true;
}

}  // namespace mizzen::inject
