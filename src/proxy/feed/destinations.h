// On-demand scope: the destinations that this proxy has asked the control plane for, by name
// (api::kDestinationType). An answer is kept, misses too, and the control plane says when it is
// another; what is not used goes when there is too much. Main thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "proxy/config/snapshot.h"

namespace mizzen::proxy {

// How long a request or connection waits for an answer.
inline constexpr Duration kDestinationLimit = std::chrono::seconds(1);

// "reviews:9080" of an authority and the port that was called; nothing for what is no host name.
std::optional<std::string> destination_name(std::string_view authority, std::uint16_t port);
// "*:9080": the port as such.
std::string port_name(std::uint16_t port);

class Destinations {
 public:
  static constexpr std::size_t kMost = 10'000;
  static constexpr Duration kMissKept = std::chrono::minutes(10);  // after its last use

  // False when it is asked for already. May forget others that nobody has used for long.
  bool want(std::string_view name, MonoTime now);
  // The control plane's word. `sequence` counts what came before: the configuration that an answer
  // speaks of is among that.
  void answer(std::string_view name, bool there, std::uint64_t sequence, MonoTime now);
  // All that is asked for.
  const std::set<std::string>& names() const { return names_; }
  // What workers may rely on, when all that came up to `live_through` is live. The same pointer
  // while nothing changed.
  const KnownDestinationsRef& known(std::uint64_t live_through);

 private:
  struct Asked {
    std::shared_ptr<KnownDestination> known;  // null: no answer yet
    std::uint64_t sequence = 0;
    bool there = false;
    bool live = false;
    MonoTime since{};
  };
  void forget_idle(MonoTime now);

  std::map<std::string, Asked, std::less<>> asked_;
  std::set<std::string> names_;
  KnownDestinationsRef known_;
  bool stale_ = false;
};

}  // namespace mizzen::proxy
