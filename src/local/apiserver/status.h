// Errors as the Kubernetes API words them: metav1.Status.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "local/apiserver/api.h"
#include "local/apiserver/types.h"
#include "object/field_error.h"

namespace mizzen::local {

// One of details.causes. `reason`: "FieldValueRequired", "FieldValueInvalid", ...
struct Cause {
  std::string reason;
  std::string message;  // with its prefix: "Required value", "Invalid value: ...: ..."
  std::string field;
};
Cause required(std::string field, std::string_view what = {});
Cause invalid_value(std::string field, const Json& value, std::string_view what);
Cause not_supported(std::string field, const Json& value, std::string_view allowed);
Cause forbidden_value(std::string field, std::string_view what);
Cause duplicate_value(std::string field, const Json& value);
Cause from_field_error(const object::FieldError& error);

Json status_object(int code, std::string_view reason, std::string_view message,
                   Json details = nullptr);
ApiResponse status_response(int code, std::string_view reason, std::string_view message,
                            Json details = nullptr);

ApiResponse not_found(const Type& type, std::string_view name);
ApiResponse path_not_found();
ApiResponse already_exists(const Type& type, std::string_view name);
ApiResponse conflict(const Type& type, std::string_view name, std::string_view what);
ApiResponse invalid(const Type& type, std::string_view name, std::span<const Cause> causes);
ApiResponse bad_request(std::string_view message);
ApiResponse forbidden(const Type& type, std::string_view name, std::string_view what);
ApiResponse method_not_allowed();
ApiResponse gone(std::string_view message);
// A store's error, for an operation on `name`.
ApiResponse from_error(const Type& type, std::string_view name, const Error& error);

}  // namespace mizzen::local
