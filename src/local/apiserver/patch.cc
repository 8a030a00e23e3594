// patch in its four forms.
#include "object/patch.h"

#include <fmt/core.h>

#include "base/strings.h"
#include "local/apiserver/parts.h"
#include "object/yaml.h"

namespace mizzen::local {

namespace {

enum class PatchKind : std::uint8_t { kJson, kMerge, kStrategic, kApply };

std::optional<PatchKind> patch_kind(std::string_view content_type) {
  const auto type = trim(content_type.substr(0, content_type.find(';')));
  if (type == "application/json-patch+json") return PatchKind::kJson;
  if (type == "application/merge-patch+json") return PatchKind::kMerge;
  if (type == "application/strategic-merge-patch+json") return PatchKind::kStrategic;
  if (type == "application/apply-patch+yaml" || type == "application/apply-patch+cbor") {
    return PatchKind::kApply;
  }
  return std::nullopt;
}

Result<Json> parse_patch(const ApiRequest& request, PatchKind kind) {
  if (kind != PatchKind::kApply) return object::parse_json(request.body);
  MIZZEN_TRY(auto documents, object::parse_yaml(request.body));
  if (documents.size() != 1) return fail(Code::kInvalid, "an apply patch is one object");
  return std::move(documents.front().value);
}

Status patch_in_place(Json& object, const Json& patch, PatchKind kind, const Target& target,
                      WallTime now) {
  switch (kind) {
    case PatchKind::kJson:
      return object::json_patch(object, patch);
    case PatchKind::kMerge:
      object::merge_patch(object, patch);
      return {};
    case PatchKind::kStrategic:
      return object::strategic_merge_patch(object, patch, target.type->kind);
    case PatchKind::kApply:
      return object::apply_patch(object, patch, target.param("fieldManager"), target.flag("force"),
                                 rfc3339(now));
  }
  return {};
}

ApiResponse patch_refused(const Target& target, const Error& error) {
  if (error.code == Code::kConflict) {
    return status_response(409, "Conflict", error.message,
                           {{"name", target.name}, {"kind", target.type->plural}});
  }
  return status_response(
      422, "Invalid",
      "the server rejected our request due to an error in our request: " + error.message);
}

}  // namespace

void Api::Parts::patch(ApiRequest request, Target target, int attempts, Done done) {
  const auto kind = patch_kind(request.content_type);
  if (!kind || (*kind == PatchKind::kStrategic && !target.type->built_in())) {
    return done(status_response(
        415, "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"));
  }
  auto body = parse_patch(request, *kind);
  if (!body) return done(bad_request(body.error().message));
  if (*kind == PatchKind::kApply && target.param("fieldManager").empty()) {
    return done(bad_request("fieldManager is required for apply patch"));
  }
  Object old = store_.get(target.key());
  if (!old && *kind != PatchKind::kApply) return done(not_found(*target.type, target.name));
  Json next;
  if (target.subresource == "scale") {
    next = Json::parse(get_scale(target).body, nullptr, false);
  } else if (old) {
    next = as_version(*target.type, target.version, *old);
  } else {
    next = {{"apiVersion", target.type->api_version(target.version)},
            {"kind", target.type->kind},
            {"metadata", {{"name", target.name}}}};
    if (target.type->namespaced) next["metadata"]["namespace"] = target.ns;
  }
  if (Status patched = patch_in_place(next, *body, *kind, target, store_.wall()); !patched) {
    return done(patch_refused(target, patched.error()));
  }
  object::drop_nulls(next);
  if (!old) {
    return write_object(request, std::move(target), Verb::kCreate, std::move(next), nullptr,
                        std::move(done));
  }
  if (target.subresource == "scale") {
    ApiRequest put = request;
    put.body = next.dump();
    put.content_type = "application/json";
    return update(std::move(put), std::move(target), std::move(done));
  }
  const bool pinned = body->is_object() && !text_at(*body, {"metadata", "resourceVersion"}).empty();
  ApiRequest again = request;
  write_object(request, target, Verb::kUpdate, std::move(next), old,
               [this, again, target, attempts, pinned, done, alive = alive_](ApiResponse response) {
                 // Someone else wrote while webhooks were asked: patch what is there now.
                 if (response.status == 409 && !pinned && attempts > 1 && *alive) {
                   return patch(again, target, attempts - 1, done);
                 }
                 done(std::move(response));
               });
}

}  // namespace mizzen::local
