#include "local/apiserver/api.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "local/apiserver/parts.h"
#include "local/apiserver/rbac.h"
#include "net/http_server.h"
#include "object/kind.h"
#include "object/selector.h"

namespace mizzen::local {

namespace {

bool known_subresource(const Type& type, std::string_view name) {
  if (name == "status") return type.status;
  if (name == "scale") return type.scale;
  const std::string resource = type.resource();
  if (resource == "pods") {
    for (std::string_view each :
         {"log", "exec", "attach", "portforward", "proxy", "eviction", "binding"}) {
      if (each == name) return true;
    }
  }
  if (resource == "services") return name == "proxy";
  if (resource == "namespaces") return name == "finalize";
  return resource == "serviceaccounts" && name == "token";
}

}  // namespace

std::string_view Target::param(std::string_view name) const {
  auto found = query.find(name);
  return found == query.end() ? std::string_view() : std::string_view(found->second);
}
bool Target::flag(std::string_view name) const {
  return param(name) == "true" || param(name) == "1";
}

std::vector<std::string> path_segments(std::string_view path) {
  std::vector<std::string> segments;
  for (auto part : split(path, '/')) {
    if (!part.empty()) segments.push_back(net::url_decode(part, false));
  }
  return segments;
}

Query parse_query(std::string_view query) {
  Query parsed;
  if (query.empty()) return parsed;
  for (auto pair : split(query, '&')) {
    const auto equals = pair.find('=');
    const auto value =
        equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    parsed.emplace(net::url_decode(pair.substr(0, equals), true), net::url_decode(value, true));
  }
  return parsed;
}

Shape shape_of(std::string_view accept) {
  // The first media type that we have decides.
  for (auto each : split(accept, ',')) {
    if (each.find("protobuf") != std::string_view::npos) continue;
    if (each.find("as=Table") != std::string_view::npos) return Shape::kTable;
    if (each.find("as=PartialObjectMetadata") != std::string_view::npos) return Shape::kMetadata;
    if (each.find("json") != std::string_view::npos) return Shape::kObject;
  }
  return Shape::kObject;
}

ApiResponse json_response(const Json& body, int status) {
  ApiResponse response;
  response.status = status;
  response.body = body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return response;
}

Result<Filter> filter_of(const Target& target) {
  const auto label_text = target.param("labelSelector");
  const auto field_text = target.param("fieldSelector");
  object::LabelSelector labels;
  object::FieldSelector fields;
  if (!label_text.empty()) {
    MIZZEN_TRY(labels, object::LabelSelector::parse(label_text));
  }
  if (!field_text.empty()) {
    MIZZEN_TRY(fields, object::FieldSelector::parse(field_text));
  }
  const std::string name = target.name;  // a watch of one object
  if (labels.empty() && fields.empty() && name.empty()) return Filter();
  return Filter([labels, fields, name](const Json& object) {
    if (!name.empty() && name_of(object) != name) return false;
    return (fields.empty() || fields.matches(object)) &&
           (labels.empty() || labels.matches(object::labels_of(object)));
  });
}

Api::Parts::Parts(Api& api, Store& store, ApiOptions& options, Types& types)
    : api_(api), store_(store), options_(options), types_(types), openapi_(types) {
  if (options_.token_key_pem.empty()) return;
  if (auto key = pki::PrivateKey::from_pem(options_.token_key_pem))
    token_key_ = std::move(*key);
  else
    log::error("apiserver", "service account key: {}", key.error().message);
}

Api::Api(Store& store, ApiOptions options)
    : store_(store),
      options_(std::move(options)),
      types_(std::make_unique<Types>()),
      parts_(std::make_unique<Parts>(*this, store_, options_, *types_)) {
  for (const Object& crd : store_.list("customresourcedefinitions.apiextensions.k8s.io")) {
    types_->set_custom(*crd);
  }
}

Api::~Api() { *parts_->alive_ = false; }

std::expected<Target, ApiResponse> Api::Parts::route(const ApiRequest& request) const {
  Target target;
  target.query = parse_query(request.query);
  auto parts = path_segments(request.path);
  std::string group;
  std::size_t at = 0;
  if (parts.size() >= 3 && parts[0] == "api") {
    target.version = parts[1];
    at = 2;
  } else if (parts.size() >= 4 && parts[0] == "apis") {
    group = parts[1];
    target.version = parts[2];
    at = 3;
  } else {
    return std::unexpected(path_not_found());
  }
  // /namespaces/NS/RESOURCE..., but /namespaces/NS and /namespaces/NS/status are the namespace
  // itself.
  if (parts[at] == "namespaces" && parts.size() > at + 2 &&
      !(group.empty() && (parts[at + 2] == "status" || parts[at + 2] == "finalize"))) {
    target.ns = parts[at + 1];
    at += 2;
  }
  target.type = types_.find(group, target.version, parts[at]);
  if (!target.type) return std::unexpected(path_not_found());
  if (!target.ns.empty() && !target.type->namespaced) return std::unexpected(path_not_found());
  if (parts.size() > at + 1) target.name = parts[at + 1];
  if (parts.size() > at + 2) target.subresource = parts[at + 2];
  const bool proxy = target.subresource == "proxy";
  if (parts.size() > at + 3 && !proxy) return std::unexpected(path_not_found());
  if (!target.subresource.empty() && !known_subresource(*target.type, target.subresource)) {
    return std::unexpected(path_not_found());
  }
  if (target.type->namespaced && target.ns.empty() && !target.name.empty()) {
    return std::unexpected(path_not_found());
  }
  return target;
}

void Api::handle(ApiRequest request, Done done) {
  const auto& path = request.path;
  if (path == "/healthz" || path == "/readyz" || path == "/livez" ||
      path.starts_with("/healthz/") || path.starts_with("/readyz/") ||
      path.starts_with("/livez/")) {
    ApiResponse ok;
    ok.content_type = "text/plain; charset=utf-8";
    ok.body = "ok";
    return done(std::move(ok));
  }
  if (auto found = discover(*types_, options_, request)) return done(std::move(*found));
  if (auto found = parts_->openapi_.answer(request)) return done(std::move(*found));
  if (path == "/.well-known/openid-configuration" || path == "/openid/v1/jwks") {
    return done(path_not_found());
  }
  auto target = parts_->route(request);
  if (!target) return done(std::move(target.error()));
  parts_->answer(request, std::move(*target), std::move(done));
}

void Api::Parts::answer(const ApiRequest& request, Target target, Done done) {
  const std::string& method = request.method;
  if (target.type->create_only || target.subresource == "token") {
    if (method != "POST") return done(method_not_allowed());
    auto body = decode_body(request, target);
    if (!body) return done(std::move(body.error()));
    return done(target.subresource == "token" ? token_request(target, *body)
                                              : review(request, target, std::move(*body)));
  }
  if (target.subresource == "eviction") {
    return method == "POST" ? evict(request, target, std::move(done)) : done(method_not_allowed());
  }
  if (method == "GET" || method == "HEAD") {
    if (target.subresource == "scale") return done(get_scale(target));
    return done(target.name.empty() ? list(request, target) : get(request, target));
  }
  if (method == "POST") {
    if (!target.name.empty()) return done(method_not_allowed());
    return create(request, std::move(target), std::move(done));
  }
  if (method == "PUT" || method == "PATCH") {
    if (target.name.empty()) return done(method_not_allowed());
    if (method == "PUT") return update(request, std::move(target), std::move(done));
    return patch(request, std::move(target), 5, std::move(done));
  }
  if (method == "DELETE") {
    if (!target.subresource.empty()) return done(method_not_allowed());
    if (target.name.empty()) return remove_collection(request, target, std::move(done));
    return remove(request, std::move(target), std::move(done));
  }
  done(method_not_allowed());
}

void Api::bootstrap() { parts_->bootstrap(); }
void Api::housekeep() { parts_->expire_events(); }

std::optional<Target> Api::find_target(const ApiRequest& request) const {
  auto target = parts_->route(request);
  if (!target) return std::nullopt;
  return std::move(*target);
}

std::optional<ApiResponse> Api::refuse(const ApiRequest& request) const {
  const auto target = find_target(request);
  const Access access = access_of(request, target ? &*target : nullptr);
  if (authorize(store_, request.caller, access).allowed) return std::nullopt;
  return refused(request.caller, access);
}

Result<Caller> Api::act_as(const Caller& caller, const std::string& user,
                           const std::vector<std::string>& groups) const {
  return impersonate(store_, caller, user, groups);
}

// For controllers: the same way as a client's request, as the system itself.
namespace {

void finish_object(const ApiResponse& response, const Key& key, const Store& store,
                   const Api::ObjectDone& done) {
  if (response.status < 300) {
    const Json body = Json::parse(response.body, nullptr, false);
    Object stored = store.get({key.resource, key.ns, name_of(body)});
    if (stored) return done(stored);
    return done(std::make_shared<const Json>(body));
  }
  const Json body = Json::parse(response.body, nullptr, false);
  Code code = Code::kInternal;
  switch (response.status) {
    case 404:
      code = Code::kNotFound;
      break;
    case 409:
      code = text_at(body, {"reason"}) == "AlreadyExists" ? Code::kExists : Code::kConflict;
      break;
    case 400:
    case 422:
      code = Code::kInvalid;
      break;
    case 403:
      code = Code::kDenied;
      break;
    case 503:
    case 504:
      code = Code::kUnavailable;
      break;
    default:
      break;
  }
  done(fail(code, text_at(body, {"message"})));
}

}  // namespace

void Api::submit(Json object, bool create, ObjectDone done) {
  auto kind = object::kind_of(object);
  if (!kind) return done(std::unexpected(kind.error()));
  TypeRef type = types_->find_kind(kind->group, kind->version, kind->kind);
  if (!type)
    return done(
        fail(Code::kNotFound, fmt::format("no kind {} in {}", kind->kind, kind->api_version())));
  Target target;
  target.type = type;
  target.version = kind->version;
  target.ns = type->namespaced ? namespace_of(object) : "";
  ApiRequest request;
  request.caller = {
      "system:kube-controller-manager", {"system:masters", "system:authenticated"}, ""};
  request.method = create ? "POST" : "PUT";
  request.body = object.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (!create) target.name = name_of(object);
  const Key key{type->resource(), target.ns, name_of(object)};
  auto finish = [this, key, done = std::move(done)](ApiResponse response) {
    finish_object(response, key, store_, done);
  };
  if (create)
    parts_->create(std::move(request), std::move(target), std::move(finish));
  else
    parts_->update(std::move(request), std::move(target), std::move(finish));
}

void Api::create_object(Json object, ObjectDone done) {
  submit(std::move(object), true, std::move(done));
}
void Api::update_object(Json object, ObjectDone done) {
  submit(std::move(object), false, std::move(done));
}

}  // namespace mizzen::local
