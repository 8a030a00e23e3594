// delete, deletecollection and eviction.
#include <fmt/core.h>

#include "base/strings.h"
#include "local/apiserver/parts.h"

namespace mizzen::local {

namespace {

RemoveOptions options_of(const Target& target, const Json& body) {
  RemoveOptions options;
  std::string policy =
      object::string_at(body, {"propagationPolicy"}, target.param("propagationPolicy"));
  if (policy == "Foreground") options.propagation = Propagation::kForeground;
  if (policy == "Orphan" || object::bool_at(body, {"orphanDependents"})) {
    options.propagation = Propagation::kOrphan;
  }
  const Json& grace = at_path(body, {"gracePeriodSeconds"});
  if (grace.is_number_integer())
    options.grace_seconds = grace.get<std::int64_t>();
  else if (auto seconds = parse_int<std::int64_t>(target.param("gracePeriodSeconds"))) {
    options.grace_seconds = *seconds;
  }
  options.uid = text_at(body, {"preconditions", "uid"});
  options.version =
      parse_int<std::uint64_t>(text_at(body, {"preconditions", "resourceVersion"})).value_or(0);
  return options;
}

Json delete_options(const ApiRequest& request) {
  if (request.body.empty()) return Json::object();
  auto body = parse_body(request);
  return body && body->is_object() ? std::move(*body) : Json::object();
}

bool dry_run(const Target& target, const Json& options) {
  if (target.param("dryRun") == "All") return true;
  const Json& list = at_path(options, {"dryRun"});
  return list.is_array() && !list.empty() && list[0] == "All";
}

}  // namespace

void Api::Parts::remove(ApiRequest request, Target target, Done done) {
  const Json body = delete_options(request);
  Object old = store_.get(target.key());
  if (!old) return done(not_found(*target.type, target.name));
  auto write = std::make_shared<Write>();
  write->verb = Verb::kDelete;
  write->target = target;
  write->caller = request.caller;
  write->old = old;
  write->dry_run = dry_run(target, body);
  const RemoveOptions options = options_of(target, body);
  auto finish = [this, write, options, done](std::optional<ApiResponse> refusal) {
    if (refusal) return done(std::move(*refusal));
    const Target& at = write->target;
    const Key key = at.key();
    if (key.resource == "namespaces" && (at.name == "default" || at.name == "kube-system")) {
      return done(forbidden(*at.type, at.name, "this namespace may not be deleted"));
    }
    if (write->dry_run) return done(json_response(as_version(*at.type, at.version, *write->old)));
    auto removed = store_.remove(key, options);
    if (!removed) return done(from_error(*at.type, at.name, removed.error()));
    if (store_.get(key)) return done(json_response(as_version(*at.type, at.version, **removed)));
    Json details = {{"name", at.name}, {"kind", at.type->plural}, {"uid", uid_of(**removed)}};
    if (!at.type->group.empty()) details["group"] = at.type->group;
    // Pods and the like are given back whole, as Kubernetes does it.
    if (key.resource == "pods")
      return done(json_response(as_version(*at.type, at.version, **removed)));
    done(status_response(200, "", "", std::move(details)));
  };
  admit(write, true, [this, write, finish](std::optional<ApiResponse> refusal) {
    if (refusal) return finish(std::move(refusal));
    admit(write, false, finish);
  });
}

void Api::Parts::remove_collection(const ApiRequest& request, const Target& target, Done done) {
  if (target.type->namespaced && target.ns.empty()) return done(method_not_allowed());
  auto filter = filter_of(target);
  if (!filter) return done(bad_request(filter.error().message));
  const Json body = delete_options(request);
  const RemoveOptions options = options_of(target, body);
  Json items = Json::array();
  for (const Object& object : store_.list(target.type->resource(), target.ns, *filter)) {
    items.push_back(as_version(*target.type, target.version, *object));
    if (dry_run(target, body)) continue;
    (void)store_.remove({target.type->resource(), namespace_of(*object), name_of(*object)},
                        options);
  }
  done(json_response({{"kind", target.type->list_kind()},
                      {"apiVersion", target.type->api_version(target.version)},
                      {"metadata", {{"resourceVersion", std::to_string(store_.version())}}},
                      {"items", std::move(items)}}));
}

void Api::Parts::evict(const ApiRequest& request, const Target& target, Done done) {
  const Json body = delete_options(request);
  const Json& wanted = at_path(body, {"deleteOptions"});
  const Json options = wanted.is_object() ? wanted : Json::object();
  if (dry_run(target, options)) return done(status_response(201, "", ""));
  auto removed = store_.remove(target.key(), options_of(target, options));
  if (!removed) return done(from_error(*target.type, target.name, removed.error()));
  done(status_response(201, "", ""));
}

}  // namespace mizzen::local
