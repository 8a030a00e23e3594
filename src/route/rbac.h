// Role based access control as a pure function: rules and a request with its connection's facts in,
// a verdict with the deciding policy out. From envoy.config.rbac.v3.RBAC.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "route/match.h"
#include "route/matchers.h"

namespace mizzen::route {

// What the connection knows. All views live as long as the connection.
struct ConnectionView {
  std::string_view destination_ip;  // packed bytes, 4 or 16
  std::uint16_t destination_port = 0;
  std::string_view direct_source_ip;  // packed
  std::string_view remote_ip;         // packed; after x-forwarded-for
  std::string_view server_name;
  // URI SANs of the peer, then DNS SANs, then subject; the caller's.
  std::span<const std::string_view> principals;
  bool tls = false;  // mutual TLS with a verified certificate
};

// Dynamic metadata of other filters (JWT claims): a value by filter and path, or nothing.
class MetadataView {
 public:
  virtual ~MetadataView() = default;
  // Every string reachable at `path` (a list gives several). Empty when absent.
  virtual std::vector<std::string> values(std::string_view filter,
                                          const std::vector<std::string>& path) const = 0;
};

struct RbacRule {  // a Permission or a Principal
  enum class Kind : std::uint8_t {
    kAny,
    kAnd,
    kOr,
    kNot,
    kHeader,
    kPath,
    kDestinationIp,
    kDestinationPort,
    kDestinationPortRange,
    kServerName,
    kMetadata,
    kAuthenticated,
    kDirectSourceIp,
    kRemoteIp,
  };
  Kind kind = Kind::kAny;
  std::vector<RbacRule> rules;  // kAnd, kOr, kNot (one)
  HeaderMatcher header;
  std::optional<StringMatcher> text;  // kPath, kServerName, kAuthenticated (absent: any identity)
  std::string ip;                     // packed
  std::uint8_t prefix_length = 0;
  std::uint32_t port_start = 0;  // [start, end)
  std::uint32_t port_end = 0;
  std::string metadata_filter;
  std::vector<std::string> metadata_path;
  std::optional<StringMatcher> metadata_value;  // absent: presence
  bool invert = false;                          // kMetadata
};

struct RbacPolicy {
  std::vector<RbacRule> permissions;  // one must hold
  std::vector<RbacRule> principals;   // one must hold
};

struct Rbac {
  enum class Action : std::uint8_t { kAllow, kDeny, kLog };
  Action action = Action::kAllow;
  std::map<std::string, RbacPolicy> policies;  // in the order of their names, as Envoy looks
};

struct RbacVerdict {
  bool allowed = true;
  std::string_view policy;  // the one that matched; empty for none
};

// `request` is null for a TCP connection: rules about headers and paths then do not hold.
RbacVerdict evaluate(const Rbac& rbac, const ConnectionView& connection, const RequestView* request,
                     const MetadataView* metadata);

}  // namespace mizzen::route
