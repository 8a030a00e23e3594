#include "local/apiserver/status.h"

#include <fmt/core.h>

namespace mizzen::local {

namespace {

Json details_of(const Type& type, std::string_view name) {
  Json details = Json::object();
  if (!name.empty()) details["name"] = name;
  if (!type.group.empty()) details["group"] = type.group;
  details["kind"] = type.plural;
  return details;
}

std::string shown(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Cause required(std::string field, std::string_view what) {
  return {"FieldValueRequired",
          what.empty() ? "Required value" : fmt::format("Required value: {}", what),
          std::move(field)};
}
Cause invalid_value(std::string field, const Json& value, std::string_view what) {
  return {"FieldValueInvalid", fmt::format("Invalid value: {}: {}", shown(value), what),
          std::move(field)};
}
Cause not_supported(std::string field, const Json& value, std::string_view allowed) {
  return {"FieldValueNotSupported",
          fmt::format("Unsupported value: {}: supported values: {}", shown(value), allowed),
          std::move(field)};
}
Cause forbidden_value(std::string field, std::string_view what) {
  return {"FieldValueForbidden", fmt::format("Forbidden: {}", what), std::move(field)};
}
Cause duplicate_value(std::string field, const Json& value) {
  return {"FieldValueDuplicate", fmt::format("Duplicate value: {}", shown(value)),
          std::move(field)};
}
Cause from_field_error(const object::FieldError& error) {
  using Problem = object::FieldError::Problem;
  if (error.problem == Problem::kRequired) return required(error.path, error.message);
  if (error.problem == Problem::kConflict) return forbidden_value(error.path, error.message);
  return {"FieldValueInvalid", fmt::format("Invalid value: {}", error.message), error.path};
}

Json status_object(int code, std::string_view reason, std::string_view message, Json details) {
  Json status = {{"kind", "Status"},
                 {"apiVersion", "v1"},
                 {"metadata", Json::object()},
                 {"status", code < 400 ? "Success" : "Failure"},
                 {"code", code}};
  if (!message.empty()) status["message"] = message;
  if (!reason.empty()) status["reason"] = reason;
  if (!details.is_null()) status["details"] = std::move(details);
  return status;
}

ApiResponse status_response(int code, std::string_view reason, std::string_view message,
                            Json details) {
  ApiResponse response;
  response.status = code;
  response.body = shown(status_object(code, reason, message, std::move(details))) + "\n";
  return response;
}

ApiResponse not_found(const Type& type, std::string_view name) {
  return status_response(404, "NotFound", fmt::format("{} \"{}\" not found", type.resource(), name),
                         details_of(type, name));
}
ApiResponse path_not_found() {
  return status_response(404, "NotFound", "the server could not find the requested resource",
                         Json::object());
}
ApiResponse already_exists(const Type& type, std::string_view name) {
  return status_response(409, "AlreadyExists",
                         fmt::format("{} \"{}\" already exists", type.resource(), name),
                         details_of(type, name));
}
ApiResponse conflict(const Type& type, std::string_view name, std::string_view what) {
  return status_response(
      409, "Conflict",
      fmt::format("Operation cannot be fulfilled on {} \"{}\": {}", type.resource(), name, what),
      details_of(type, name));
}

ApiResponse invalid(const Type& type, std::string_view name, std::span<const Cause> causes) {
  Json details = details_of(type, name);
  details["kind"] = type.kind;
  std::string text;
  for (const Cause& cause : causes) {
    details["causes"].push_back(
        {{"reason", cause.reason}, {"message", cause.message}, {"field", cause.field}});
    if (!text.empty()) text += ", ";
    text += cause.field + ": " + cause.message;
  }
  if (causes.size() > 1) text = "[" + text + "]";
  const std::string kind = type.group.empty() ? type.kind : type.kind + "." + type.group;
  return status_response(422, "Invalid", fmt::format("{} \"{}\" is invalid: {}", kind, name, text),
                         std::move(details));
}

ApiResponse bad_request(std::string_view message) {
  return status_response(400, "BadRequest", message);
}
ApiResponse forbidden(const Type& type, std::string_view name, std::string_view what) {
  return status_response(403, "Forbidden",
                         fmt::format("{} \"{}\" is forbidden: {}", type.resource(), name, what),
                         details_of(type, name));
}
ApiResponse method_not_allowed() {
  return status_response(405, "MethodNotAllowed",
                         "the server does not allow this method on the requested resource",
                         Json::object());
}
ApiResponse gone(std::string_view message) { return status_response(410, "Expired", message); }

ApiResponse from_error(const Type& type, std::string_view name, const Error& error) {
  switch (error.code) {
    case Code::kNotFound:
      if (error.message.starts_with("namespaces ")) {
        return status_response(404, "NotFound", error.message, {{"kind", "namespaces"}});
      }
      return not_found(type, name);
    case Code::kExists:
      return already_exists(type, name.empty() ? error.message : name);
    case Code::kConflict:
      return conflict(type, name, error.message);
    case Code::kDenied:
      return forbidden(type, name, error.message);
    case Code::kLimit:
      return gone(error.message);
    case Code::kInvalid: {
      const Cause cause = required("metadata.name", error.message);
      return invalid(type, name, {&cause, 1});
    }
    case Code::kTimeout:
      return status_response(504, "Timeout", error.message);
    case Code::kUnavailable:
      return status_response(503, "ServiceUnavailable", error.message);
    default:
      return status_response(500, "InternalError", "Internal error occurred: " + error.message);
  }
}

}  // namespace mizzen::local
