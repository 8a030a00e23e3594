// Admission webhooks: admission.k8s.io/v1 AdmissionReview over a WebhookCaller.
#include <fmt/core.h>

#include "base/log.h"
#include "base/strings.h"
#include "local/apiserver/parts.h"
#include "object/patch.h"
#include "object/selector.h"

namespace mizzen::local {

namespace {

constexpr const char* kGroup = ".admissionregistration.k8s.io";

bool has(const Json& list, std::string_view wanted) {
  if (!list.is_array()) return false;
  for (const auto& each : list) {
    if (each == "*" || (each.is_string() && each.get<std::string>() == wanted)) return true;
  }
  return false;
}

bool resource_matches(const Json& list, const Target& target) {
  const std::string& plural = target.type->plural;
  const std::string& sub = target.subresource;
  for (const auto& each : list) {
    if (!each.is_string()) continue;
    const std::string wanted = each.get<std::string>();
    const auto slash = wanted.find('/');
    const std::string left = wanted.substr(0, slash);
    if (left != "*" && left != plural) continue;
    if (slash == std::string::npos
            ? sub.empty()
            : wanted.substr(slash + 1) == "*" || wanted.substr(slash + 1) == sub) {
      return true;
    }
  }
  return false;
}

// The version that the webhook is to see; "" when no rule is for this request.
std::string matching_version(const Json& webhook, const Write& write) {
  const Target& target = write.target;
  for (const auto& rule : at_path(webhook, {"rules"})) {
    if (!has(at_path(rule, {"operations"}), to_string(write.verb)) ||
        !has(at_path(rule, {"apiGroups"}), target.type->group) ||
        !resource_matches(at_path(rule, {"resources"}), target)) {
      continue;
    }
    const std::string scope = object::string_at(rule, {"scope"}, "*");
    if (scope != "*" && (scope == "Namespaced") != target.type->namespaced) continue;
    const Json& versions = at_path(rule, {"apiVersions"});
    if (has(versions, target.version)) return target.version;
    if (text_at(webhook, {"matchPolicy"}) == "Exact") continue;
    for (const auto& served : target.type->versions) {
      if (has(versions, served)) return served;
    }
  }
  return "";
}

bool selected(const Json& webhook, const char* name, const object::StringMap& labels) {
  const Json& selector = at_path(webhook, {name});
  if (!selector.is_object() || selector.empty()) return true;
  auto parsed = object::LabelSelector::from_json(&selector);
  return parsed && parsed->matches(labels);
}

bool wants(const Store& store, const Json& webhook, const Write& write) {
  const Target& target = write.target;
  const Json& subject = write.object.is_null() ? *write.old : write.object;
  if (target.type->group == "admissionregistration.k8s.io") return false;
  if (target.type->namespaced || target.type->resource() == "namespaces") {
    object::StringMap labels;
    if (target.type->namespaced) {
      if (Object ns = store.get({"namespaces", "", target.ns})) labels = object::labels_of(*ns);
    } else {
      labels = object::labels_of(subject);
    }
    if (!selected(webhook, "namespaceSelector", labels)) return false;
  }
  if (selected(webhook, "objectSelector", object::labels_of(subject))) return true;
  return write.old && selected(webhook, "objectSelector", object::labels_of(*write.old));
}

Json review_of(const Write& write, const std::string& version, const std::string& uid) {
  const Target& target = write.target;
  const Type& type = *target.type;
  const Json kind = {{"group", type.group}, {"version", version}, {"kind", type.kind}};
  const Json resource = {{"group", type.group}, {"version", version}, {"resource", type.plural}};
  Json request_kind = kind;
  Json request_resource = resource;
  request_kind["version"] = target.version;
  request_resource["version"] = target.version;
  Json request = {{"uid", uid},
                  {"kind", kind},
                  {"resource", resource},
                  {"requestKind", request_kind},
                  {"requestResource", request_resource},
                  {"operation", to_string(write.verb)},
                  {"userInfo", {{"username", write.caller.user}, {"groups", write.caller.groups}}},
                  {"object", nullptr},
                  {"oldObject", nullptr},
                  {"dryRun", write.dry_run}};
  if (!target.subresource.empty()) request["subResource"] = target.subresource;
  if (type.namespaced) request["namespace"] = target.ns;
  const std::string name = write.object.is_null() ? target.name : name_of(write.object);
  if (!name.empty()) request["name"] = name;
  if (!write.object.is_null()) request["object"] = as_version(type, version, write.object);
  if (write.old) request["oldObject"] = as_version(type, version, *write.old);
  const char* options[] = {"CreateOptions", "UpdateOptions", "DeleteOptions"};
  request["options"] = {{"kind", options[static_cast<int>(write.verb)]},
                        {"apiVersion", "meta.k8s.io/v1"}};
  return {{"kind", "AdmissionReview"},
          {"apiVersion", "admission.k8s.io/v1"},
          {"request", std::move(request)}};
}

Result<WebhookCall> call_of(const Json& webhook) {
  WebhookCall call;
  const Json& config = at_path(webhook, {"clientConfig"});
  call.timeout = std::chrono::seconds(object::int_at(webhook, {"timeoutSeconds"}, 10));
  if (auto bundle = base64_decode(text_at(config, {"caBundle"}))) call.ca_bundle_pem = *bundle;
  call.url = text_at(config, {"url"});
  if (!call.url.empty()) return call;
  const Json& service = at_path(config, {"service"});
  if (!service.is_object()) return fail(Code::kInvalid, "clientConfig has neither url nor service");
  call.service_name = text_at(service, {"name"});
  call.service_ns = text_at(service, {"namespace"});
  call.service_port = static_cast<std::uint16_t>(object::int_at(service, {"port"}, 443));
  std::string path = text_at(service, {"path"});
  if (!path.starts_with('/')) path.insert(path.begin(), '/');
  call.url = fmt::format("https://{}.{}.svc:{}{}", call.service_name, call.service_ns,
                         call.service_port, path);
  return call;
}

struct Step {
  Json webhook;
  std::string version;
};

std::vector<Step> steps_for(const Store& store, const Write& write, bool mutating) {
  std::vector<Step> steps;
  const std::string resource =
      (mutating ? "mutatingwebhookconfigurations" : "validatingwebhookconfigurations") +
      std::string(kGroup);
  for (const Object& configuration : store.list(resource)) {
    for (const auto& webhook : at_path(*configuration, {"webhooks"})) {
      std::string version = matching_version(webhook, write);
      if (!version.empty() && wants(store, webhook, write))
        steps.push_back({webhook, std::move(version)});
    }
  }
  return steps;
}

// What a webhook said, applied to `write`; an answer when it refused.
std::expected<std::optional<ApiResponse>, Error> judge(const std::string& body,
                                                       const std::string& uid, const Step& step,
                                                       bool mutating, Write& write) {
  MIZZEN_TRY(const Json review, object::parse_json(body));
  const Json& response = at_path(review, {"response"});
  const std::string name = text_at(step.webhook, {"name"});
  if (!response.is_object()) return fail(Code::kProtocol, "webhook response is nil");
  if (text_at(response, {"uid"}) != uid) {
    return fail(Code::kProtocol, "the webhook's response has another uid than the request");
  }
  for (const auto& warning : at_path(response, {"warnings"})) {
    if (warning.is_string()) write.warnings.push_back(warning.get<std::string>());
  }
  if (!object::bool_at(response, {"allowed"})) {
    const std::string message = text_at(response, {"status", "message"});
    const int code = static_cast<int>(object::int_at(response, {"status", "code"}, 0));
    const std::string reason = object::string_at(response, {"status", "reason"},
                                                 code == 0 || code == 403 ? "Forbidden" : "");
    const std::string text =
        message.empty()
            ? fmt::format("admission webhook \"{}\" denied the request without explanation", name)
            : fmt::format("admission webhook \"{}\" denied the request: {}", name, message);
    return status_response(code >= 400 && code < 600 ? code : 403,
                           reason.empty() ? "BadRequest" : reason, text);
  }
  const std::string patch_text = text_at(response, {"patch"});
  if (!mutating || patch_text.empty()) return std::optional<ApiResponse>();
  if (text_at(response, {"patchType"}) != "JSONPatch") {
    return fail(Code::kProtocol, "the webhook's patchType is not JSONPatch");
  }
  auto decoded = base64_decode(patch_text);
  if (!decoded) return fail(Code::kProtocol, "the webhook's patch is not base64");
  MIZZEN_TRY(const Json patch, object::parse_json(*decoded));
  Json next = as_version(*write.target.type, step.version, write.object);
  MIZZEN_CHECKED(object::json_patch(next, patch));
  object::drop_nulls(next);
  write.object = as_version(*write.target.type, write.target.version, next);
  return std::optional<ApiResponse>();
}

// The webhooks that are left for one write.
struct Round : std::enable_shared_from_this<Round> {
  std::vector<Step> steps;
  std::size_t at = 0;
  bool mutating = false;
  std::shared_ptr<Write> write;
  const ApiOptions* options = nullptr;
  std::shared_ptr<bool> alive;
  std::function<void(std::optional<ApiResponse>)> done;

  void failed(const Step& step, const std::string& url, const Error& error) {
    const std::string name = text_at(step.webhook, {"name"});
    if (text_at(step.webhook, {"failurePolicy"}) == "Ignore") {
      log::warning("admission", "webhook {} failed and is ignored: {}", name, error.message);
      return next();
    }
    done(status_response(
        500, "InternalError",
        fmt::format("Internal error occurred: failed calling webhook \"{}\": failed to call "
                    "webhook: Post \"{}\": {}",
                    name, url, error.message)));
  }

  void next() {
    if (at >= steps.size()) return done(std::nullopt);
    const Step& step = steps[at++];
    auto call = call_of(step.webhook);
    if (!call) return failed(step, "", call.error());
    if (!options->webhooks) {
      return failed(
          step, call->url,
          Error{.code = Code::kUnavailable, .message = "there is no way to reach webhooks"});
    }
    if (write->dry_run && !text_at(step.webhook, {"sideEffects"}).starts_with("None")) {
      return done(bad_request(fmt::format("admission webhook \"{}\" does not support dry run",
                                          text_at(step.webhook, {"name"}))));
    }
    static std::uint64_t count = 0;
    const std::string uid =
        fmt::format("{:08x}-0000-4000-8000-{:012x}", fnv1a(call->url) & 0xffffffff, ++count);
    call->body =
        review_of(*write, step.version, uid).dump(-1, ' ', false, Json::error_handler_t::replace);
    const std::string url = call->url;
    options->webhooks(std::move(*call),
                      [self = shared_from_this(), &step, uid, url](Result<std::string> body) {
                        if (!*self->alive) return;
                        if (!body) return self->failed(step, url, body.error());
                        auto verdict = judge(*body, uid, step, self->mutating, *self->write);
                        if (!verdict) return self->failed(step, url, verdict.error());
                        if (*verdict) return self->done(std::move(**verdict));
                        self->next();
                      });
  }
};

}  // namespace

void Api::Parts::admit(std::shared_ptr<Write> write, bool mutating, Admitted done) {
  if (mutating && write->verb == Verb::kDelete) return done(std::nullopt);
  auto round = std::make_shared<Round>();
  round->steps = steps_for(store_, *write, mutating);
  if (round->steps.empty()) return done(std::nullopt);
  round->mutating = mutating;
  round->write = std::move(write);
  round->options = &options_;
  round->alive = alive_;
  round->done = std::move(done);
  round->next();
}

}  // namespace mizzen::local
