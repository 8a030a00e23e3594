#include "proxy/http/mirror.h"

namespace mizzen::proxy {
namespace {

constexpr Duration kMirrorTimeout = std::chrono::seconds(15);

// "a:80" becomes "a-shadow:80".
std::string shadow_host(std::string_view authority) {
  auto colon = authority.rfind(':');
  if (colon == std::string_view::npos || authority.find(']', colon) != std::string_view::npos) {
    colon = authority.size();
  }
  std::string out(authority.substr(0, colon));
  return out.append("-shadow").append(authority.substr(colon));
}

class Mirrored final : public Session, private UpstreamEvents {
 public:
  Mirrored(Worker& worker, SnapshotRef snapshot, http::RequestHead head)
      : worker_(worker),
        snapshot_(std::move(snapshot)),
        head_(std::move(head)),
        timer_(io::Timer::of<&Mirrored::finish>(worker.loop(), this)) {}

  void start(const ClusterEntry* entry, std::string_view body, const io::Address& original_dst) {
    UpstreamAsk ask;
    ask.snapshot = snapshot_;
    ask.entry = entry;
    ask.original_dst = original_dst;
    ask.downstream_protocol = head_.protocol;
    auto call = worker_.upstream().open(ask, head_, body.empty(), *this);
    if (!call) return finish();
    call_ = std::move(*call);
    if (!body.empty()) call_->send_data(body, true);
    timer_.arm(kMirrorTimeout);
  }

  void on_chain(const std::shared_ptr<const Listener>&, const FilterChain*) override {}
  void drain() override {}
  const ConnectionInfo& info() const override { return info_; }

 private:
  void on_upstream_host(const UpstreamInfo&) override {}
  void on_upstream_informational(http::ResponseHead&&) override {}
  void on_upstream_head(http::ResponseHead&&, bool end) override {
    if (end) finish();
  }
  void on_upstream_data(std::string_view data, bool end) override {
    if (end) return finish();
    call_->consumed(data.size());
  }
  void on_upstream_trailers(http::Headers&&) override { finish(); }
  void on_upstream_failed(const UpstreamFailure&) override { finish(); }
  void on_upstream_writable() override {}
  void finish() {
    call_.reset();
    timer_.cancel();
    worker_.remove(*this);
  }

  Worker& worker_;
  SnapshotRef snapshot_;
  http::RequestHead head_;
  ConnectionInfo info_;  // of no connection: its listener is null
  std::unique_ptr<UpstreamCall> call_;
  io::Timer timer_;
};

}  // namespace

void send_mirrors(Worker& worker, const SnapshotRef& snapshot, const route::Route& route,
                  const http::RequestHead& head, std::string_view body,
                  const ConnectionInfo& connection) {
  for (const route::Mirror& mirror : route.forward.mirrors) {
    if (!mirror.fraction.draws(worker.random())) continue;
    const ClusterEntry* entry = snapshot->cluster(mirror.cluster);
    if (entry == nullptr) continue;
    http::RequestHead copy = head.clone();
    if (mirror.append_shadow_suffix) copy.set_authority(shadow_host(head.authority));
    auto mirrored = std::make_unique<Mirrored>(worker, snapshot, std::move(copy));
    Mirrored& started = *mirrored;
    worker.add(std::move(mirrored));
    started.start(entry, body, connection.local);
  }
}

}  // namespace mizzen::proxy
