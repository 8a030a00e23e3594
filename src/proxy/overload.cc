#include "proxy/overload.h"

#include <sys/resource.h>

namespace mizzen::proxy {
namespace {

// Shares of the limit on descriptors, in percent. A request may need one more, towards a host.
constexpr std::size_t kShedAt = 90;
constexpr std::size_t kRefuseAt = 95;

std::size_t descriptor_limit() {
  rlimit limit{};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

}  // namespace

class Place {
 public:
  Place(Overload::Count* all, Overload::Count* listener) : all_(all), listener_(listener) {}
  Place(const Place&) = delete;
  ~Place() {
    for (Overload::Count* count : {all_, listener_}) {
      if (count != nullptr) count->now.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  static bool take(Overload::Count& count) {
    if (count.now.fetch_add(1, std::memory_order_relaxed) < count.most) return true;
    count.now.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }

 private:
  Overload::Count* all_;
  Overload::Count* listener_;
};

Overload::Overload(ConnectionLimits limits) {
  all_.most = limits.all;
  for (const auto& [name, most] : limits.by_listener) listeners_[name].most = most;
}

Overload::Verdict Overload::admit(std::string_view listener, Exempt exempt, PlaceRef& place) {
  if (!exempt.from_descriptors && level_.load(std::memory_order_relaxed) >= kRefuse) {
    return Verdict::kNoDescriptors;
  }
  if (all_.most == 0 && listeners_.empty()) return Verdict::kAdmitted;
  auto found = listeners_.find(listener);
  Count* own = found == listeners_.end() ? nullptr : &found->second;
  Count* all = all_.most == 0 || exempt.from_all ? nullptr : &all_;
  if (all != nullptr && !Place::take(*all)) return Verdict::kOverAll;
  if (own != nullptr && !Place::take(*own)) {
    if (all != nullptr) all->now.fetch_sub(1, std::memory_order_relaxed);
    return Verdict::kOverListener;
  }
  place = std::make_shared<const Place>(all, own);
  return Verdict::kAdmitted;
}

void Overload::measure(std::size_t descriptors) {
  if (const std::size_t limit = descriptor_limit()) set_descriptors(descriptors, limit);
}

void Overload::set_descriptors(std::size_t open, std::size_t limit) {
  const int level = open * 100 >= limit * kRefuseAt ? kRefuse
                    : open * 100 >= limit * kShedAt ? kShedRequests
                                                    : 0;
  level_.store(level, std::memory_order_relaxed);
}

}  // namespace mizzen::proxy
