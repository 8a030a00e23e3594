// Kubernetes objects as the model has them. Pure. Internal to control.
#pragma once

#include <string>

#include "control/mesh/model.h"
#include "object/json.h"

namespace mizzen::control {

// Without endpoints.
Service read_service(const object::Json& object, const MeshConfig& mesh);
// Without locality.
Workload read_pod(const object::Json& object);
// "region/zone/subzone" of a node's labels.
std::string read_locality(const Labels& labels);
Labels read_labels(const object::Json* value);
// metadata.creationTimestamp in seconds since 1970; 0 when absent.
std::int64_t read_created(const object::Json& object);
// "namespace/name"
std::string read_key(const object::Json& object);

}  // namespace mizzen::control
