// JSON to and from protobuf messages, driven by descriptors: the only parser of configuration.
//
// Differences from protobuf's own JSON mapping, all of them Kubernetes' or Istio's ways:
// - every error is collected, with its path; unknown fields come with a suggestion;
// - google.protobuf.Duration is Go's form: "3m", "200ms", "1h30m", "1.5s"; written the same way;
// - messages with a member `metadata` of type ObjectMeta also take `apiVersion` and `kind`;
// - special messages by name (package mizzen.schema.meta): IntOrString (5 or "http"), Quantity
//   ("100m", 2), Time and MicroTime (RFC 3339), Duration ("1m"), Raw (any JSON, kept as bytes);
// - a field is named by its json_name or its proto name; fields without presence are left out of
//   the output when they hold their default.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "object/field_error.h"
#include "object/json.h"

namespace google::protobuf {
class Descriptor;
class Message;
}  // namespace google::protobuf

namespace mizzen::object {

struct DecodeOptions {
  std::string_view root;  // put before every path
  int max_depth = 64;
  std::size_t max_errors = 100;  // no more are collected
};

// Fills `message` (cleared first) with all that is well-formed in `json`; the errors in the order
// of the document's keys. With only kUnknown errors the message is complete apart from those
// fields.
std::vector<FieldError> decode(const Json& json, google::protobuf::Message* message,
                               const DecodeOptions& options = {});

Json encode(const google::protobuf::Message& message);

// Only the errors, without a message at hand.
std::vector<FieldError> check(const Json& json, const google::protobuf::Descriptor& type,
                              const DecodeOptions& options = {});

// Go's duration text, in nanoseconds; nothing for malformed or overflowing ones.
bool parse_go_duration(std::string_view text, std::int64_t* nanos);
std::string go_duration(std::int64_t nanos);

// Kubernetes' resource.Quantity: "100m", "1.5Gi", "2e3". In thousandths, rounded up; nothing when
// malformed.
bool parse_quantity(std::string_view text, std::int64_t* thousandths);

// A Kubernetes protobuf body: "k8s\0" and runtime.Unknown around one message.
struct ProtobufEnvelope {
  std::string api_version;
  std::string kind;
  std::string raw;  // the message itself
};
bool is_kubernetes_protobuf(std::string_view body);
Result<ProtobufEnvelope> open_kubernetes_protobuf(std::string_view body);
// The message in `raw` as JSON with apiVersion and kind. `type` must be of the generated pool.
Result<Json> decode_kubernetes_protobuf(const ProtobufEnvelope& envelope,
                                        const google::protobuf::Descriptor& type);
// The way back, for clients that accept application/vnd.kubernetes.protobuf.
Result<std::string> encode_kubernetes_protobuf(const Json& object,
                                               const google::protobuf::Descriptor& type);

}  // namespace mizzen::object
