// One upstream HTTP connection: dials, then moves bytes between its socket and its codec.
#pragma once

#include <expected>
#include <memory>

#include "http/codec.h"
#include "io/stream.h"
#include "proxy/http/keep_alive.h"
#include "proxy/upstream/connector.h"
#include "proxy/upstream/limits.h"
#include "proxy/upstream/pool.h"

namespace mizzen::proxy::upstream {

// Owned by its pool. kConnecting -> kOpen -> kDraining -> kClosed.
class Conn final : private io::StreamHandler,
                   private http::ConnectionEvents,
                   private http::StreamEvents {
 public:
  Conn(Pool& pool, Taken place);
  ~Conn();

  bool connecting() const { return state_ == State::kConnecting; }
  bool ready() const;
  bool multiplexed() const { return http2_; }
  bool mizzen() const { return mizzen_; }
  std::size_t active() const { return active_; }
  bool used() const { return served_ > 0; }
  bool reused() const { return !http2_ && served_ > 1; }
  // Sends the call's head. Fails when too many requests are under way.
  std::expected<void, UpstreamFailure> attach(Call& call);
  http::ClientCodec& codec() { return *codec_; }
  // attach() or on_readable() comes soon: has memory fetched that has left the caches.
  void foresee() const override;
  // From the call: its stream is over, or was reset.
  void stream_done();
  // From the call: it goes, its stream has ended both ways but for the last bytes.
  void adopt(http::StreamId id) { codec_->rebind(id, this); }
  void start_idling();
  void drain();  // takes no more requests, closes after the last one
  void give_back() { place_.give_back(); }

 private:
  enum class State : std::uint8_t { kConnecting, kOpen, kDraining, kClosed };
  void start();
  void on_dialled(std::expected<std::unique_ptr<io::Stream>, UpstreamFailure> result);
  void fail_dial(const UpstreamFailure& failure);
  std::expected<ConnectPlan, UpstreamFailure> plan();
  void make_codec(const io::TlsInfo* tls);
  void tell_host(Call& call);

  void on_readable() override;
  void on_writable() override;
  void on_error(const Error& error) override;
  void on_goaway() override;
  void on_settings() override;
  void on_work() override;
  void on_pong(std::uint64_t payload) override;
  // Of a stream whose call has gone.
  void on_data(std::string_view, bool) override {}
  void on_trailers(http::Headers&&) override {}
  void on_reset(const Error&) override { stream_done(); }
  void on_complete() override { stream_done(); }

  void pump();  // at the end of the turn
  void flush();
  void close();
  void on_idle();

  Pool& pool_;
  Taken place_;
  std::unique_ptr<Connector> connector_;
  std::unique_ptr<io::Stream> stream_;
  std::unique_ptr<http::ClientCodec> codec_;
  std::unique_ptr<KeepAlive> keep_alive_;  // HTTP/2, when configured
  std::shared_ptr<const io::PeerCertificate> peer_;
  std::optional<UpstreamFailure> failure_;  // known before dialling
  io::Address local_;
  io::Timer idle_;
  io::Timer most_;  // the cluster's max_connection_duration
  io::Task pump_;
  std::size_t active_ = 0;
  std::uint32_t served_ = 0;
  State state_ = State::kConnecting;
  bool http2_ = false;
  bool mizzen_ = false;
  bool mutual_tls_ = false;
  bool blocked_ = false;
  bool paused_ = false;
  bool in_codec_ = false;
  bool room_ = false;     // a stream has ended: tell the pool at the end of the event
  bool failing_ = false;  // write what the codec has to say, then close
};

}  // namespace mizzen::proxy::upstream
