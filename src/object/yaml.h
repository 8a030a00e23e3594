// YAML as Kubernetes' tools read it, to and from JSON.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "object/json.h"

namespace mizzen::object {

struct YamlDocument {
  Json value;
  int line = 1;  // of its first content, 1-based in the whole text
};

// All documents of a text; empty ones are left out, JSON is YAML. Plain scalars: true/false (and
// True, TRUE), null/~, integers (decimal, 0x, 0o), floats; anything else and everything quoted is a
// string. Anchors, aliases and `<<` work within the limits (an alias counts as its copy). Duplicate
// keys, keys that are not scalars and tags other than the core ones are errors; every error
// names its line.
Result<std::vector<YamlDocument>> parse_yaml(std::string_view text, const Limits& limits = {});

// parse_yaml, with `kind: List` objects replaced by their items.
Result<std::vector<YamlDocument>> parse_manifest(std::string_view text, const Limits& limits = {});

// Block style, keys sorted, strings quoted where a reader would take them for something else:
// what `kubectl get -o yaml` prints.
std::string to_yaml(const Json& value);

}  // namespace mizzen::object
