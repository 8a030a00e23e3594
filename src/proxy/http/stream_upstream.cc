// The upstream half of a stream: tries, the request's body on its way up, the answer on its way
// down.
#include "proxy/http/stream.h"

#include <algorithm>

#include "base/strings.h"
#include "io/memory_stream.h"
#include "proxy/http/connect_call.h"
#include "proxy/http/mirror.h"
#include "proxy/http/retry.h"
#include "proxy/http/stream_headers.h"

namespace mizzen::proxy {
namespace {

constexpr std::uint32_t kMostInformational = 100;  // 1xx of one request
constexpr std::size_t kMostKept = 1024 * 1024;     // of a request's body, for retries
// In one direction, before the source waits: on_writable() comes for those who passed it.
constexpr std::size_t kMostBuffered = http::Limits().send_buffer;

const SocketAddr* first_host(const ClusterEntry& entry) {
  if (entry.endpoints == nullptr) return nullptr;
  for (const LocalityEndpoints& locality : entry.endpoints->localities) {
    if (!locality.endpoints.empty()) return &locality.endpoints.front().address;
  }
  return nullptr;
}

bool wants_auto_sni(const Cluster& cluster) {
  if (cluster.tls && cluster.tls->auto_sni) return true;
  return std::ranges::any_of(cluster.socket_matches,
                             [](const auto& match) { return match.tls && match.tls->auto_sni; });
}

}  // namespace

UpstreamAsk Stream::ask_upstream() {
  UpstreamAsk ask;
  ask.snapshot = snapshot_;
  ask.entry = entry_;
  ask.original_dst = connection_.facts().local;
  if (const std::string& name = entry_->cluster->original_dst_header; !name.empty()) {
    if (auto text = request_.headers.get(name)) {
      if (auto address = io::Address::parse(*text); address && address->is_ip()) {
        ask.original_dst = *address;
      }
    }
  }
  if (!decision_.route->forward.hash.empty()) {
    std::string cookie;
    ask.hash = request_hash(decision_.route->forward.hash, request_, info_.remote, random_, cookie);
    if (!cookie.empty()) set_cookie_ = std::move(cookie);
  }
  if (retry_ != nullptr) {
    ask.avoid = tried_;
    ask.host_tries = retry_->host_selection_attempts;
    ask.leave_priority_after = retry_->leave_priority_after;
  }
  ask.downstream_protocol = *info_.protocol;
  ask.upgrade = !request_.upgrade.empty() || request_.is_connect();
  ask.high_priority = decision_.route->forward.high_priority;
  ask.client = &connection_.facts().remote;
  ask.meant = &connection_.facts().local;
  if (wants_auto_sni(*entry_->cluster)) {
    ask.sni = request_.authority.substr(0, request_.authority.rfind(':'));
  }
  return ask;
}

void Stream::attempt() {
  enter(State::kForwarding);
  ++info_.attempts;
  if (decision_.host->include_attempt_count) {
    request_.headers.set("x-envoy-attempt-count", std::to_string(info_.attempts));
  }
  bool whole = request_ended_ && body_.empty() && !has_trailers_;
  UpstreamAsk ask = ask_upstream();
  auto call = open_call(ask);
  if (!call) return failed(call.error());
  call_ = std::move(*call);
  if (retry_ != nullptr) arm_try();
  if (!whole) replay_body();
}

// Until the answer begins both limits of a try run, then the idle one alone.
void Stream::arm_try() {
  Duration limit = retry_->per_try_idle_timeout;
  const Duration whole = retry_->per_try_timeout;
  if (!response_started_ && whole.count() > 0) {
    limit = limit.count() > 0 ? std::min(limit, whole) : whole;
  }
  if (limit.count() > 0) arm(Limit::kTry, limit);
}

std::expected<std::unique_ptr<UpstreamCall>, UpstreamFailure> Stream::open_call(UpstreamAsk& ask) {
  if (!request_.is_connect() || !decision_.route->forward.terminate_connect) {
    bool whole = request_ended_ && body_.empty() && !has_trailers_;
    return worker().upstream().open(ask, request_, whole, *this);
  }
  if (auto target = io::Address::parse(request_.authority)) ask.original_dst = *target;
  const SocketAddr* host = first_host(*entry_);
  if (host == nullptr || !host->internal) {
    return ConnectCall::dial(worker().loop(), worker().upstream(), ask, *this);
  }
  io::MemoryOptions pair;
  pair.a = connection_.facts().remote;
  pair.b = ask.original_dst;
  auto [near, far] = io::memory_pair(worker().loop(), pair);
  if (!worker().accept_internal(host->host, std::move(far), connection_.facts(),
                                ask.original_dst)) {
    return std::unexpected(UpstreamFailure{UpstreamFault::kNoHealthyUpstream, {}, true});
  }
  UpstreamInfo info;
  info.cluster = entry_->cluster.get();
  info.remote = ask.original_dst;
  return ConnectCall::over(worker().loop(), std::move(near), info, *this);
}

void Stream::replay_body() {
  if (!body_.empty()) call_->send_data(body_, request_ended_ && !has_trailers_);
  if (has_trailers_) call_->send_trailers(trailers_);
  if (!keep_body_) std::string().swap(body_);
  if (held_down_ > 0) {
    connection_.codec().consumed(id_, std::exchange(held_down_, 0));
  }
}

void Stream::send_body(std::string_view bytes, bool end) {
  if (mirrors_) {
    mirror_body_.append(bytes);
    if (mirror_body_.size() > kMostKept) mirrors_ = false;
    if (end) mirror();
  }
  // Without a policy that may need it again the body passes through uncopied.
  if (keep_body_ && (body_.size() + bytes.size() > kMostKept)) {
    keep_body_ = false;
    retries_left_ = 0;
    if (call_) std::string().swap(body_);
  }
  if (keep_body_ || call_ == nullptr) body_.append(bytes);
  if (call_ == nullptr) {
    held_down_ += bytes.size();
    return;
  }
  call_->send_data(bytes, end);
  if (call_->buffered() > kMostBuffered) {
    held_down_ += bytes.size();
  } else {
    connection_.codec().consumed(id_, bytes.size());
  }
}

void Stream::on_data(std::string_view bytes, bool end) {
  info_.bytes_received += bytes.size();
  if (end) request_ended();
  if (state_ == State::kDone || (response_ended_ && !call_)) {
    connection_.codec().consumed(id_, bytes.size());
    return;
  }
  arm_idle();
  if (grpc_web_) return send_web_body(bytes, end);
  send_body(bytes, end);
}

void Stream::send_web_body(std::string_view bytes, bool end) {
  auto decoded = grpc_web_->request_data(bytes);
  if (!decoded) {
    connection_.codec().consumed(id_, bytes.size());
    if (response_started_) {
      flag(Flag::kDPE);
      info_.details = "grpc_base_64_decode_failed";
      return break_off(http::ResetCode::kProtocolError);
    }
    return reply(400, "Bad gRPC-web request, invalid base64 data.", "grpc_base_64_decode_failed");
  }
  if (decoded->size() < bytes.size()) {
    connection_.codec().consumed(id_, bytes.size() - decoded->size());
  }
  send_body(*decoded, end);
}

void Stream::on_trailers(http::Headers&& trailers) {
  request_ended();
  if (state_ == State::kDone || response_ended_) return;
  trailers_ = std::move(trailers);
  has_trailers_ = true;
  mirror();
  if (call_) call_->send_trailers(trailers_);
}

void Stream::request_ended() {
  request_ended_ = true;
  request_end_ = now();
  info_.request_duration = request_end_ - started_;
  const bool waits = !response_ended_ && !upgraded_ && state_ >= State::kForwarding;
  if (timeout_.count() > 0 && waits) arm(Limit::kRoute, timeout_);
}

void Stream::on_upstream_host(const UpstreamInfo& info) {
  upstream_info_ = info;
  info_.upstream = &upstream_info_;
  if (decision_.route->forward.auto_host_rewrite && info.endpoint != nullptr &&
      !info.endpoint->hostname.empty()) {
    request_.set_authority(info.endpoint->hostname);
  }
}

void Stream::on_upstream_informational(http::ResponseHead&& head) {
  if (response_started_ || ++informational_ > kMostInformational) return;
  head.headers.remove("content-length");  // RFC 9110 8.6
  connection_.codec().inform(id_, head);
}

void Stream::on_upstream_writable() {
  if (flushing_ && call_->buffered() == 0) return end_now();
  if (held_down_ > 0) connection_.codec().consumed(id_, std::exchange(held_down_, 0));
}

void Stream::on_upstream_head(http::ResponseHead&& head, bool end) {
  cancel(Limit::kTry);
  const MonoTime came = now();
  info_.response_duration = came - started_;
  if (retry_ != nullptr && retries_response(*retry_, head)) {
    if (retries_left_ > 0) {
      if (plan_retry(reset_after(*retry_, head, worker().loop().wall()))) return call_.reset();
    } else if (info_.attempts > 1) {
      flag(Flag::kURX);
    }
  }
  retry_place_.reset();
  keep_body_ = false;
  std::string().swap(body_);
  response_ = std::move(head);
  upgraded_ = response_.status == 101 || (request_.is_connect() && response_.status / 100 == 2);
  if (upgraded_) {
    cancel(Limit::kRoute);
    if (connection_.codec().protocol() != http::Protocol::kHttp2) connection_.became_tunnel();
  }
  info_.details = "via_upstream";
  http::Headers& headers = response_.headers;
  if (response_.status == 204) headers.remove("content-length");  // RFC 9110 8.6
  const Duration served = came - (request_ended_ ? request_end_ : started_);
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(served);
  headers.set("x-envoy-upstream-service-time", std::to_string(millis.count()));
  headers.remove(kPeerMetadataHeader);
  headers.remove(kPeerMetadataIdHeader);
  note_grpc_status(headers);
  respond(end);
  if (!end && retry_ != nullptr && !upgraded_) arm_try();
}

void Stream::on_upstream_data(std::string_view data, bool end) {
  info_.bytes_sent += data.size();
  arm_idle();
  if (retry_ != nullptr && retry_->per_try_idle_timeout.count() > 0 && !upgraded_) arm_try();
  if (answers_grpc_web_) {
    connection_.codec().send_data(id_, grpc_web_->response_data(data), end);
  } else {
    connection_.codec().send_data(id_, data, end);
  }
  if (end) return response_ended();  // which lets go of the call
  if (connection_.codec().buffered(id_) > kMostBuffered) {
    held_up_ += data.size();
  } else {
    call_->consumed(data.size());
  }
}

// What is no number is -1, as Envoy tells of it.
void Stream::note_grpc_status(const http::Headers& fields) {
  if (!info_.is_grpc) return;
  if (auto status = fields.get("grpc-status")) {
    info_.grpc_status = parse_int<int>(*status).value_or(-1);
  }
}

void Stream::on_upstream_trailers(http::Headers&& trailers) {
  call_.reset();
  response_trailers_ = std::move(trailers);
  info_.response_trailers = &response_trailers_;
  note_grpc_status(response_trailers_);
  if (answers_grpc_web_) {
    connection_.codec().send_data(id_, grpc_web_->response_trailers(response_trailers_), true);
  } else {
    connection_.codec().send_trailers(id_, response_trailers_);
  }
  response_ended();
}

void Stream::on_writable() {
  if (held_up_ > 0 && call_) call_->consumed(std::exchange(held_up_, 0));
}

void Stream::on_upstream_failed(const UpstreamFailure& failure) {
  call_.reset();
  failed(failure);
}

// No answer, or none any more.
void Stream::failed(const UpstreamFailure& failure) {
  cancel(Limit::kTry);
  info_.transport_reason = failure.transport_reason;
  if (response_started_) {
    LocalReply why = reply_for(failure, false);
    info_.flags |= why.flags;
    info_.details =
        "upstream_reset_after_response_started{" + std::string(reset_reason(failure.fault)) + "}";
    return break_off(http::ResetCode::kInternalError);
  }
  if (retry_ != nullptr && retries_failure(*retry_, failure)) {
    if (retries_left_ > 0 && plan_retry()) return;
    if (info_.attempts > 1) flag(Flag::kURX);
  }
  // The workload of a pod that ends may be gone before its proxy: nothing of the request has
  // reached it, and the proxy that sent it can go elsewhere.
  const bool gone = failure.fault == UpstreamFault::kConnectFailure && failure.unsent &&
                    worker().draining() && connection_.facts().from_mizzen;
  if (!gone) return reply(reply_for(failure, info_.attempts > 1));
  info_.flags |= reply_for(failure, false).flags;
  break_off(http::ResetCode::kRefusedStream);
}

void Stream::break_off(http::ResetCode code) {
  connection_.codec().reset(id_, code);
  finish();
  enter(State::kDone);
  connection_.stream_done(*this);
}

bool Stream::plan_retry(std::optional<Duration> wait) {
  if (state_ != State::kForwarding || response_started_) return false;
  retry_place_.reset();
  retry_place_ = worker().upstream().retry_place(ask_upstream());
  if (retry_place_ == nullptr) {
    // The answer that there is goes to the client.
    flag(Flag::kUO);
    worker().stats().count("mizzen_upstream_retries_overflow_total");
    return false;
  }
  const bool remember = retry_->avoid_previous_hosts || retry_->leave_priority_after > 0;
  if (info_.upstream != nullptr && remember) tried_.push_back(upstream_info_.remote);
  --retries_left_;
  worker().stats().count("mizzen_upstream_retries_total");
  enter(State::kBackoff);
  arm(Limit::kPause, wait ? *wait : backoff(*retry_, info_.attempts, worker().random()));
  return true;
}

}  // namespace mizzen::proxy
