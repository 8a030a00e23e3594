#include "object/field_error.h"

namespace mizzen::object {

std::string to_string(const FieldError& error) {
  return error.path.empty() ? error.message : error.path + ": " + error.message;
}

std::string to_string(std::span<const FieldError> errors) {
  std::string text;
  for (const FieldError& error : errors) {
    if (!text.empty()) text += '\n';
    text += to_string(error);
  }
  return text;
}

}  // namespace mizzen::object
