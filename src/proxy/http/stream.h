// One request: received, resolved into a plain decision, filtered, forwarded (more than once if the
// retry policy says so), answered, told to log and statistics.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/owning_list.h"
#include "base/pooled.h"
#include "http/codec.h"
#include "proxy/http/connection.h"
#include "proxy/http/grpc_web.h"
#include "proxy/http/local_reply.h"
#include "proxy/http/lookup.h"
#include "proxy/http/request_view.h"
#include "proxy/upstream.h"
#include "route/match.h"

namespace mizzen::proxy {

// Owned by its connection. The path of a request through the states:
//   (kLooking ->) kFiltering -> (kDelayed -> kFiltering) -> kForwarding <-> kBackoff
//   -> kResponding -> kDone; a local reply goes from any of them to kResponding.
class Stream final : public http::StreamEvents,
                     private UpstreamEvents,
                     public Pooled<Stream>,
                     public Linked<Stream> {
 public:
  Stream(Connection& connection, http::StreamId id, http::RequestHead&& head);
  ~Stream();

  // `end`: no body follows. Called once, from inside the codec.
  void start(bool end);
  // Judges the request and sends it on its way, unless it was taken back meanwhile. Once.
  void go();
  // The connection is gone; `broken`: because the client broke the protocol.
  void abandon(bool broken = false);

  // http::StreamEvents: the client's side.
  void on_data(std::string_view bytes, bool end) override;
  void on_trailers(http::Headers&& trailers) override;
  void on_reset(const Error& error) override;
  void on_writable() override;
  void on_complete() override;

 private:
  enum class State : std::uint8_t {
    kLooking,
    kFiltering,
    kDelayed,
    kForwarding,
    kBackoff,
    kResponding,
    kDone,
  };
  void enter(State next);

  // Before the upstream.
  void take_mesh_headers();
  bool accept_head();  // false: answered already
  void strip_host();
  void resolve();
  bool look_up();      // true: the control plane is asked for the host first
  void run_filters();  // from filter_ on, until one answers or waits, then act()
  bool run_filter(const HttpFilter& filter);  // false: answered or waiting
  bool run_fault(const route::Fault& fault);
  bool run_cors(const route::Cors& cors);
  void abort_by_fault(const route::Fault& fault);
  void act();
  void redirect();
  void forward();
  void prepare_forward(const route::Route& route);
  void mirror();

  // The upstream.
  void attempt();
  std::expected<std::unique_ptr<UpstreamCall>, UpstreamFailure> open_call(UpstreamAsk& ask);
  void on_upstream_host(const UpstreamInfo& info) override;
  void on_upstream_informational(http::ResponseHead&& head) override;
  void on_upstream_head(http::ResponseHead&& head, bool end) override;
  void on_upstream_data(std::string_view data, bool end) override;
  void on_upstream_trailers(http::Headers&& trailers) override;
  void note_grpc_status(const http::Headers& fields);
  void on_upstream_failed(const UpstreamFailure& failure) override;
  void on_upstream_writable() override;
  void send_body(std::string_view bytes, bool end);
  void send_web_body(std::string_view bytes, bool end);
  void replay_body();
  void request_ended();
  // True: the next try is on its way. `wait`: what the answer asked for.
  bool plan_retry(std::optional<Duration> wait = std::nullopt);
  UpstreamAsk ask_upstream();
  void arm_try();
  void failed(const UpstreamFailure& failure);
  void break_off(http::ResetCode code);  // what has begun is not ended

  // The answer.
  void reply(const LocalReply& reply);
  void reply(int status, std::string_view body, std::string_view details, Flag flag = Flag{});
  void respond(bool end);
  void response_ended();

  // What a stream waits for no longer than so long; one timer serves the earliest.
  enum class Limit : std::uint8_t { kRoute, kTry, kPause, kIdle, kWhole, kCount };
  void arm(Limit limit, Duration from_now);
  void cancel(Limit limit) { due_[static_cast<std::size_t>(limit)] = MonoTime::max(); }
  void on_timer();
  void on_limit(Limit limit);
  void on_deadline();  // the route's timeout
  void on_try_timeout();
  void on_pause_over();  // back-off or fault delay
  void on_idle();
  void on_most();  // max_stream_duration, request_timeout
  void arm_idle();
  void limit_duration(const route::Forward& forward);
  void reply_timeout(std::string_view body, std::string_view details, Flag flag);
  bool drains() const;  // a tunnel that ended here has bytes on their way up
  void end_now();       // and leaves the connection
  void finish();        // log and statistics, once
  MonoTime now() const;
  Worker& worker() const { return connection_.worker(); }
  const HttpSettings& settings() const { return *settings_; }
  void flag(Flag flag) { info_.flags |= static_cast<std::uint32_t>(flag); }

  Connection& connection_;
  const http::StreamId id_;
  State state_ = State::kFiltering;

  http::RequestHead request_;
  http::ResponseHead response_;
  http::Headers response_trailers_;
  // What this request is judged by, from its first to its last byte.
  std::shared_ptr<const HttpSettings> settings_;
  SnapshotRef snapshot_;
  route::TableRef table_;
  route::Decision decision_;
  const route::RetryPolicy* retry_ = nullptr;
  const ClusterEntry* entry_ = nullptr;
  RequestInfo info_;
  UpstreamInfo upstream_info_;
  MonoTime started_{};
  MonoTime request_end_{};
  Duration timeout_{};
  std::uint64_t random_ = 0;
  std::size_t filter_ = 0;
  std::vector<io::Address> tried_;
  std::uint32_t retries_left_ = 0;
  std::uint32_t informational_ = 0;    // interim answers that came
  const route::Cors* cors_ = nullptr;  // of the route, when the origin is allowed
  std::string set_cookie_;
  std::string decorator_;  // for the response; empty: none

  std::unique_ptr<Lookup> lookup_;
  std::unique_ptr<GrpcWeb> grpc_web_;  // of a request that came as gRPC-Web
  bool answers_grpc_web_ = false;      // and of its answer
  std::unique_ptr<UpstreamCall> call_;
  std::unique_ptr<RetryPlace> retry_place_;
  std::string body_;           // kept for retries, or while nothing can be sent yet
  std::string mirror_body_;    // while mirrors_
  http::Headers trailers_;     // of the request, kept likewise
  std::size_t held_down_ = 0;  // bytes of the request not yet consumed()
  std::size_t held_up_ = 0;    // bytes of the response not yet consumed()
  bool keep_body_ = true;      // until the response starts or the limit is passed
  bool has_trailers_ = false;
  bool request_ended_ = false;
  bool response_ended_ = false;
  bool response_started_ = false;
  bool upgraded_ = false;
  bool finished_ = false;
  bool delayed_by_fault_ = false;
  bool whole_limited_ = false;  // kWhole bounds the whole stream, not only the request
  bool flushing_ = false;       // over, but for bytes of a tunnel on their way up
  bool mirrors_ = false;        // copies of this request are still to be sent

  std::array<MonoTime, static_cast<std::size_t>(Limit::kCount)> due_;
  MonoTime next_due_ = MonoTime::max();  // when the timer fires
  io::Timer timer_;
};

}  // namespace mizzen::proxy
