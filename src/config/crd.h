// CustomResourceDefinitions of Istio's kinds, generated from their schemas.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/kinds.h"
#include "object/json.h"

namespace mizzen::config {

// One apiextensions.k8s.io/v1 CustomResourceDefinition per custom kind, ready for `kubectl apply`.
std::vector<object::Json> crds();

// The openAPIV3Schema of a message, structural as Kubernetes wants it.
object::Json openapi_schema(const google::protobuf::Descriptor& type);

// What stands as `$ref` for a message.
using SchemaRef = std::function<std::string(const google::protobuf::Descriptor&)>;
// The schema of one message, with references in place of the messages in it.
object::Json openapi_definition(const google::protobuf::Descriptor& type, const SchemaRef& ref);

}  // namespace mizzen::config
