// One HTTP request on its way upstream.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/pooled.h"
#include "http/codec.h"
#include "proxy/upstream.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/limits.h"
#include "proxy/upstream/pool.h"

namespace mizzen::proxy::upstream {

class Conn;

// kLookup (the host's address) -> kPending (a connection) -> kActive -> kEnded.
class Call final : public UpstreamCall,
                   private http::StreamEvents,
                   private Waiter,
                   public Pooled<Call> {
 public:
  Call(ClusterState& cluster, const UpstreamAsk& ask, http::RequestHead& head, bool end,
       UpstreamEvents& events);
  ~Call() override;

  // Chooses a host and a pool; a failure known at once.
  std::expected<void, UpstreamFailure> start(const UpstreamAsk& ask);

  void send_data(std::string_view data, bool end) override;
  void send_trailers(const http::Headers& trailers) override;
  std::size_t buffered() const override;
  void consumed(std::size_t bytes) override;
  void timed_out() override;

  // From pool and connection.
  bool high_priority() const { return high_priority_; }
  http::Protocol downstream_protocol() const { return downstream_protocol_; }
  http::RequestHead& head() { return head_; }
  UpstreamInfo& info() { return info_; }
  void wait_in(Taken place);
  void bind(Conn& conn, Taken request);
  void tell_host() { events_.on_upstream_host(info_); }
  void submit(http::ClientCodec& codec);
  void fail(const UpstreamFailure& failure);  // may destroy the call

 private:
  enum class State : std::uint8_t { kNew, kLookup, kPending, kActive, kEnded };

  void on_informational(http::ResponseHead&& head) override;
  void on_response(http::ResponseHead&& head, bool end) override;
  void on_data(std::string_view bytes, bool end) override;
  void on_trailers(http::Headers&& trailers) override;
  void on_reset(const Error& error) override;
  void on_writable() override;
  void on_complete() override;
  void on_hosts() override;
  std::expected<void, UpstreamFailure> choose(const UpstreamAsk& ask);
  Lane lane() const;
  void leave_connection();
  void report_response(const http::ResponseHead& head);
  bool retry_stale(const Error& error);

  ClusterState& cluster_;
  UpstreamEvents& events_;
  http::RequestHead& head_;
  SnapshotRef snapshot_;
  const ClusterEntry* entry_;
  UpstreamInfo info_;
  std::optional<UpstreamAsk> lookup_;  // what to ask for once addresses are known
  Host* host_ = nullptr;
  Pool* pool_ = nullptr;
  Conn* conn_ = nullptr;
  http::StreamId id_ = 0;
  Taken pending_;
  Taken request_;
  std::string early_;  // body given before there was a connection
  http::Headers early_trailers_;
  std::string sni_;
  State state_ = State::kNew;
  const http::Protocol downstream_protocol_;
  const bool high_priority_;
  const bool upgrade_;
  bool bodiless_;  // nothing follows the head
  bool request_ended_;
  bool response_started_ = false;
  bool retried_stale_ = false;
  bool response_ended_ = false;
};

}  // namespace mizzen::proxy::upstream
