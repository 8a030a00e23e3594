#include "local/network/relay.h"

#include <array>
#include <vector>

#include "base/log.h"
#include "local/network/pod_network.h"

namespace mizzen::local {
namespace {
constexpr std::size_t kMaxPairs = 8000;  // two descriptors each, of 20,000

// What a client of the machine's sockets is called inside: 127.0.0.1 would be the pod itself.
io::Address source_of(const io::Address& client) {
  const bool other = client.family() == io::Family::kIpv4 && !client.is_loopback();
  return other ? client.with_port(0) : io::Address::from_ipv4(kHostAddress, 0);
}
}  // namespace

// One direction holds at most one buffer of bytes that the other side would not take yet.
class Relays::Pair {
 public:
  Pair(Relays& owner, std::unique_ptr<io::Stream> a, std::unique_ptr<io::Stream> b)
      : owner_(owner), a_{this, 0}, b_{this, 1} {
    streams_[0] = std::move(a);
    streams_[1] = std::move(b);
  }
  void start() {
    streams_[0]->set_handler(&a_);
    streams_[1]->set_handler(&b_);
  }

 private:
  struct Half final : io::StreamHandler {
    Half(Pair* pair, int side) : pair(pair), side(side) {}
    void on_readable() override { pair->pump(side); }
    void on_writable() override { pair->pump(1 - side); }
    void on_error(const Error&) override { pair->break_off(1 - side); }
    Pair* pair;
    int side;
  };

  // Moves bytes from `side` to the other until one of them blocks.
  void pump(int side) {
    if (done_) return;
    io::Stream& from = *streams_[side];
    io::Stream& to = *streams_[1 - side];
    std::string& left = pending_[side];
    std::array<std::byte, 32768> buffer;
    for (;;) {
      if (!left.empty()) {
        auto written = to.write(left);
        if (written.status == io::IoStatus::kError) return break_off(side);
        left.erase(0, written.bytes);
        if (!left.empty()) {
          from.pause_reading(true);
          paused_[side] = true;
          return;
        }
        left.shrink_to_fit();
      }
      if (paused_[side]) {
        paused_[side] = false;
        from.pause_reading(false);
      }
      if (ended_[side]) return;
      auto read = from.read(buffer);
      if (read.status == io::IoStatus::kWouldBlock) return;
      if (read.status == io::IoStatus::kError) return break_off(1 - side);
      if (read.status == io::IoStatus::kEof) {
        ended_[side] = true;
        to.shutdown_write();
        if (ended_[1 - side]) finish();
        return;
      }
      left.assign(reinterpret_cast<char*>(buffer.data()), read.bytes);
    }
  }
  void break_off(int side) {
    if (done_) return;
    streams_[side]->abort();
    finish();
  }
  void finish() {
    done_ = true;
    owner_.remove(this);
  }

  Relays& owner_;
  Half a_;
  Half b_;
  std::array<std::unique_ptr<io::Stream>, 2> streams_;
  std::array<std::string, 2> pending_;
  std::array<bool, 2> ended_{};
  std::array<bool, 2> paused_{};
  bool done_ = false;
};

Relays::Relays(io::Loop& loop) : loop_(loop) {}
Relays::~Relays() = default;

void Relays::join(std::unique_ptr<io::Stream> a, std::unique_ptr<io::Stream> b) {
  if (pairs_.size() >= kMaxPairs) {
    log::warning("local", "too many relayed connections; one was refused");
    a->abort();
    b->abort();
    return;
  }
  auto pair = std::make_unique<Pair>(*this, std::move(a), std::move(b));
  Pair* raw = pair.get();
  pairs_.emplace(raw, std::move(pair));
  raw->start();
}

void Relays::remove(Pair* pair) {
  auto found = pairs_.find(pair);
  if (found == pairs_.end()) return;
  loop_.dispose(std::move(found->second));
  pairs_.erase(found);
}

Result<std::unique_ptr<Forwarder>> Forwarder::start(Relays& relays, io::UniqueFd listening,
                                                    Target target, Source source) {
  auto forwarder = std::unique_ptr<Forwarder>(new Forwarder(relays, std::move(target), source));
  auto listener = io::Listener::adopt(relays.loop(), std::move(listening),
                                      [raw = forwarder.get()](std::unique_ptr<io::Stream> stream) {
                                        raw->accepted(std::move(stream));
                                      });
  if (!listener) return std::unexpected(listener.error());
  forwarder->listener_ = std::move(*listener);
  return forwarder;
}

void Forwarder::accepted(std::unique_ptr<io::Stream> stream) {
  io::Address to = target_();
  if (!to) {
    stream->abort();
    return;
  }
  std::uint64_t id = ++last_id_;
  io::ConnectOptions options;
  if (source_ == Source::kClient) {
    options.source = source_of(stream->peer());
    options.transparent = true;
    options.mark = kDoorMark;
  }
  auto held = std::make_shared<std::unique_ptr<io::Stream>>(std::move(stream));
  connecting_[id] = io::connect(relays_.loop(), to, options,
                                [this, id, held](Result<std::unique_ptr<io::Stream>> upstream) {
                                  if (upstream) {
                                    relays_.join(std::move(*held), std::move(*upstream));
                                  } else {
                                    (*held)->abort();
                                    held->reset();
                                  }
                                  connecting_.erase(id);
                                });
}

Result<std::unique_ptr<WayOutRelay>> WayOutRelay::start(Relays& relays, Outside& outside) {
  auto relay = std::unique_ptr<WayOutRelay>(new WayOutRelay(relays, outside));
  auto listener = io::Listener::listen(relays.loop(), io::Address::any(0), {},
                                       [raw = relay.get()](std::unique_ptr<io::Stream> stream) {
                                         raw->accepted(std::move(stream));
                                       });
  if (!listener) return std::unexpected(listener.error());
  relay->listener_ = std::move(*listener);
  return relay;
}

void WayOutRelay::accepted(std::unique_ptr<io::Stream> stream) {
  auto to = stream->original_dst();
  if (!to || to->port() == port()) {
    stream->abort();
    return;
  }
  io::Address target = *to;
  if (target == io::Address::from_ipv4(kHostAddress, target.port())) {
    target = io::Address::loopback(target.port());
  }
  auto held = std::make_shared<std::unique_ptr<io::Stream>>(std::move(stream));
  outside_.connect(target, [this, held](Result<io::UniqueFd> fd) {
    auto upstream = fd ? io::adopt(relays_.loop(), std::move(*fd))
                       : Result<std::unique_ptr<io::Stream>>(std::unexpected(fd.error()));
    if (!upstream) {
      (*held)->abort();
      held->reset();
      return;
    }
    relays_.join(std::move(*held), std::move(*upstream));
  });
}

}  // namespace mizzen::local
