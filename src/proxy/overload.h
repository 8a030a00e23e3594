// Limits on what comes from downstream, over all workers, and what gives way when descriptors run
// short: first requests (503, flag OM), then connections.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace mizzen::proxy {

// As Envoy's runtime has them: overload.global_downstream_max_connections and
// envoy.resource_limits.listener.NAME.connection_limit. 0 and absent: none.
struct ConnectionLimits {
  std::uint32_t all = 0;
  std::map<std::string, std::uint32_t, std::less<>> by_listener;
};

// A connection's place in the limits; given back when the last one lets go. Null where nothing is
// limited.
class Place;
using PlaceRef = std::shared_ptr<const Place>;

// Made once, with its workers. Any thread.
class Overload {
 public:
  explicit Overload(ConnectionLimits limits);

  enum class Verdict : std::uint8_t { kAdmitted, kOverAll, kOverListener, kNoDescriptors };
  // What does not hold for a listener.
  struct Exempt {
    bool from_all = false;          // ConnectionLimits::all
    bool from_descriptors = false;  // refusal when they run short
  };
  // For a new connection at `listener`; fills `place` when there are limits.
  Verdict admit(std::string_view listener, Exempt exempt, PlaceRef& place);
  // New requests are answered by the proxy itself.
  bool sheds_requests() const { return level_.load(std::memory_order_relaxed) >= kShedRequests; }

  // Compares the descriptors that are open with the process's limit; from the main thread, now and
  // then.
  void measure(std::size_t descriptors);
  void set_descriptors(std::size_t open, std::size_t limit);  // the comparison alone

 private:
  friend class Place;
  struct Count {
    std::atomic<std::uint32_t> now{0};
    std::uint32_t most = 0;
  };
  static constexpr int kShedRequests = 1;
  static constexpr int kRefuse = 2;

  Count all_;
  std::map<std::string, Count, std::less<>> listeners_;
  std::atomic<int> level_{0};
};

}  // namespace mizzen::proxy
