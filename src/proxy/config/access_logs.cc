#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/struct_json.h"
#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb.h"
#include "proxy/config/format.h"
#include "proxy/config/parts.h"

namespace mizzen::proxy {
namespace {

namespace loggers = envoy::extensions::access_loggers;
using nlohmann::json;

// Envoy's own default, for logs that say nothing about their format.
constexpr std::string_view kDefaultFormat =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

// Every request passes not_health_check_filter: only Envoy's health_check filter marks some, which
// is not supported.
Status compile_log_filter(const envoy::config::accesslog::v3::AccessLogFilter& filter,
                          AccessLog& to) {
  if (filter.has_response_flag_filter()) {
    const auto& flags = filter.response_flag_filter().flags();
    to.only_flags.assign(flags.begin(), flags.end());
  } else if (filter.has_status_code_filter()) {
    using Comparison = envoy::config::accesslog::v3::ComparisonFilter;
    const auto& comparison = filter.status_code_filter().comparison();
    if (comparison.op() != Comparison::GE) {
      return fail(Code::kUnsupported, "filter.status_code_filter: only GE is supported");
    }
    to.minimum_status = static_cast<std::uint16_t>(comparison.value().default_value());
  }
  return {};
}

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Text of JSON as far as it is always the same, cut where a format's value comes in.
class JsonTemplate {
 public:
  explicit JsonTemplate(std::vector<AccessLog::JsonPart>& parts) : parts_(parts) {}

  Status add(const json& value) {
    if (value.is_string()) return add_text(value.get_ref<const std::string&>());
    if (!value.is_structured()) {
      text_ += text_of(value);
      return {};
    }
    const bool object = value.is_object();
    text_ += object ? '{' : '[';
    bool first = true;
    for (const auto& [key, member] : value.items()) {
      if (!std::exchange(first, false)) text_ += ',';
      if (object) text_ += text_of(key) + ':';
      MIZZEN_CHECKED(add(member));
    }
    text_ += object ? '}' : ']';
    return {};
  }
  void end() { parts_.push_back({std::move(text_), {}}); }

 private:
  Status add_text(const std::string& text) {
    if (text.find('%') == std::string::npos) {
      text_ += text_of(text);
      return {};
    }
    MIZZEN_CHECKED(parse_format(text));
    parts_.push_back({std::exchange(text_, {}), text});
    return {};
  }

  std::vector<AccessLog::JsonPart>& parts_;
  std::string text_;
};

// Members are sorted by name, as Envoy's are.
Status compile_json_format(const google::protobuf::Struct& format, AccessLog& to) {
  const json object = api::struct_to_json(format);
  to.format = '\0' + text_of(object);
  to.json.clear();
  JsonTemplate made(to.json);
  MIZZEN_CHECKED(made.add(object));
  made.end();
  return {};
}

Status compile_log_format(const envoy::config::core::v3::SubstitutionFormatString& format,
                          AccessLog& to) {
  if (format.has_json_format()) return compile_json_format(format.json_format(), to);
  to.json.clear();
  to.format = format.text_format();
  if (format.has_text_format_source()) {
    MIZZEN_TRY(to.format, data_of(format.text_format_source()));
  }
  return {};
}

Result<AccessLog> compile_access_log(const envoy::config::accesslog::v3::AccessLog& log,
                                     const CompileContext& context) {
  AccessLog made;
  const auto& any = log.typed_config();
  if (any.Is<loggers::file::v3::FileAccessLog>()) {
    MIZZEN_TRY(auto file, unpack<loggers::file::v3::FileAccessLog>(any, context));
    made.path = file.path();
    made.format = file.format();
    if (file.has_json_format()) MIZZEN_CHECKED(compile_json_format(file.json_format(), made));
    if (file.has_typed_json_format()) {
      MIZZEN_CHECKED(compile_json_format(file.typed_json_format(), made));
    }
    if (file.has_log_format()) MIZZEN_CHECKED(compile_log_format(file.log_format(), made));
  } else if (any.Is<loggers::stream::v3::StdoutAccessLog>()) {
    MIZZEN_TRY(auto stream, unpack<loggers::stream::v3::StdoutAccessLog>(any, context));
    made.path = "/dev/stdout";
    MIZZEN_CHECKED(compile_log_format(stream.log_format(), made));
  } else if (any.Is<loggers::stream::v3::StderrAccessLog>()) {
    MIZZEN_TRY(auto stream, unpack<loggers::stream::v3::StderrAccessLog>(any, context));
    made.path = "/dev/stderr";
    MIZZEN_CHECKED(compile_log_format(stream.log_format(), made));
  } else {
    return fail(Code::kUnsupported, fmt::format("'{}' ({}) is not supported by this proxy",
                                                log.name(), any.type_url()));
  }
  if (made.format.empty()) made.format = kDefaultFormat;
  if (made.json.empty()) MIZZEN_CHECKED(parse_format(made.format));
  MIZZEN_CHECKED(compile_log_filter(log.filter(), made));
  return made;
}

}  // namespace

Result<std::vector<AccessLog>> compile_access_logs(const AccessLogProtos& logs,
                                                   const CompileContext& context) {
  std::vector<AccessLog> made;
  for (int i = 0; i < logs.size(); ++i) {
    auto log = compile_access_log(logs[i], context);
    if (!log) return std::unexpected(log.error().in(fmt::format("access_log[{}]", i)));
    made.push_back(std::move(*log));
  }
  return made;
}

}  // namespace mizzen::proxy
