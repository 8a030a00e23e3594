// create and update, from the body to the store.
#include <fmt/core.h>
#include <google/protobuf/descriptor.h>

#include "base/strings.h"
#include "config/kinds.h"
#include "local/apiserver/parts.h"
#include "local/apiserver/rbac.h"
#include "object/kind.h"
#include "object/walker.h"
#include "object/yaml.h"

namespace mizzen::local {

namespace {

// Kinds that are bodies without being resources, too.
const google::protobuf::Descriptor* message_for(std::string_view group, std::string_view version,
                                                std::string_view name) {
  const bool autoscaler_v1 = name == "HorizontalPodAutoscaler" && version == "v1";
  if (const config::Kind* kind = config::find_kind(group, name); kind && !autoscaler_v1) {
    return kind->descriptor;
  }
  struct Body {
    std::string_view kind;
    const char* message;
  };
  for (const Body& body :
       {Body{"TokenRequest", "mizzen.schema.authentication.TokenRequest"},
        Body{"Scale", "mizzen.schema.autoscaling_v1.Scale"},
        Body{"HorizontalPodAutoscaler", "mizzen.schema.autoscaling_v1.HorizontalPodAutoscaler"},
        Body{"Eviction", "mizzen.schema.policy.Eviction"},
        Body{"DeleteOptions", "mizzen.schema.meta.DeleteOptions"}}) {
    if (body.kind == name) {
      return google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
          body.message);
    }
  }
  return nullptr;
}

Result<Json> from_protobuf(std::string_view body) {
  MIZZEN_TRY(auto envelope, object::open_kubernetes_protobuf(body));
  MIZZEN_TRY(auto version, object::parse_api_version(envelope.api_version));
  const google::protobuf::Descriptor* type =
      message_for(version.group, version.version, envelope.kind);
  if (!type) {
    return fail(Code::kUnsupported, fmt::format("no kind \"{}\" in version \"{}\" as protobuf",
                                                envelope.kind, envelope.api_version));
  }
  return object::decode_kubernetes_protobuf(envelope, *type);
}

}  // namespace

Result<Json> parse_body(const ApiRequest& request) {
  if (object::is_kubernetes_protobuf(request.body)) return from_protobuf(request.body);
  if (request.content_type.find("yaml") != std::string::npos) {
    MIZZEN_TRY(auto documents, object::parse_yaml(request.body));
    if (documents.size() != 1) return fail(Code::kInvalid, "one YAML document is wanted");
    return std::move(documents.front().value);
  }
  return object::parse_json(request.body);
}

namespace {

// Removes the member that `path` ("spec.containers[0].imagee") names.
void erase_path(Json& value, std::string_view path) {
  Json* at = &value;
  while (at) {
    const auto end = std::min(path.find_first_of(".["), path.size());
    const std::string name(path.substr(0, end));
    path.remove_prefix(end);
    if (!at->is_object() || !at->contains(name)) return;
    if (path.empty()) {
      at->erase(name);
      return;
    }
    at = &(*at)[name];
    while (path.starts_with('[')) {
      const auto close = path.find(']');
      if (close == std::string_view::npos) return;
      const auto index = parse_int<std::size_t>(path.substr(1, close - 1));
      if (!index || !at->is_array() || *index >= at->size()) return;
      at = &(*at)[*index];
      path.remove_prefix(close + 1);
    }
    if (path.starts_with('.')) path.remove_prefix(1);
  }
}

SchemaReport check_built_in(const Type& type, Json& object) {
  SchemaReport report;
  const config::Kind* kind = config::find_resource(type.group, type.plural);
  if (!kind || !kind->descriptor) return report;
  for (const auto& error : object::check(object, *kind->descriptor)) {
    if (error.problem == object::FieldError::Problem::kUnknown) {
      report.unknown.push_back(error.path);
      // The walker's message ends in: did you mean "name"?
      if (auto open = error.message.find('"'); open != std::string::npos) {
        report.meant[error.path] =
            error.message.substr(open + 1, error.message.rfind('"') - open - 1);
      }
      erase_path(object, error.path);
    } else {
      report.causes.push_back(from_field_error(error));
    }
  }
  return report;
}

}  // namespace

std::string_view to_string(Verb verb) {
  switch (verb) {
    case Verb::kCreate:
      return "CREATE";
    case Verb::kUpdate:
      return "UPDATE";
    case Verb::kDelete:
      return "DELETE";
  }
  return "";
}

std::expected<Json, ApiResponse> Api::Parts::decode_body(const ApiRequest& request,
                                                         const Target& target) {
  auto body = parse_body(request);
  if (!body) {
    if (body.error().code == Code::kUnsupported) {
      return std::unexpected(status_response(415, "UnsupportedMediaType", body.error().message));
    }
    return std::unexpected(bad_request(body.error().message));
  }
  if (!body->is_object()) return std::unexpected(bad_request("the body is not an object"));
  object::drop_nulls(*body);
  const std::string expected = target.type->api_version(target.version);
  const bool sub = !target.subresource.empty() && target.subresource != "status";
  if (sub) return std::move(*body);
  const std::string version = text_at(*body, {"apiVersion"});
  if (!version.empty() && version != expected) {
    return std::unexpected(bad_request(
        fmt::format("the API version in the data ({}) does not match the expected API version ({})",
                    version, expected)));
  }
  const std::string kind = text_at(*body, {"kind"});
  if (!kind.empty() && kind != target.type->kind) {
    return std::unexpected(bad_request(
        fmt::format("{} in version \"{}\" cannot be handled as a {}: the data is of kind {}",
                    target.type->kind, target.version, target.type->kind, kind)));
  }
  (*body)["apiVersion"] = expected;
  (*body)["kind"] = target.type->kind;
  if (!body->contains("metadata")) (*body)["metadata"] = Json::object();
  if (!(*body)["metadata"].is_object()) {
    return std::unexpected(bad_request("metadata: must be an object"));
  }
  return std::move(*body);
}

void Api::Parts::write_object(ApiRequest& request, Target target, Verb verb, Json object,
                              Object old, Done done) {
  const Type& type = *target.type;
  Json& meta = object["metadata"];
  if (type.namespaced) {
    const std::string ns = namespace_of(object);
    if (!ns.empty() && ns != target.ns) {
      return done(
          bad_request("the namespace of the provided object does not match the namespace sent "
                      "on the request"));
    }
    if (target.ns.empty()) return done(method_not_allowed());
    meta["namespace"] = target.ns;
  } else {
    meta.erase("namespace");
  }
  if (verb == Verb::kUpdate) {
    const std::string name = name_of(object);
    if (!name.empty() && name != target.name) {
      return done(bad_request(
          fmt::format("the name of the object ({}) does not match the name on the URL ({})", name,
                      target.name)));
    }
    meta["name"] = target.name;
  }
  auto write = std::make_shared<Write>();
  write->verb = verb;
  write->dry_run = target.param("dryRun") == "All";
  if (!target.param("fieldValidation").empty()) {
    write->field_validation = target.param("fieldValidation");
  }
  write->shape = shape_of(request.accept);
  write->caller = request.caller;
  write->target = std::move(target);
  to_stored_version(*write->target.type, write->target.version, object);
  write->object = std::move(object);
  write->old = std::move(old);
  run(std::move(write), std::move(done));
}

void Api::Parts::create(ApiRequest request, Target target, Done done) {
  auto body = decode_body(request, target);
  if (!body) return done(std::move(body.error()));
  write_object(request, std::move(target), Verb::kCreate, std::move(*body), nullptr,
               std::move(done));
}

void Api::Parts::update(ApiRequest request, Target target, Done done) {
  auto body = decode_body(request, target);
  if (!body) return done(std::move(body.error()));
  Object old = store_.get(target.key());
  if (!old) return done(not_found(*target.type, target.name));
  if (target.subresource == "scale") {
    const Json& replicas = at_path(*body, {"spec", "replicas"});
    Json next = as_version(*target.type, target.version, *old);
    next["spec"]["replicas"] = replicas.is_number_integer() ? replicas : Json(0);
    return write_object(request, target, Verb::kUpdate, std::move(next), old,
                        [this, target, done](ApiResponse response) {
                          done(response.status < 300 ? get_scale(target) : std::move(response));
                        });
  }
  write_object(request, std::move(target), Verb::kUpdate, std::move(*body), std::move(old),
               std::move(done));
}

void Api::Parts::run(std::shared_ptr<Write> write, Done done) {
  if (auto refusal = prepare(*write)) return done(std::move(*refusal));
  auto finish = [this, write, done] {
    ApiResponse response = store(*write);
    response.warnings.insert(response.warnings.begin(), write->warnings.begin(),
                             write->warnings.end());
    done(std::move(response));
  };
  // Controllers write status often; webhooks for it are rare enough to do without.
  if (write->target.subresource == "status") return finish();
  admit(write, true, [this, write, done, finish](std::optional<ApiResponse> refusal) {
    if (!refusal) refusal = prepare(*write);
    if (!refusal) refusal = check(*write);
    if (refusal) return done(std::move(*refusal));
    admit(write, false, [done, finish](std::optional<ApiResponse> refused) {
      if (refused) return done(std::move(*refused));
      finish();
    });
  });
}

std::optional<ApiResponse> Api::Parts::check_fields(Write& write) {
  const Type& type = *write.target.type;
  SchemaReport report;
  if (type.built_in()) {
    report = check_built_in(type, write.object);
  } else if (const CustomVersion* custom = type.custom_version(write.target.version)) {
    if (custom->schema.is_object()) report = apply_schema(custom->schema, write.object);
  }
  // A kubectl older than 1.25 asks for nothing; a mistyped route must not vanish silently for it.
  const bool istio = type.group.ends_with(".istio.io");
  if (write.field_validation.empty()) write.field_validation = istio ? "Strict" : "Warn";
  auto unknown_field = [&report](const std::string& path) {
    const std::string& meant = report.meant[path];
    return fmt::format("unknown field \"{}\"{}", path,
                       meant.empty() ? "" : fmt::format("; did you mean \"{}\"?", meant));
  };
  if (!report.unknown.empty() && write.field_validation == "Strict") {
    std::string text;
    for (const auto& path : report.unknown) {
      text += (text.empty() ? "" : ", ") + unknown_field(path);
    }
    return bad_request(
        fmt::format("{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
                    type.kind, write.target.version, type.kind, text));
  }
  if (write.field_validation == "Warn") {
    for (const auto& path : report.unknown) {
      write.warnings.push_back(unknown_field(path));
    }
  }
  if (!report.causes.empty()) return invalid(type, name_of(write.object), report.causes);
  return std::nullopt;
}

std::optional<ApiResponse> Api::Parts::prepare(Write& write) {
  const Type& type = *write.target.type;
  if (auto refusal = check_fields(write)) return refusal;
  if (write.target.subresource == "status") return std::nullopt;
  apply_defaults(type, write.object);
  if (type.resource() == "pods" && write.creates()) admit_service_account(write.object);
  return std::nullopt;
}

std::optional<ApiResponse> Api::Parts::check(Write& write) {
  const Type& type = *write.target.type;
  const std::string name = name_of(write.object);
  if (type.status && write.creates() && type.resource() != "namespaces")
    write.object.erase("status");
  if (type.resource() == "pods" && write.creates()) {
    write.object["status"] = {{"phase", "Pending"}, {"qosClass", "Burstable"}};
    const std::string account = text_at(write.object, {"spec", "serviceAccountName"});
    const std::string ns = write.target.ns;
    if (store_.get({"namespaces", "", ns}) && !store_.get({"serviceaccounts", ns, account})) {
      return forbidden(
          type, name,
          fmt::format("error looking up service account {}/{}: serviceaccount \"{}\" not found", ns,
                      account, account));
    }
  }
  if (std::string more = escalates(store_, write.caller, type, write.object); !more.empty()) {
    return forbidden(type, name, more);
  }
  auto causes = check_object(type, write.object, write.old.get());
  if (causes.empty() && type.resource() == "services") {
    causes = allocate_service(store_, options_, write.object, write.old.get());
  }
  if (!causes.empty()) return invalid(type, name, causes);
  return std::nullopt;
}

ApiResponse Api::Parts::store(Write& write) {
  const Type& type = *write.target.type;
  const std::string name = name_of(write.object);
  Json object = as_version(type, type.storage_version, write.object);
  if (write.dry_run) return dry_answer(write);
  Result<Object> stored = fail(Code::kInternal, "");
  if (write.creates()) {
    stored = store_.create(type.resource(), std::move(object));
  } else if (write.target.subresource == "status") {
    stored = store_.update_status(type.resource(), std::move(object));
  } else if (type.status) {
    stored = store_.update(type.resource(), std::move(object));
  } else {
    stored = store_.replace(type.resource(), std::move(object));
  }
  if (!stored) return from_error(type, name, stored.error());
  return written(write, **stored, write.creates() ? 201 : 200);
}

ApiResponse Api::Parts::dry_answer(Write& write) {
  const Type& type = *write.target.type;
  const std::string name = name_of(write.object);
  Object current = store_.get({type.resource(), write.target.ns, name});
  Json object = write.object;
  if (write.creates()) {
    if (!name.empty() && current) return already_exists(type, name);
    if (type.namespaced && !store_.get({"namespaces", "", write.target.ns})) {
      return from_error(
          type, name,
          Error{.code = Code::kNotFound,
                .message = fmt::format("namespaces \"{}\" not found", write.target.ns)});
    }
    object["metadata"]["uid"] = "00000000-0000-4000-8000-000000000000";
    object["metadata"]["creationTimestamp"] = rfc3339(store_.wall());
    return written(write, object, 201);
  }
  if (!current) return not_found(type, name);
  const auto expected = version_of(object);
  if (expected != 0 && expected != version_of(*current)) {
    return conflict(type, name,
                    "the object has been modified; please apply your changes to the latest "
                    "version and try again");
  }
  return written(write, object, 200);
}

ApiResponse Api::Parts::written(const Write& write, const Json& object, int status) const {
  const Target& target = write.target;
  if (write.shape == Shape::kTable) {
    return json_response(
        table_of(*target.type, target.version, {std::make_shared<const Json>(object)},
                 target.param("includeObject"), store_.wall()),
        status);
  }
  return json_response(as_version(*target.type, target.version, object), status);
}

}  // namespace mizzen::local
