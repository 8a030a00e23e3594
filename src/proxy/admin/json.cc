#include "proxy/admin/json.h"

#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/json_util.h>

#include "api/schemas.h"

namespace mizzen::proxy {
namespace {

google::protobuf::util::JsonPrintOptions print_options() {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.add_whitespace = true;
  return options;
}

}  // namespace

std::string admin_json(const google::protobuf::Message& message, bool with_defaults) {
  api::register_schemas();
  std::string json;
  auto options = print_options();
  options.always_print_primitive_fields = with_defaults;
  auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  return status.ok() ? json : "{\"error\": \"" + std::string(status.message()) + "\"}\n";
}

bool has_json(const google::protobuf::Message& message) {
  api::register_schemas();
  std::string json;
  return google::protobuf::util::MessageToJsonString(message, &json).ok();
}

void set_timestamp(WallTime time, google::protobuf::Timestamp* to) {
  auto since = time.time_since_epoch();
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
  to->set_seconds(seconds.count());
  // Milliseconds, as Envoy has them.
  auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(since - seconds);
  to->set_nanos(static_cast<std::int32_t>(rest.count() * 1'000'000));
}

}  // namespace mizzen::proxy
