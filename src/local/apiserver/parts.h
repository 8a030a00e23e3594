// Inside of the API: what its files share. Not for others.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "local/apiserver/api.h"
#include "local/apiserver/openapi.h"
#include "local/apiserver/status.h"
#include "local/apiserver/types.h"
#include "object/json.h"
#include "pki/key.h"

namespace mizzen::local {

using Query = std::map<std::string, std::string, std::less<>>;  // first value of each

// A request's path, taken apart.
struct Target {
  TypeRef type;  // null: not a resource path
  std::string version;
  std::string ns;
  std::string name;
  std::string subresource;
  Query query;

  Key key() const { return {type->resource(), type->namespaced ? ns : std::string(), name}; }
  std::string_view param(std::string_view name) const;
  bool flag(std::string_view name) const;  // "true" or "1"
};

std::vector<std::string> path_segments(std::string_view path);
Query parse_query(std::string_view query);

// How a client wants its answer.
enum class Shape : std::uint8_t { kObject, kTable, kMetadata };
Shape shape_of(std::string_view accept);

// JSON, YAML or Kubernetes' protobuf (write.cc).
Result<Json> parse_body(const ApiRequest& request);

ApiResponse json_response(const Json& body, int status = 200);
// As the version that was asked for: the store holds one version of each (convert.cc).
Json as_version(const Type& type, std::string_view version, const Json& stored);
// The other way, but for apiVersion: `object` is of `version`.
void to_stored_version(const Type& type, std::string_view version, Json& object);

// Columns and rows (table.cc).
Json table_of(const Type& type, std::string_view version, const std::vector<Object>& objects,
              std::string_view include, WallTime now);

// The filter of labelSelector and fieldSelector; null passes everything.
Result<Filter> filter_of(const Target& target);

using Done = std::function<void(ApiResponse)>;

enum class Verb : std::uint8_t { kCreate, kUpdate, kDelete };
std::string_view to_string(Verb verb);  // "CREATE" as admission has it

// A create, update, patch or delete on its way through defaults, admission, validation and store.
struct Write {
  Verb verb = Verb::kCreate;
  Target target;
  Caller caller;
  Json object;  // new state; null for kDelete
  Object old;   // null for kCreate
  bool dry_run = false;
  std::string field_validation;  // as asked for; empty: by the kind
  Shape shape = Shape::kObject;
  std::vector<std::string> warnings;

  bool creates() const { return verb == Verb::kCreate; }
};

// What the built-in kinds get when their fields are left out (defaults.cc). `version` is of
// `object`.
void apply_defaults(const Type& type, Json& object);
// A new pod's service account, with its token volume, mounted in every container (defaults.cc).
void admit_service_account(Json& pod);
// Rules that a schema does not say (validate.cc). `old` is null for a new object.
std::vector<Cause> check_object(const Type& type, const Json& object, const Json* old);

// Custom kinds (custom.cc): structural schemas.
struct SchemaReport {
  std::vector<Cause> causes;
  std::vector<std::string> unknown;  // paths of fields that the schema does not have
  std::map<std::string, std::string, std::less<>> meant;  // by such a path: the likely name
};
// Checks `value` and removes what is unknown (unless preserved); fills defaults.
SchemaReport apply_schema(const Json& schema, Json& value);

// Service addresses and ports (allocate.cc): fills clusterIP(s) and nodePorts, or says why not.
std::vector<Cause> allocate_service(const Store& store, const ApiOptions& options, Json& service,
                                    const Json* old);

// Discovery (discovery.cc); nothing when the path is not one of its own.
std::optional<ApiResponse> discover(const Types& types, const ApiOptions& options,
                                    const ApiRequest& request);

struct Api::Parts {
  Parts(Api& api, Store& store, ApiOptions& options, Types& types);

  // Routing (api.cc).
  std::expected<Target, ApiResponse> route(const ApiRequest& request) const;
  void answer(const ApiRequest& request, Target target, Done done);

  // Reads (read.cc).
  ApiResponse get(const ApiRequest& request, const Target& target);
  ApiResponse list(const ApiRequest& request, const Target& target);
  ApiResponse get_scale(const Target& target);

  // Writes (write.cc, patch.cc, remove.cc).
  std::expected<Json, ApiResponse> decode_body(const ApiRequest& request, const Target& target);
  void create(ApiRequest request, Target target, Done done);
  void update(ApiRequest request, Target target, Done done);
  void patch(ApiRequest request, Target target, int attempts, Done done);
  void remove(ApiRequest request, Target target, Done done);
  void remove_collection(const ApiRequest& request, const Target& target, Done done);
  void evict(const ApiRequest& request, const Target& target, Done done);
  void run(std::shared_ptr<Write> write, Done done);
  // Puts the object into shape and checks what needs no webhook; an answer when it is refused.
  std::optional<ApiResponse> prepare(Write& write);
  std::optional<ApiResponse> check_fields(Write& write);
  std::optional<ApiResponse> check(Write& write);
  ApiResponse store(Write& write);
  ApiResponse dry_answer(Write& write);
  ApiResponse written(const Write& write, const Json& object, int status) const;
  void write_object(ApiRequest& request, Target target, Verb verb, Json object, Object old,
                    Done done);

  // Admission (admission.cc): the mutating or the validating webhooks, one after another.
  using Admitted = std::function<void(std::optional<ApiResponse>)>;
  void admit(std::shared_ptr<Write> write, bool mutating, Admitted done);

  // Reviews and tokens (reviews.cc, tokens.cc).
  ApiResponse review(const ApiRequest& request, const Target& target, Json body);
  Json access_review(const ApiRequest& request, const Json& body) const;
  ApiResponse token_request(const Target& target, const Json& body);

  // What the control plane of Kubernetes does by itself (housekeeping.cc).
  void bootstrap();
  void on_namespace(const Event& event);
  void on_crd(const Event& event);
  void fill_namespace(const std::string& ns);
  void empty_namespace(const std::string& ns);
  void expire_events();

  Api& api_;
  Store& store_;
  ApiOptions& options_;
  Types& types_;
  OpenApi openapi_;
  std::optional<pki::PrivateKey> token_key_;
  std::vector<std::unique_ptr<Watch>> watches_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mizzen::local
