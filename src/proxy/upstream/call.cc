#include "proxy/upstream/call.h"

#include <algorithm>

#include "base/strings.h"
#include "proxy/upstream/conn.h"
#include "proxy/upstream/connector.h"

namespace mizzen::proxy::upstream {

namespace {

// google.rpc.Code's own mapping, as far as it tells server errors apart.
int http_status_of_grpc(int code) {
  switch (code) {
    case 2:   // UNKNOWN
    case 13:  // INTERNAL
    case 15:  // DATA_LOSS
      return 500;
    case 4:
      return 504;
    case 12:
      return 501;
    case 14:
      return 503;
    default:
      return 200;
  }
}

}  // namespace

Call::Call(ClusterState& cluster, const UpstreamAsk& ask, http::RequestHead& head, bool end,
           UpstreamEvents& events)
    : cluster_(cluster),
      events_(events),
      head_(head),
      snapshot_(ask.snapshot),
      entry_(ask.entry),
      downstream_protocol_(ask.downstream_protocol),
      high_priority_(ask.high_priority),
      upgrade_(ask.upgrade),
      bodiless_(end),
      request_ended_(end) {
  info_.cluster = ask.entry->cluster.get();
}

Call::~Call() {
  switch (state_) {
    case State::kNew:
    case State::kEnded:
      break;
    case State::kLookup:
      cluster_.stop_waiting(*this);
      break;
    case State::kPending:
      pool_->cancel(*this);
      break;
    case State::kActive:
      if (request_ended_ && response_ended_) {
        conn_->adopt(id_);
      } else {
        conn_->codec().reset(id_, http::ResetCode::kCancel);
        conn_->stream_done();
      }
      break;
  }
}

Lane Call::lane() const {
  const UpstreamHttp speaks = cluster_.cluster().http;
  const bool http2 =
      speaks == UpstreamHttp::kHttp2 ||
      (speaks == UpstreamHttp::kAsDownstream && downstream_protocol_ == http::Protocol::kHttp2);
  if (http2) return Lane::kHttp2;  // an upgrade is an extended CONNECT there (RFC 8441)
  return upgrade_ ? Lane::kUpgrade : Lane::kHttp1;
}

std::expected<void, UpstreamFailure> Call::start(const UpstreamAsk& ask) { return choose(ask); }

std::expected<void, UpstreamFailure> Call::choose(const UpstreamAsk& ask) {
  ClusterState::Choice choice = cluster_.choose(ask);
  if (choice.wait) {
    lookup_ = ask;
    lookup_->avoid = {};
    sni_ = ask.sni;
    lookup_->sni = sni_;
    state_ = State::kLookup;
    cluster_.wait_for_hosts(*this);
    return {};
  }
  if (choice.host == nullptr) {
    return std::unexpected(UpstreamFailure{UpstreamFault::kNoHealthyUpstream, {}, true});
  }
  host_ = choice.host;
  info_.endpoint = choice.endpoint;
  info_.remote = host_->address;
  tell_host();
  const bool by_request = host_->tls != nullptr && host_->tls->auto_sni;
  const std::string_view sni = by_request ? ask.sni : std::string_view();
  const Lane wanted = lane();
  std::string preamble = preamble_of(*entry_->cluster, ask);
  for (auto& pool : host_->pools) {
    if (pool->lane() == wanted && pool->sni() == sni && pool->preamble() == preamble) {
      pool_ = pool.get();
      return pool_->open(*this);
    }
  }
  host_->pools.push_back(
      std::make_unique<Pool>(*host_, wanted, std::string(sni), std::move(preamble)));
  pool_ = host_->pools.back().get();
  return pool_->open(*this);
}

void Call::on_hosts() {
  state_ = State::kNew;
  UpstreamAsk ask = *std::exchange(lookup_, std::nullopt);
  if (auto chosen = choose(ask); !chosen) fail(chosen.error());
}

void Call::wait_in(Taken place) {
  pending_ = std::move(place);
  state_ = State::kPending;
}

void Call::bind(Conn& conn, Taken request) {
  pending_.give_back();
  request_ = std::move(request);
  conn_ = &conn;
  state_ = State::kActive;
}

void Call::submit(http::ClientCodec& codec) {
  id_ = codec.submit(head_, bodiless_, this);
  if (bodiless_) return;
  const bool trailers = !early_trailers_.empty();
  if (!early_.empty() || (request_ended_ && !trailers)) {
    codec.send_data(id_, early_, request_ended_ && !trailers);
    std::string().swap(early_);
  }
  if (trailers) codec.send_trailers(id_, early_trailers_);
}

void Call::fail(const UpstreamFailure& failure) {
  pending_.give_back();
  request_.give_back();
  state_ = State::kEnded;
  events_.on_upstream_failed(failure);
}

void Call::send_data(std::string_view data, bool end) {
  if (request_ended_ || state_ == State::kEnded) return;
  request_ended_ = end;
  if (state_ == State::kActive) {
    conn_->codec().send_data(id_, data, end);
  } else {
    early_.append(data);
  }
}

void Call::send_trailers(const http::Headers& trailers) {
  if (request_ended_ || state_ == State::kEnded) return;
  request_ended_ = true;
  if (state_ == State::kActive) {
    conn_->codec().send_trailers(id_, trailers);
  } else {
    early_trailers_ = trailers.clone();
  }
}

std::size_t Call::buffered() const {
  return state_ == State::kActive ? conn_->codec().buffered(id_) : early_.size();
}

void Call::consumed(std::size_t bytes) {
  if (state_ == State::kActive) conn_->codec().consumed(id_, bytes);
}

void Call::timed_out() {
  const bool waiting = state_ == State::kPending || state_ == State::kActive;
  if (waiting && host_ != nullptr && !response_started_) {
    cluster_.report(*host_, Outcome::kLocalFailure);
  }
}

// --- The answer: each event is the last thing done, since it may destroy the call ---

void Call::on_informational(http::ResponseHead&& head) {
  events_.on_upstream_informational(std::move(head));
}

// A gRPC answer without body counts by its status, as the HTTP status that stands for it.
void Call::report_response(const http::ResponseHead& head) {
  int status = head.status;
  if (const auto grpc = head.headers.get("grpc-status"); grpc && status == 200) {
    status = http_status_of_grpc(parse_int<int>(*grpc).value_or(2));
  }
  cluster_.report(*host_, status >= 502 && status <= 504 ? Outcome::kGatewayError
                          : status >= 500                ? Outcome::k5xx
                                                         : Outcome::kSuccess);
}

void Call::on_response(http::ResponseHead&& head, bool end) {
  response_started_ = true;
  response_ended_ = end;
  if (cluster_.reports_matter()) report_response(head);
  events_.on_upstream_head(std::move(head), end);
}

void Call::on_data(std::string_view bytes, bool end) {
  if (end) response_ended_ = true;
  events_.on_upstream_data(bytes, end);
}

void Call::on_trailers(http::Headers&& trailers) {
  response_ended_ = true;
  events_.on_upstream_trailers(std::move(trailers));
}

void Call::on_writable() { events_.on_upstream_writable(); }

void Call::leave_connection() {
  state_ = State::kEnded;
  request_.give_back();
  conn_->stream_done();
}

void Call::on_complete() { leave_connection(); }

// A kept connection that the server closed just as it was used again (RFC 9110 9.2.2): the request
// is sent once more, on a fresh one.
bool Call::retry_stale(const Error& error) {
  const bool safe = head_.method == "GET" || head_.method == "HEAD" || head_.method == "OPTIONS";
  if (error.code != Code::kClosed || response_started_ || !bodiless_ || !safe || upgrade_ ||
      retried_stale_ || !conn_->reused() || !host_->wanted()) {
    return false;
  }
  retried_stale_ = true;
  leave_connection();
  state_ = State::kNew;
  if (auto opened = pool_->open(*this, true); !opened) fail(opened.error());
  return true;
}

void Call::on_reset(const Error& error) {
  if (retry_stale(error)) return;
  leave_connection();
  // Of an exchange whose answer is whole nothing is missing; a tunnel has another half.
  if (response_ended_ && (request_ended_ || !upgrade_)) return;
  UpstreamFailure failure;
  switch (error.code) {
    case Code::kProtocol:
    case Code::kLimit:
      failure.fault = UpstreamFault::kProtocolError;
      break;
    case Code::kReset:
      failure.fault = UpstreamFault::kRemoteReset;
      break;
    case Code::kUnavailable:
      failure.fault = UpstreamFault::kRemoteRefused;
      break;
    default:
      failure.fault = UpstreamFault::kConnectionTermination;
      break;
  }
  failure.unsent = error.retry_safe;
  if (!response_started_) cluster_.report(*host_, Outcome::kLocalFailure);
  events_.on_upstream_failed(failure);
}

}  // namespace mizzen::proxy::upstream
