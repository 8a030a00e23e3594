// Is a resource right? Structure by its schema, then the rules of Istio's validation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/kinds.h"
#include "object/field_error.h"
#include "object/json.h"

namespace mizzen::config {

using object::FieldError;
using object::Json;

struct Validation {
  std::vector<FieldError> errors;    // the object is to be refused
  std::vector<FieldError> warnings;  // it works, but surely not as meant
};

// `object` is a whole one with apiVersion, kind, metadata and spec. Pure; any thread.
Validation validate(const Kind& kind, const Json& object);
// Finds the kind first; an unknown one is an error at path `kind`.
Validation validate(const Json& object);

// Fields that `object` sets and that this release does not act on yet, as paths in document order.
std::vector<std::string> unacted_fields(const Kind& kind, const Json& object);

// The same for the mesh configuration (key `mesh` of ConfigMap `istio`) and for a ProxyConfig in it
// or in the annotation `proxy.istio.io/config`.
std::vector<std::string> unacted_mesh_fields(const Json& mesh);
std::vector<std::string> unacted_proxy_fields(const Json& config);

// Rewrites names that older releases of Istio used
// (`spec.trafficPolicy.outlierDetection.consecutiveErrors`, load balancer LEAST_CONN, ...) to
// today's, in place. validate and control's parsers call it themselves.
void modernise(const Kind& kind, Json& object);

}  // namespace mizzen::config
