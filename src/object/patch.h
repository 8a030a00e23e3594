// The patch types of the Kubernetes API.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "object/json.h"

namespace mizzen::object {

// application/merge-patch+json, RFC 7386.
void merge_patch(Json& target, const Json& patch);

// application/json-patch+json, RFC 6902: add, remove, replace, move, copy, test. All or nothing;
// a failed `test` is Code::kConflict. Adding below a missing parent is an error, as the RFC says.
Status json_patch(Json& target, const Json& patch);

// application/strategic-merge-patch+json: lists merge by the keys that Kubernetes gives its own
// types (`containers` by name, Service `ports` by port, ...), found by the field's place.
// Understands $patch: replace|delete|merge, $deleteFromPrimitiveList/x, $setElementOrder/x,
// $retainKeys. `kind` is the object's kind ("Deployment"), which decides ambiguous names.
Status strategic_merge_patch(Json& target, const Json& patch, std::string_view kind);

// application/apply-patch+yaml in a simple form: the applied fields of `manager` are merged in
// (lists by the same keys), fields that this manager had applied before and now leaves out are
// removed unless another manager's `managedFields` entry also has them, and a field whose value
// another Apply manager holds differently is a kConflict unless `force`.
// `managedFields` are kept in Kubernetes' FieldsV1 form. `now` is RFC 3339.
Status apply_patch(Json& target, const Json& applied, std::string_view manager, bool force,
                   std::string_view now);

// The patch (RFC 7386) that turns `from` into `to`.
Json diff_merge(const Json& from, const Json& to);

}  // namespace mizzen::object
