// Reading a proxy's config_dump (envoy.admin.v3.ConfigDump in JSON) for the tables of proxy-config.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mizzen::cli {

using Json = nlohmann::json;

// The resources of one section, each as its own message (Listener, Cluster, RouteConfiguration,
// ClusterLoadAssignment), static ones first. Null members are left out.
class Dump {
 public:
  // Errors: text that is not a config_dump.
  static Result<Dump> parse(std::string_view text);

  std::vector<Json> listeners() const;
  std::vector<Json> clusters() const;
  std::vector<Json> routes() const;
  std::vector<Json> endpoints() const;
  // The entries of the secrets section, with `name`, `secret` and a `state`: ACTIVE or WARMING.
  std::vector<Json> secrets() const;
  // The bootstrap section, or null.
  Json bootstrap() const;

 private:
  explicit Dump(Json sections) : sections_(std::move(sections)) {}
  const Json* section(std::string_view type) const;
  std::vector<Json> collect(std::string_view type, std::string_view list, std::string_view state,
                            std::string_view resource) const;
  Json sections_;
};

// Value at a path of keys; null when a step is missing.
const Json& at(const Json& value, std::initializer_list<const char*> path);
std::string text_at(const Json& value, std::initializer_list<const char*> path);
// A message with its fields' names as protobuf's JSON has them, and istioctl prints them
// ("numRetries"); a proxy's pages have those of the .proto files. Keys of maps and of free-form
// structs stay.
Json with_json_names(const Json& message);
// `metadata.filter_metadata.istio.config` ends in "/<namespace>/<kind>/<name>": gives
// "<name>.<namespace>".
std::string istio_config_of(const Json& resource);

}  // namespace mizzen::cli
