// HBONE, the tunnel of Istio's ambient mode: a byte stream inside of an HTTP/2 CONNECT over mutual
// TLS, to port 15008 of the host. This is the side that opens it; the side where it ends is
// connect_call.h.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "io/stream.h"
#include "proxy/upstream.h"

namespace mizzen::proxy {

inline constexpr std::uint16_t kHbonePort = 15008;

// An attempt under way; destroying it abandons the attempt.
class HboneDial {
 public:
  using Done = std::function<void(std::expected<std::unique_ptr<io::Stream>, UpstreamFailure>)>;
  virtual ~HboneDial() = default;
};

// Asks the peer of `transport` (open, HTTP/2) for a tunnel to `authority` ("10.1.0.7:8080"). Calls
// `done` once, never from inside. The stream that it gets owns the transport, and tells its TLS
// facts as its own.
std::unique_ptr<HboneDial> open_hbone(io::Loop& loop, std::unique_ptr<io::Stream> transport,
                                      std::string_view authority, HboneDial::Done done);

}  // namespace mizzen::proxy
