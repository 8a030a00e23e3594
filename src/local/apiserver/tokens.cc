// Service account tokens (TokenRequest, TokenReview) and access reviews.
#include <fmt/core.h>

#include "base/strings.h"
#include "local/apiserver/parts.h"
#include "local/apiserver/rbac.h"
#include "pki/jwt.h"

namespace mizzen::local {

namespace {

constexpr const char* kKeyId = "mizzen-local";

std::int64_t seconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

std::vector<std::string> strings(const Json& list) {
  std::vector<std::string> all;
  if (!list.is_array()) return all;
  for (const auto& each : list) {
    if (each.is_string()) all.push_back(each.get<std::string>());
  }
  return all;
}

Caller account_caller(const std::string& ns, const std::string& name, std::string uid) {
  return {fmt::format("system:serviceaccount:{}:{}", ns, name),
          {"system:serviceaccounts", "system:serviceaccounts:" + ns, "system:authenticated"},
          std::move(uid)};
}

}  // namespace

Result<std::string> Api::issue_token(const std::string& ns, const std::string& service_account,
                                     std::vector<std::string> audiences, Duration ttl,
                                     const std::string& pod, const std::string& pod_uid) {
  if (!parts_->token_key_) return fail(Code::kUnavailable, "no key for service account tokens");
  Object account = store_.get({"serviceaccounts", ns, service_account});
  if (!account) return fail(Code::kNotFound, service_account);
  if (audiences.empty()) audiences = {options_.token_issuer};
  const auto now = seconds(store_.wall());
  const auto lifetime =
      std::max<std::int64_t>(600, std::chrono::duration_cast<std::chrono::seconds>(ttl).count());
  Json bound = {{"namespace", ns},
                {"serviceaccount", {{"name", service_account}, {"uid", uid_of(*account)}}}};
  if (!pod.empty()) bound["pod"] = {{"name", pod}, {"uid", pod_uid}};
  const Json claims = {{"iss", options_.token_issuer},
                       {"aud", audiences},
                       {"sub", fmt::format("system:serviceaccount:{}:{}", ns, service_account)},
                       {"iat", now},
                       {"nbf", now},
                       {"exp", now + lifetime},
                       {"kubernetes.io", bound}};
  return pki::sign_jwt(claims.dump(), kKeyId, *parts_->token_key_);
}

Result<Caller> Api::authenticate(std::string_view token, std::string_view audience) const {
  if (!parts_->token_key_) return fail(Code::kUnauthenticated, "no key for service account tokens");
  MIZZEN_TRY(const std::string text, pki::verify_jwt(token, parts_->token_key_->public_key()));
  MIZZEN_TRY(const Json claims, object::parse_json(text));
  const auto now = seconds(store_.wall());
  if (object::int_at(claims, {"exp"}) <= now)
    return fail(Code::kUnauthenticated, "the token has expired");
  if (object::int_at(claims, {"nbf"}) > now + 60)
    return fail(Code::kUnauthenticated, "the token is not valid yet");
  if (text_at(claims, {"iss"}) != options_.token_issuer) {
    return fail(Code::kUnauthenticated, "the token is another issuer's");
  }
  const std::string wanted = audience.empty() ? options_.token_issuer : std::string(audience);
  const auto audiences = strings(at_path(claims, {"aud"}));
  if (std::find(audiences.begin(), audiences.end(), wanted) == audiences.end()) {
    return fail(Code::kUnauthenticated, fmt::format("the token is not for audience {}", wanted));
  }
  const Json& bound = at_path(claims, {"kubernetes.io"});
  const std::string ns = text_at(bound, {"namespace"});
  const std::string name = text_at(bound, {"serviceaccount", "name"});
  Object account = store_.get({"serviceaccounts", ns, name});
  if (!account || uid_of(*account) != text_at(bound, {"serviceaccount", "uid"})) {
    return fail(Code::kUnauthenticated, fmt::format("service account {}/{} is gone", ns, name));
  }
  const std::string pod = text_at(bound, {"pod", "name"});
  if (!pod.empty()) {
    Object running = store_.get({"pods", ns, pod});
    if (!running || uid_of(*running) != text_at(bound, {"pod", "uid"})) {
      return fail(Code::kUnauthenticated, fmt::format("pod {}/{} is gone", ns, pod));
    }
  }
  return account_caller(ns, name, uid_of(*account));
}

ApiResponse Api::Parts::token_request(const Target& target, const Json& body) {
  const auto lifetime = object::int_at(body, {"spec", "expirationSeconds"}, 3600);
  if (lifetime < 600) {
    const Cause cause = invalid_value("spec.expirationSeconds", lifetime,
                                      "may not specify a duration less than 10 minutes");
    return invalid(*target.type, target.name, {&cause, 1});
  }
  const auto audiences = strings(at_path(body, {"spec", "audiences"}));
  const Json& bound = at_path(body, {"spec", "boundObjectRef"});
  std::string pod = text_at(bound, {"kind"}) == "Pod" ? text_at(bound, {"name"}) : "";
  std::string pod_uid;
  if (!pod.empty()) {
    Object found = store_.get({"pods", target.ns, pod});
    if (!found) return not_found(*types_.find_resource("pods"), pod);
    pod_uid = uid_of(*found);
  }
  auto token = api_.issue_token(target.ns, target.name, audiences, std::chrono::seconds(lifetime),
                                pod, pod_uid);
  if (!token) return from_error(*target.type, target.name, token.error());
  Json answer = body;
  answer["apiVersion"] = "authentication.k8s.io/v1";
  answer["kind"] = "TokenRequest";
  answer["metadata"] = {{"name", target.name},
                        {"namespace", target.ns},
                        {"creationTimestamp", rfc3339(store_.wall())}};
  if (audiences.empty()) answer["spec"]["audiences"] = {options_.token_issuer};
  answer["spec"]["expirationSeconds"] = lifetime;
  answer["status"] = {
      {"token", *token},
      {"expirationTimestamp", rfc3339(store_.wall() + std::chrono::seconds(lifetime))}};
  return json_response(answer, 201);
}

// The status of a SubjectAccessReview, a local one, or one about the caller.
Json Api::Parts::access_review(const ApiRequest& request, const Json& body) const {
  Caller who = request.caller;
  if (text_at(body, {"kind"}) != "SelfSubjectAccessReview") {
    who = {text_at(body, {"spec", "user"}), strings(at_path(body, {"spec", "groups"})), ""};
  }
  Access access;
  const Json& of_resource = at_path(body, {"spec", "resourceAttributes"});
  if (of_resource.is_object()) {
    access.verb = text_at(of_resource, {"verb"});
    access.group = text_at(of_resource, {"group"});
    access.resource = text_at(of_resource, {"resource"});
    access.ns = text_at(of_resource, {"namespace"});
    access.name = text_at(of_resource, {"name"});
    const std::string sub = text_at(of_resource, {"subresource"});
    if (!sub.empty()) access.resource += "/" + sub;
  } else {
    access.verb = text_at(body, {"spec", "nonResourceAttributes", "verb"});
    access.path = text_at(body, {"spec", "nonResourceAttributes", "path"});
  }
  const Verdict verdict = authorize(store_, who, access);
  Json status = {{"allowed", verdict.allowed}};
  if (!verdict.reason.empty()) status["reason"] = verdict.reason;
  return status;
}

ApiResponse Api::Parts::review(const ApiRequest& request, const Target& target, Json body) {
  const std::string& kind = target.type->kind;
  body["apiVersion"] = target.type->api_version(target.version);
  body["kind"] = kind;
  if (kind == "TokenReview") {
    auto audiences = strings(at_path(body, {"spec", "audiences"}));
    const std::string token = text_at(body, {"spec", "token"});
    body["status"] = {{"authenticated", false}};
    if (audiences.empty()) audiences = {options_.token_issuer};
    for (const auto& audience : audiences) {
      auto caller = api_.authenticate(token, audience);
      if (!caller) {
        body["status"]["error"] = caller.error().message;
        continue;
      }
      body["status"] = {
          {"authenticated", true},
          {"audiences", {audience}},
          {"user", {{"username", caller->user}, {"groups", caller->groups}, {"uid", caller->uid}}}};
      break;
    }
  } else if (kind == "SelfSubjectReview") {
    body["status"] = {
        {"userInfo", {{"username", request.caller.user}, {"groups", request.caller.groups}}}};
  } else if (kind == "SelfSubjectRulesReview") {
    body["status"] = {{"resourceRules", Json::array()},
                      {"nonResourceRules", Json::array()},
                      {"incomplete", false}};
    for (Json& rule : rules_of(store_, request.caller, text_at(body, {"spec", "namespace"}))) {
      const bool urls = rule.contains("nonResourceURLs");
      body["status"][urls ? "nonResourceRules" : "resourceRules"].push_back(std::move(rule));
    }
  } else {
    body["status"] = access_review(request, body);
  }
  return json_response(body, 201);
}

}  // namespace mizzen::local
