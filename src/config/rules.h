// The rules of Istio's validation, kind by kind, on decoded specs. Internal to config.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/validate.h"
#include "object/meta.h"

namespace google::protobuf {
class Duration;
}
namespace mizzen::schema {
class AuthorizationPolicy;
class ConnectionPoolSettings;
class DestinationRule;
class Gateway;
class PeerAuthentication;
class RequestAuthentication;
class ServiceEntry;
class Sidecar;
class VirtualService;
class WorkloadEntry;
class WorkloadGroup;
}  // namespace mizzen::schema

namespace mizzen::config {

// Collects findings; `path` is built by the callers with at().
class Findings {
 public:
  template <class... Args>
  void error(std::string path, fmt::format_string<Args...> format, Args&&... args) {
    out_.errors.push_back({std::move(path), fmt::format(format, std::forward<Args>(args)...),
                           FieldError::Problem::kValue});
  }
  template <class... Args>
  void warn(std::string path, fmt::format_string<Args...> format, Args&&... args) {
    out_.warnings.push_back({std::move(path), fmt::format(format, std::forward<Args>(args)...),
                             FieldError::Problem::kValue});
  }
  Validation take() { return std::move(out_); }
  std::size_t errors() const { return out_.errors.size(); }

 private:
  Validation out_;
};

std::string at(std::string_view path, std::string_view member);
std::string at(std::string_view path, std::string_view member, std::size_t index);

// --- shared checks (rule_parts.cc) -------------------------------------------------------------
bool is_ip(std::string_view text);
bool is_cidr_or_ip(std::string_view text);
// A DNS name, perhaps with `*` or `*.` in front.
void check_host(Findings& out, const std::string& path, std::string_view host,
                bool wildcard = true);
void check_destination_host(Findings& out, const std::string& path, std::string_view host);
void check_port(Findings& out, const std::string& path, std::uint32_t port);
void check_regex(Findings& out, const std::string& path, const std::string& regex);
void check_percent(Findings& out, const std::string& path, double value);
// At least `min_nanos`, which the message shows.
void check_duration(Findings& out, const std::string& path, const google::protobuf::Duration& value,
                    std::int64_t min_nanos = 1'000'000);
void check_export_to(Findings& out, const std::string& path, const std::string& value);
void check_selector_labels(Findings& out, const std::string& path, const object::StringMap& labels);
void check_protocol(Findings& out, const std::string& path, std::string_view protocol);
void check_pool(Findings& out, const std::string& path, const schema::ConnectionPoolSettings& pool);
// `namespace/host`; the namespace may be `*`, `.` or `~` where `hosts` of Sidecar and Gateway allow
// it.
void check_namespaced_host(Findings& out, const std::string& path, std::string_view host,
                           bool namespace_needed);
bool valid_header_name(std::string_view name);

// --- the kinds -----------------------------------------------------------------------------------
void check_virtual_service(Findings& out, const schema::VirtualService& spec);
void check_destination_rule(Findings& out, const schema::DestinationRule& spec);
void check_gateway(Findings& out, const schema::Gateway& spec);
void check_peer_authentication(Findings& out, const schema::PeerAuthentication& spec);
void check_authorization_policy(Findings& out, const schema::AuthorizationPolicy& spec);
void check_request_authentication(Findings& out, const schema::RequestAuthentication& spec);
void check_service_entry(Findings& out, const schema::ServiceEntry& spec);
void check_workload_entry(Findings& out, const schema::WorkloadEntry& spec);
void check_workload_group(Findings& out, const schema::WorkloadGroup& spec);
void check_sidecar(Findings& out, const schema::Sidecar& spec);

}  // namespace mizzen::config
