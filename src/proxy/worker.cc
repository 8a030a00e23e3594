#include "proxy/worker.h"

#include <fcntl.h>

#include <algorithm>
#include <ctime>
#include <random>

#include "base/log.h"
#include "proxy/arrival.h"
#include "proxy/http/connection.h"
#include "proxy/http/lookup.h"

namespace mizzen::proxy {

constexpr std::size_t kScratch = 64 * 1024;

Worker::Worker(io::Loop& loop, WorkerShared& shared, std::unique_ptr<Upstream> upstream)
    : loop_(loop),
      shared_(shared),
      stats_(shared.self),
      access_log_(loop),
      upstream_(std::move(upstream)),
      scratch_(kScratch) {
  std::random_device seed;
  random_state_ = (static_cast<std::uint64_t>(seed()) << 32) | seed() | 1;
  upstream_->set_own_metadata(shared.self.peer_metadata, shared.self.node_id);
}

// Sessions hold upstream calls and refer to the logs: they go first, and with them those that had
// ended already.
Worker::~Worker() {
  listeners_.clear();
  to_flush_.clear();
  sessions_.clear();
  loop_.bury();
}

void Worker::set_config(LiveConfigRef config, std::vector<ListenSocket> sockets,
                        const std::vector<std::string>& keep) {
  LiveConfigRef old = std::exchange(config_, std::move(config));
  upstream_->set_snapshot(config_->snapshot);
  stats_.forget_recent();
  std::erase_if(listeners_, [&](const auto& entry) {
    return std::ranges::find(keep, entry.first) == keep.end();
  });
  for (ListenSocket& socket : sockets) {
    auto made =
        io::Listener::adopt(loop_, std::move(socket.fd),
                            [this, name = socket.listener](std::unique_ptr<io::Stream> stream) {
                              accept(name, std::move(stream));
                            });
    if (made) {
      listeners_.emplace(socket.key, Open{socket.listener, std::move(*made)});
    } else {
      log::error("worker", "{}: {}", socket.key, made.error().message);
    }
  }
  if (old != nullptr && old->index != config_->index) tell_sessions();
  wake_lookups();
}

// The listeners are others.
void Worker::tell_sessions() {
  for (auto at = sessions_.begin(); at != sessions_.end();) {
    Session& session = **at++;  // it may remove itself
    const std::shared_ptr<const Listener>& was = session.listener();
    if (was == nullptr) continue;
    auto listener = config_->listener(was->name);
    if (listener == was) continue;
    session.on_chain(listener, listener ? chain_for(*listener, session.info()) : nullptr);
  }
  spare_info_ = {};
}

std::shared_ptr<const CommonInfo> Worker::share(CommonInfo&& info) {
  for (const auto& one : shared_infos_) {
    if (auto shared = one.lock(); shared && *shared == info) return shared;
  }
  auto made = std::make_shared<const CommonInfo>(std::move(info));
  shared_infos_[next_shared_info_++ % shared_infos_.size()] = made;
  return made;
}

// One that has its answer may end others, and ask for more.
void Worker::wake_lookups() {
  for (auto& lookup : std::exchange(lookups_, {})) {
    if (*lookup == nullptr) continue;
    lookups_.push_back(lookup);
    (*lookup)->look();
  }
}

void Worker::accept(std::string_view listener, std::unique_ptr<io::Stream> stream) {
  auto found = config_ ? config_->listener(listener) : nullptr;
  if (found == nullptr) return;
  stats_.count("mizzen_downstream_connections_total");
  PlaceRef place;
  if (!admit(*found, place)) return stream->abort();
  auto arrival =
      std::make_unique<Arrival>(*this, std::move(found), std::move(stream), std::move(place));
  Arrival& started = *arrival;
  add(std::move(arrival));
  started.start();
}

bool Worker::admit(const Listener& listener, PlaceRef& place) {
  const Overload::Exempt exempt{.from_all = listener.ignores_global_limit,
                                .from_descriptors = listener.bypasses_overload};
  switch (shared_.overload.admit(listener.name, exempt, place)) {
    case Overload::Verdict::kAdmitted:
      return true;
    case Overload::Verdict::kOverAll:
      stats_.count("mizzen_downstream_global_overflow_total");
      return false;
    case Overload::Verdict::kOverListener:
      stats_.count("mizzen_downstream_listener_overflow_total");
      return false;
    case Overload::Verdict::kNoDescriptors:
      stats_.count("mizzen_downstream_descriptor_overflow_total");
      return false;
  }
  return true;
}

bool Worker::accept_internal(std::string_view listener, std::unique_ptr<io::Stream> stream,
                             const ConnectionInfo& outer, const io::Address& meant) {
  auto found = config_ ? config_->listener(listener) : nullptr;
  if (found == nullptr) return false;
  auto arrival = std::make_unique<Arrival>(*this, std::move(found), std::move(stream), outer.place);
  Arrival& started = *arrival;
  add(std::move(arrival));
  started.start_inside(outer, meant);
  return true;
}

void Worker::drain(bool keep_accepting, Duration idle) {
  if (!keep_accepting) listeners_.clear();
  if (drain_idle_ && *drain_idle_ <= idle) return;
  drain_idle_ = idle;
  for (auto at = sessions_.begin(); at != sessions_.end();) {
    Session& session = **at++;
    session.drain();
  }
  upstream_->drain();
}

std::vector<ListenSocket> Worker::copy_sockets() const {
  std::vector<ListenSocket> copies;
  for (const auto& [key, open] : listeners_) {
    io::UniqueFd copy(::fcntl(open.socket->fd(), F_DUPFD_CLOEXEC, 0));
    if (copy) copies.push_back({key, open.listener, std::move(copy)});
  }
  return copies;
}

void Worker::add(std::unique_ptr<Session> session) {
  Session& added = *session;
  sessions_.push_front(std::move(session));
  added.place_ = sessions_.begin();
  count_.fetch_add(1, std::memory_order_relaxed);
}

void Worker::remove(Session& session) {
  std::unique_ptr<Session> gone = std::move(*session.place_);
  sessions_.erase(session.place_);
  count_.fetch_sub(1, std::memory_order_relaxed);
  loop_.dispose(std::move(gone));
}

void Worker::flush_later(Connection& connection) {
  to_flush_.push_back(&connection);
  if (flush_planned_) return;
  flush_planned_ = true;
  loop_.defer([this] { flush_all(); });
}

void Worker::forget_flush(Connection& connection) { std::erase(to_flush_, &connection); }

void Worker::flush_all() {
  flush_planned_ = false;
  // What comes meanwhile (a request behind one that was answered at once) has its turn after
  // others'.
  std::swap(to_flush_, flushing_);
  for (Connection* connection : flushing_) connection->flush_planned();
  flushing_.clear();
}

std::uint64_t Worker::random() {  // splitmix64
  std::uint64_t z = (random_state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::string_view Worker::http_date() {
  std::time_t now =
      std::chrono::duration_cast<std::chrono::seconds>(loop_.wall().time_since_epoch()).count();
  if (now != date_second_) {
    date_second_ = now;
    std::tm parts{};
    gmtime_r(&now, &parts);
    char buffer[64];
    date_.assign(buffer, std::strftime(buffer, sizeof buffer, "%a, %d %b %Y %H:%M:%S GMT", &parts));
  }
  return date_;
}

}  // namespace mizzen::proxy
