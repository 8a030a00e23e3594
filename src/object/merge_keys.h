// How Kubernetes merges the lists of its own types. Internal to object.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "object/json.h"

namespace mizzen::object {

// Names of the members from the object's root to the list; list positions are not in it.
using FieldPath = std::vector<std::string>;

// The members that identify an item of the list at `path`; empty when the list is replaced whole.
// The strategic merge patch uses the first one, server-side apply all of them.
std::vector<std::string_view> merge_keys(std::string_view kind, const FieldPath& path);

// Lists of plain values that merge as sets.
bool merges_as_set(const FieldPath& path);

// The item of `list` whose `keys` equal those of `like`, or -1. An absent `protocol` is TCP.
int find_item(const Json& list, const std::vector<std::string_view>& keys, const Json& like);

}  // namespace mizzen::object
