// Reading and writing an object's `metadata` in place.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "object/json.h"
#include "object/kind.h"

namespace mizzen::object {

using StringMap = std::map<std::string, std::string, std::less<>>;

struct OwnerReference {
  std::string api_version;
  std::string kind;
  std::string name;
  std::string uid;
  bool controller = false;
  bool block_owner_deletion = false;
};

// A plain copy of the metadata that programs look at. Members of a wrong type read as absent.
struct Meta {
  std::string name;
  std::string ns;
  std::string generate_name;
  std::string uid;
  std::string resource_version;
  std::int64_t generation = 0;
  StringMap labels;
  StringMap annotations;
  std::optional<WallTime> creation;
  std::optional<WallTime> deletion;  // set: the object is on its way out
  std::optional<std::int64_t> deletion_grace_seconds;
  std::vector<OwnerReference> owners;
  std::vector<std::string> finalizers;

  Key key() const { return {ns, name}; }
  const OwnerReference* controller() const;  // the owner with `controller: true`, or nullptr
};
Meta meta_of(const Json& object);

// Single members, without the copy of everything. Absent reads as empty.
std::string name_of(const Json& object);
std::string namespace_of(const Json& object);
std::string uid_of(const Json& object);
std::string resource_version_of(const Json& object);
Key key_of(const Json& object);
StringMap labels_of(const Json& object);
std::optional<std::string> label_of(const Json& object, std::string_view key);
std::optional<std::string> annotation_of(const Json& object, std::string_view key);

// Any object member that maps strings to strings (`spec.selector`, `data`).
StringMap string_map(const Json* value);

// `metadata` itself, created when absent.
Json& metadata(Json& object);
void set_label(Json& object, std::string_view key, std::string_view value);
void set_annotation(Json& object, std::string_view key, std::string_view value);
Json owner_reference(const Json& owner, bool controller = true);

// RFC 3339 with optional fraction and zone, as `metadata` and Lease times have it.
std::optional<WallTime> parse_time(std::string_view text);

// Age as kubectl prints it: 59s, 5m, 3m20s, 4h5m, 2d3h, 5d, 2y10d.
std::string human_duration(Duration duration);

}  // namespace mizzen::object
