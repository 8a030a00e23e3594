// For tests: objects as YAML, and into a store with them.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "control/mesh/store.h"
#include "object/yaml.h"

namespace mizzen::control {

// Every document; what the last one changed.
inline Change put(Store& store, std::string_view yaml) {
  const auto documents = object::parse_manifest(yaml);
  EXPECT_TRUE(documents);
  Change change = Change::kNone;
  if (!documents) return change;
  for (const object::YamlDocument& document : *documents) change = store.apply(document.value);
  return change;
}

// `port` as "name: http, port: 80"; "None" as address makes it headless.
inline std::string service_yaml(std::string_view name, std::string_view name_space,
                                std::string_view address, std::string_view port) {
  return fmt::format(
      "apiVersion: v1\nkind: Service\nmetadata: {{name: {}, namespace: {}}}\n"
      "spec: {{clusterIP: {}, ports: [{{{}}}]}}\n---\n",
      name, name_space, address, port);
}

// `endpoints` as "{addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}".
inline std::string slice_yaml(std::string_view service, std::string_view name_space,
                              std::string_view port, std::string_view endpoints) {
  return fmt::format(
      "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
      "metadata: {{name: {0}-1, namespace: {1}, labels: {{kubernetes.io/service-name: {0}}}}}\n"
      "ports: [{{{2}}}]\nendpoints: [{3}]\n---\n",
      service, name_space, port, endpoints);
}

}  // namespace mizzen::control
