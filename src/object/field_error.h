// What is wrong with one field of an object.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mizzen::object {

struct FieldError {
  enum class Problem : std::uint8_t {
    kUnknown,   // no such field: Kubernetes' strict mode refuses it, others only warn
    kType,      // a value of the wrong JSON type, or one that does not parse
    kValue,     // well-formed but not allowed
    kRequired,  // missing
    kConflict,  // two fields that exclude each other
    kLimit,
  };
  std::string path;     // `spec.http[0].route[1].weight`
  std::string message;  // what is wrong and what to write instead
  Problem problem = Problem::kValue;
};

// `path: message`, one per line.
std::string to_string(const FieldError& error);
std::string to_string(std::span<const FieldError> errors);

// The entry of `names` that `word` most likely means; empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& names);

}  // namespace mizzen::object
