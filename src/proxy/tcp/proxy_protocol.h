// The PROXY protocol, versions 1 and 2, as HAProxy defines it (doc/proxy-protocol.txt): who the
// client behind a load balancer is. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "io/address.h"

namespace mizzen::proxy {

struct ProxyHeader {
  std::size_t size = 0;  // bytes of the header
  io::Address source;    // unset for LOCAL and UNKNOWN: the connection's own addresses count
  io::Address destination;
};
enum class ProxyHeaderStatus { kDone, kNeedMore, kInvalid };
inline constexpr std::size_t kMostProxyHeader = 16 + 65535;

// Reads the header at the start of `bytes`.
ProxyHeaderStatus parse_proxy_header(std::string_view bytes, ProxyHeader& out);

// What a server is told of the connection that its bytes come from. Addresses that are no IP
// addresses of one family make a header that says nothing (UNKNOWN, LOCAL).
enum class ProxyHeaderVersion : std::uint8_t { kV1, kV2 };
std::string make_proxy_header(ProxyHeaderVersion version, const io::Address& source,
                              const io::Address& destination);

}  // namespace mizzen::proxy
