#include "proxy/upstream/pool.h"

#include <algorithm>

#include "base/prefetch.h"
#include "proxy/upstream/call.h"
#include "proxy/upstream/conn.h"

namespace mizzen::proxy::upstream {

Pool::Pool(Host& host, Lane lane, std::string sni, std::string preamble)
    : host_(host), lane_(lane), sni_(std::move(sni)), preamble_(std::move(preamble)) {}

Pool::~Pool() { host_.cluster.forget(*this); }

bool Pool::may_be_mizzen() const {
  return lane_ == Lane::kHttp1 && host_.tls != nullptr &&
         host_.may_be_mizzen(host_.cluster.context().loop.now()) &&
         !host_.cluster.cluster().http1_limits && is_mesh_tls(*host_.tls);
}

bool Pool::shares() const { return lane_ == Lane::kHttp2 || may_be_mizzen(); }

Conn* Pool::ready() {
  while (!idle_.empty()) {
    Conn* conn = idle_.back();
    if (conn->ready()) return conn;
    idle_.pop_back();
  }
  if (!shares()) return nullptr;
  for (auto& conn : conns_) {
    if (conn->multiplexed() && conn->ready()) return conn.get();
  }
  return nullptr;
}

std::expected<void, UpstreamFailure> Pool::open(Call& call, bool fresh) {
  if (pending_.empty() && !fresh) {
    if (Conn* conn = ready()) {
      auto attached = conn->attach(call);
      if (attached) std::erase(idle_, conn);
      foresee();
      return attached;
    }
  }
  ClusterState& cluster = host_.cluster;
  Counters& counters = cluster.counters(call.high_priority());
  Taken place =
      Taken::from(counters.pending, cluster.limits(call.high_priority()).max_pending_requests,
                  counters.pending_refused);
  if (!place) return std::unexpected(UpstreamFailure{UpstreamFault::kOverflow, {}, true});
  counters.pending_total.fetch_add(1, std::memory_order_relaxed);
  call.wait_in(std::move(place));
  pending_.push_back(&call);
  grow();
  return {};
}

// Who comes next has mostly left the caches.
void Pool::foresee() const {
  if (idle_.size() > 1) prefetch(idle_[idle_.size() - 2], sizeof(Conn));
  if (!idle_.empty()) idle_.back()->foresee();
}

void Pool::cancel(Call& call) {
  std::erase(pending_, &call);
  std::erase(failing_, &call);
  host_.cluster.tidy_later();
}

void Pool::grow() {
  auto connecting = static_cast<std::size_t>(
      std::ranges::count_if(conns_, [](const auto& conn) { return conn->connecting(); }));
  while (!pending_.empty() && connecting < (shares() ? 1 : pending_.size())) {
    if (!start_one()) return;
    ++connecting;
  }
}

bool Pool::start_one() {
  ClusterState& cluster = host_.cluster;
  Taken place = cluster.take_connection();
  if (!place) {
    cluster.starve(*this);
    return false;
  }
  conns_.push_back(std::make_unique<Conn>(*this, std::move(place)));
  return true;
}

void Pool::on_connected(Conn& conn) {
  if (may_be_mizzen()) host_.learn(conn.mizzen(), host_.cluster.context().loop.now());
  serve_pending(conn);
  grow();  // the peer speaks HTTP/1 after all: a connection for each
}

void Pool::serve_pending(Conn& conn) {
  while (!pending_.empty() && conn.ready()) {
    Call* call = pending_.front();
    pending_.erase(pending_.begin());
    if (auto attached = conn.attach(*call); !attached) call->fail(attached.error());
  }
  if (conn.ready() && conn.active() == 0) on_room(conn);
}

void Pool::on_room(Conn& conn) {
  // One that had an upgrade, granted or not, is nobody else's.
  const bool takes_more = lane_ != Lane::kUpgrade || !conn.used();
  if (!pending_.empty() && conn.ready() && takes_more) return serve_pending(conn);
  if (conn.active() > 0) return;
  const bool keep = conn.ready() && lane_ != Lane::kUpgrade && host_.wanted() &&
                    !host_.cluster.release_wanted() && !host_.cluster.context().draining;
  if (!keep) return conn.drain();
  conn.start_idling();
  if (!conn.multiplexed()) idle_.push_back(&conn);
}

void Pool::on_connect_failed(Conn& conn, const UpstreamFailure& failure) {
  host_.cluster.report_unreachable(host_);
  auto gone = take_out(conn);
  host_.cluster.context().loop.dispose(std::move(gone));
  fail_pending(failure);
}

void Pool::fail_pending(const UpstreamFailure& failure) {
  // Those who are told may come back at once: they wait anew.
  std::swap(failing_, pending_);
  while (!failing_.empty()) {
    Call* call = failing_.back();
    failing_.pop_back();
    call->fail(failure);
  }
}

std::unique_ptr<Conn> Pool::take_out(Conn& conn) {
  std::erase(idle_, &conn);
  auto found = std::ranges::find_if(conns_, [&](const auto& one) { return one.get() == &conn; });
  std::unique_ptr<Conn> taken = std::move(*found);
  conns_.erase(found);
  taken->give_back();
  host_.cluster.connection_gone();
  host_.cluster.tidy_later();
  return taken;
}

void Pool::on_closed(Conn& conn) {
  host_.cluster.context().loop.dispose(take_out(conn));
  grow();
}

void Pool::drain() {
  idle_.clear();
  for (std::size_t i = 0; i < conns_.size(); ++i) {
    if (!conns_[i]->connecting()) conns_[i]->drain();
  }
}

bool Pool::close_one_idle() {
  for (auto& conn : conns_) {
    if (!conn->connecting() && conn->active() == 0) {
      conn->drain();
      return true;
    }
  }
  return false;
}

}  // namespace mizzen::proxy::upstream
