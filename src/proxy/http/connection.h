// A downstream HTTP connection: moves bytes between the socket and the codec, owns its streams.
// What the transport fixed lives here; what configuration says is looked up anew for each request.
#pragma once

#include <memory>

#include "base/cell_pool.h"
#include "base/owning_list.h"
#include "http/codec.h"
#include "io/stream.h"
#include "proxy/http/keep_alive.h"
#include "proxy/session.h"
#include "proxy/worker.h"

namespace mizzen::proxy {

class Stream;

class Connection final : public Session, private io::StreamHandler, private http::ConnectionEvents {
 public:
  // `stream` is open (a TLS handshake is over).
  Connection(Worker& worker, std::unique_ptr<io::Stream> stream, ConnectionInfo info,
             std::shared_ptr<const HttpSettings> settings);
  ~Connection();
  void start();  // once, after it was added to the worker

  void on_chain(const std::shared_ptr<const Listener>& listener, const FilterChain* chain) override;
  void drain() override;
  const ConnectionInfo& info() const override { return busy_ ? busy_->info : resting_info(); }
  const std::shared_ptr<const Listener>& listener() const override;

  // For streams.
  Worker& worker() { return worker_; }
  http::ServerCodec& codec() { return *busy_->codec; }
  const std::shared_ptr<const HttpSettings>& settings() const { return settings_; }
  ConnectionInfo& facts() { return busy_->info; }
  void stream_done(Stream& stream);  // disposes of it at the end of the turn
  // An answer is whole. On HTTP/1 nothing can join it, and it leaves at once.
  void answered();
  void flush_planned();                     // from the worker
  void became_tunnel() { tunnel_ = true; }  // HTTP/1 is over: each half ends by itself

 private:
  enum class State : std::uint8_t { kWaiting, kOpen, kLingering, kClosed };
  // What a connection at rest does without.
  struct Busy final : InCells<Busy> {
    explicit Busy(Connection& connection);
    ConnectionInfo info;
    std::unique_ptr<http::ServerCodec> codec;
    std::unique_ptr<KeepAlive> keep_alive;  // HTTP/2, when configured
    OwningList<Stream> streams;
    std::string first_bytes;  // kept until they tell the protocol
    io::Timer limit;          // request_headers_timeout while a head is incomplete
  };
  void on_readable() override;
  void foresee() const override;
  void on_writable() override;
  void on_error(const Error& error) override;
  http::StreamEvents* on_request(http::StreamId id, http::RequestHead&& head, bool end) override;
  void on_work() override;
  void on_pong(std::uint64_t payload) override;
  void on_timeout();
  void on_head_timeout();

  void end_input();
  Status feed(std::string_view bytes);
  bool choose_codec(std::string_view first_bytes);
  void make_codec(http::Protocol protocol);
  void flush();
  void fail(const Error& error);  // of the protocol: writes what the codec has to say, lingers
  void log_refused(std::string_view details);
  void watch_head();
  void linger();
  void close();
  void arm_idle(Duration passed = {});  // `passed`: for how long it has been idle
  const ConnectionInfo& resting_info() const;
  bool can_rest();
  void rest();
  void wake();

  Worker& worker_;
  std::unique_ptr<io::Stream> stream_;
  std::shared_ptr<const HttpSettings> settings_;
  std::unique_ptr<Busy> busy_;  // null at rest: then the next two say what its info would
  OwnInfo own_;
  std::shared_ptr<const CommonInfo> common_;
  io::Timer timer_;     // to rest, idle, or lingering
  MonoTime ends_at_{};  // max_connection_duration; unset: none
  std::uint32_t requests_ = 0;
  std::uint8_t reads_ = 0;  // while lingering
  State state_ = State::kWaiting;
  bool rests_next_ = false;  // when timer_ fires
  bool told_last_ = false;   // the codec knows that the next request is the last
  bool obsolete_ = false;  // no chain of today would take this connection: ends after its requests
  bool blocked_ = false;   // the socket takes no more
  bool tunnel_ = false;    // an upgraded connection, or CONNECT
  bool half_closed_ = false;  // by the client, of a tunnel
  bool paused_ = false;
  bool flush_planned_ = false;
  bool in_codec_ = false;  // inside feed() or drained(): their end flushes
};

}  // namespace mizzen::proxy
