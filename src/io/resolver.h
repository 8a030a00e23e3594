// Names to addresses without blocking the loop (c-ares): /etc/hosts, search domains, A and AAAA.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/address.h"
#include "io/loop.h"

namespace mizzen::io {

struct Resolved {
  std::vector<Address> addresses;  // port as asked; IPv4 and IPv6 in the order of RFC 6724
  Duration ttl{};                  // of the shortest-lived record; 0 from /etc/hosts
};

enum class ResolveFamily : std::uint8_t { kAny, kIpv4, kIpv6 };

struct ResolverOptions {
  std::vector<Address> servers;                // instead of /etc/resolv.conf's
  Duration timeout = std::chrono::seconds(2);  // of one try
  int tries = 3;
};

// Loop thread only. Destroying abandons what is asked; the callbacks are not called then.
class Resolver {
 public:
  static Result<std::unique_ptr<Resolver>> make(Loop& loop, const ResolverOptions& options = {});
  virtual ~Resolver() = default;

  using Done = std::function<void(Result<Resolved>)>;
  // Calls `done` once, never before returning. An IP literal is answered as it is. Errors:
  // kNotFound, kTimeout, kUnavailable.
  virtual void resolve(std::string_view host, std::uint16_t port, ResolveFamily family,
                       Done done) = 0;
};

}  // namespace mizzen::io
