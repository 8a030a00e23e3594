#include "proxy/upstream/hbone.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "http/codec.h"
#include "net/tunnel.h"

namespace mizzen::proxy {
namespace {

constexpr std::size_t kLowMark = 128 * 1024;            // of what waits for the peer's window
constexpr Duration kLinger = std::chrono::seconds(30);  // for the rest of an abandoned tunnel

// Kept alive by the attempt, by itself while there is a tunnel, and after that by the loop while it
// lingers.
class Hbone final : public std::enable_shared_from_this<Hbone>,
                    public net::TunnelPort,
                    public io::StreamHandler,
                    public http::ConnectionEvents,
                    public http::StreamEvents {
 public:
  Hbone(io::Loop& loop, std::unique_ptr<io::Stream> transport, HboneDial::Done done)
      : loop_(loop),
        transport_(std::move(transport)),
        done_(std::move(done)),
        pump_(io::Task::of<&Hbone::pump>(loop, this)) {
    codec_ = http::make_h2_client({}, this);
  }
  ~Hbone() { transport_->set_handler(nullptr); }

  void start(std::string_view authority) {
    http::RequestHead head;
    head.method = "CONNECT";
    head.set_authority(authority);
    id_ = codec_->submit(head, false, this);
    transport_->set_handler(this);
    pump_.schedule();
  }
  void abandon() {
    done_ = nullptr;
    *wanted_ = false;
  }

 private:
  // The transport.
  void on_readable() override {
    auto self = shared_from_this();
    std::array<std::byte, 16384> buffer;
    while (!closed_ && codec_->wants_input()) {
      io::IoResult got = transport_->read(buffer);
      if (got.status == io::IoStatus::kWouldBlock) break;
      if (got.status != io::IoStatus::kOk) {
        closed_ = true;
        codec_->end_of_input();
        break;
      }
      if (!codec_->feed({reinterpret_cast<const char*>(buffer.data()), got.bytes})) closed_ = true;
    }
    pump();
  }
  // Of the transport and of the stream: one name, one answer to both. Later, for the stream's comes
  // from within the codec.
  void on_writable() override { pump_.schedule(); }
  void on_error(const Error&) override {
    auto self = shared_from_this();
    closed_ = true;
    codec_->end_of_input();
  }
  void on_work() override { pump_.schedule(); }
  void pump() {
    auto self = shared_from_this();
    if (!closed_ && !codec_->feed({})) closed_ = true;
    std::array<iovec, 8> pieces;
    bool written = true;
    while (const std::size_t count = codec_->output(pieces)) {
      io::IoResult put = transport_->write(std::span(pieces).first(count));
      written = put.bytes != 0;
      if (!written) break;
      codec_->drained(put.bytes);
    }
    const bool pause = !codec_->wants_input();
    if (pause != std::exchange(paused_, pause)) transport_->pause_reading(pause);
    const std::size_t waiting = codec_->buffered(id_);
    if (tunnel_ != nullptr && waiting < kLowMark) tunnel_->writable();
    if (leaving_ && written && waiting == 0) release();
  }
  // At the end of the turn, when nobody else holds it.
  void release() {
    loop_.defer([self = shared_from_this()] {});
    self_.reset();
    loop_.cancel(std::exchange(linger_, 0));
  }

  // The stream.
  void on_response(http::ResponseHead&& head, bool end) override {
    if (!done_) return;
    HboneDial::Done done = std::exchange(done_, nullptr);
    if (head.status / 100 != 2 || end) {
      return tell(std::move(done), fmt::format("HBONE: the peer answered {}", head.status));
    }
    auto tunnel = std::make_unique<net::Tunnel>(loop_, this, transport_->local(),
                                                transport_->peer(), transport_->tls());
    tunnel_ = tunnel.get();
    self_ = shared_from_this();
    auto made = std::make_shared<std::unique_ptr<io::Stream>>(std::move(tunnel));
    loop_.defer([done = std::move(done), made, wanted = wanted_] {
      if (*wanted) done(std::move(*made));
    });
  }
  void on_data(std::string_view bytes, bool end) override {
    if (tunnel_ != nullptr) tunnel_->arrived(bytes, end);
  }
  void on_trailers(http::Headers&&) override { on_data({}, true); }
  void on_reset(const Error& error) override {
    if (tunnel_ != nullptr) std::exchange(tunnel_, nullptr)->broke(error);
    if (done_) tell(std::exchange(done_, nullptr), error.message);
    release();
  }
  void on_complete() override { pump_.schedule(); }
  void tell(HboneDial::Done done, std::string reason) {
    loop_.defer([done = std::move(done), reason = std::move(reason), wanted = wanted_] {
      if (!*wanted) return;
      done(std::unexpected(UpstreamFailure{UpstreamFault::kConnectFailure, reason, true}));
    });
  }

  // The tunnel.
  void tunnel_send(std::string_view bytes, bool end) override {
    codec_->send_data(id_, bytes, end);
  }
  void tunnel_consumed(std::size_t bytes) override { codec_->consumed(id_, bytes); }
  std::size_t tunnel_buffered() const override { return codec_->buffered(id_); }
  void tunnel_reset() override { codec_->reset(id_, http::ResetCode::kCancel); }
  void tunnel_gone() override {
    tunnel_ = nullptr;
    leaving_ = true;
    if (closed_) return release();
    linger_ = loop_.after(kLinger, [self = std::move(self_)] {});  // what the peer has yet to take
    pump_.schedule();
  }

  io::Loop& loop_;
  std::unique_ptr<io::Stream> transport_;
  std::unique_ptr<http::ClientCodec> codec_;
  HboneDial::Done done_;
  std::shared_ptr<bool> wanted_ = std::make_shared<bool>(true);  // done_ may still be called
  io::Task pump_;
  io::TimerId linger_ = 0;
  net::Tunnel* tunnel_ = nullptr;
  std::shared_ptr<Hbone> self_;
  http::StreamId id_ = 0;
  bool closed_ = false;
  bool leaving_ = false;  // the tunnel's user has gone
  bool paused_ = false;
};

class Dial final : public HboneDial {
 public:
  explicit Dial(std::shared_ptr<Hbone> hbone) : hbone_(std::move(hbone)) {}
  ~Dial() override { hbone_->abandon(); }

 private:
  std::shared_ptr<Hbone> hbone_;
};

}  // namespace

std::unique_ptr<HboneDial> open_hbone(io::Loop& loop, std::unique_ptr<io::Stream> transport,
                                      std::string_view authority, HboneDial::Done done) {
  auto hbone = std::make_shared<Hbone>(loop, std::move(transport), std::move(done));
  hbone->start(authority);
  return std::make_unique<Dial>(std::move(hbone));
}

}  // namespace mizzen::proxy
