#include "proxy/feed/destinations.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/strings.h"

namespace mizzen::proxy {
namespace {

constexpr std::size_t kLongestHost = 253;

}  // namespace

std::optional<std::string> destination_name(std::string_view authority, std::uint16_t port) {
  std::string_view host = authority;
  const bool literal = host.starts_with('[');
  const std::size_t end = literal ? host.find(']') : host.rfind(':');
  if (literal && end == std::string_view::npos) return std::nullopt;
  if (end != std::string_view::npos) host = host.substr(0, literal ? end + 1 : end);
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.size() > kLongestHost) return std::nullopt;
  const std::string name = lower(host);
  const std::string_view signs = literal ? "[]:." : "-._";
  const bool clean = std::ranges::all_of(name, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           signs.find(c) != std::string_view::npos;
  });
  if (!clean) return std::nullopt;
  return fmt::format("{}:{}", name, port);
}

std::string port_name(std::uint16_t port) { return fmt::format("*:{}", port); }

// Without an answer for long the control plane is away: nothing is forgotten then, since nobody
// would tell it again.
void Destinations::forget_idle(MonoTime now) {
  std::vector<std::pair<MonoTime, const std::string*>> by_use;
  for (const auto& [name, asked] : asked_) {
    if (asked.known == nullptr) continue;
    const MonoTime used = std::max(asked.since, asked.known->last_use());
    if (!asked.there && now - used > kMissKept) {
      by_use.emplace_back(MonoTime::min(), &name);
    } else if (asked_.size() >= kMost && !name.starts_with('*')) {
      by_use.emplace_back(used, &name);
    }
  }
  std::ranges::sort(by_use, {}, [](const auto& pair) { return pair.first; });
  for (std::size_t i = 0; i < by_use.size(); ++i) {
    const bool surplus = i < kMost / 10 && asked_.size() > kMost - kMost / 10;
    if (by_use[i].first != MonoTime::min() && !surplus) break;
    const std::string name = *by_use[i].second;
    asked_.erase(name);
    names_.erase(name);
    stale_ = true;
  }
}

bool Destinations::want(std::string_view name, MonoTime now) {
  if (asked_.contains(name)) return false;
  if (asked_.size() % 100 == 99 || asked_.size() >= kMost) forget_idle(now);
  if (asked_.size() >= kMost) return false;
  asked_[std::string(name)].since = now;
  names_.emplace(name);
  return true;
}

void Destinations::answer(std::string_view name, bool there, std::uint64_t sequence, MonoTime now) {
  const auto found = asked_.find(name);
  if (found == asked_.end()) return;
  Asked& asked = found->second;
  if (asked.known == nullptr) {
    asked.known = std::make_shared<KnownDestination>();
    asked.since = now;
  }
  // What was known stays so: a request for it need not wait.
  asked.there = there;
  asked.sequence = there ? sequence : 0;
}

const KnownDestinationsRef& Destinations::known(std::uint64_t live_through) {
  for (auto& [name, asked] : asked_) {
    if (asked.known == nullptr || asked.live || asked.sequence > live_through) continue;
    asked.live = true;
    stale_ = true;
  }
  if (!stale_) return known_;
  stale_ = false;
  auto made = std::make_shared<KnownDestinations>();
  for (const auto& [name, asked] : asked_) {
    if (asked.live) made->emplace(name, asked.known);
  }
  known_ = std::move(made);
  return known_;
}

}  // namespace mizzen::proxy
