#include "proxy/upstream/limits.h"

#include <string>

#include "proxy/upstream.h"

namespace mizzen::proxy {

std::shared_ptr<upstream::ClusterCounters> SharedLimits::of(std::string_view cluster) {
  std::lock_guard lock(mutex_);
  auto found = clusters_.find(cluster);
  if (found == clusters_.end()) {
    found = clusters_.emplace(std::string(cluster), std::make_shared<upstream::ClusterCounters>())
                .first;
  }
  return found->second;
}

std::shared_ptr<upstream::ClusterCounters> SharedLimits::find(std::string_view cluster) const {
  std::lock_guard lock(mutex_);
  auto found = clusters_.find(cluster);
  return found == clusters_.end() ? nullptr : found->second;
}

void SharedLimits::add_worker(io::Loop& loop, const void* worker, Release release) {
  std::lock_guard lock(mutex_);
  workers_.push_back({&loop, worker, std::make_shared<Release>(std::move(release))});
}

void SharedLimits::remove_worker(const void* worker) {
  std::lock_guard lock(mutex_);
  std::erase_if(workers_, [worker](const Member& member) { return member.worker == worker; });
}

void SharedLimits::ask_for_release(const void* from, const std::string& cluster) {
  std::lock_guard lock(mutex_);
  for (const Member& member : workers_) {
    if (member.worker == from) continue;
    // A worker that has gone meanwhile took the other owner of its function along.
    member.loop->post([release = std::weak_ptr(member.release), cluster] {
      if (auto call = release.lock()) (*call)(cluster);
    });
  }
}

std::shared_ptr<SharedLimits> make_shared_limits() { return std::make_shared<SharedLimits>(); }

}  // namespace mizzen::proxy
