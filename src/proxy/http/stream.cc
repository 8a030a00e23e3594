#include "proxy/http/stream.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "http/grpc.h"
#include "proxy/feed/destinations.h"
#include "proxy/http/mirror.h"
#include "proxy/http/path.h"
#include "proxy/http/retry.h"
#include "proxy/http/stream_headers.h"
#include "proxy/observe/peer_metadata.h"

namespace mizzen::proxy {
namespace {

constexpr Duration kDiscard = std::chrono::seconds(2);  // for the rest of an answered request

}  // namespace

Stream::Stream(Connection& connection, http::StreamId id, http::RequestHead&& head)
    : connection_(connection),
      id_(id),
      request_(std::move(head)),
      settings_(connection.settings()),
      timer_(io::Timer::of<&Stream::on_timer>(connection.worker().loop(), this)) {
  due_.fill(MonoTime::max());
}

Stream::~Stream() = default;

void Stream::enter(State next) { state_ = next; }

MonoTime Stream::now() const { return worker().loop().now(); }

void Stream::start(bool end) {
  started_ = now();
  info_.connection = &connection_.facts();
  info_.request = &request_;
  info_.protocol = request_.protocol;
  info_.started = worker().loop().wall();
  info_.is_grpc = request_.is_grpc();
  snapshot_ = worker().config()->snapshot;
  random_ = worker().random();
  if (end) request_ended();
  if (settings().max_stream_duration && settings().max_stream_duration->count() > 0) {
    whole_limited_ = true;
    arm(Limit::kWhole, *settings().max_stream_duration);
  } else if (!end && settings().request_timeout && settings().request_timeout->count() > 0) {
    arm(Limit::kWhole, *settings().request_timeout);
  }
  arm_idle();
}

void Stream::go() {
  if (state_ == State::kDone || !accept_head()) return;
  resolve();
  if (!look_up()) run_filters();
}

// On demand, a table's host of all hosts stands for those that the mesh does not know: whether it
// knows this one is asked first.
bool Stream::look_up() {
  if (!connection_.facts().listener->on_demand || table_ == nullptr || !table_->any) return false;
  if (decision_.host != &table_->hosts[*table_->any]) return false;
  auto name = destination_name(request_.authority, connection_.facts().local.port());
  if (!name || snapshot_->knows(*name, now())) return false;
  enter(State::kLooking);
  lookup_ = std::make_unique<Lookup>(worker(), std::vector{std::move(*name)}, [this](bool known) {
    worker().loop().dispose(std::move(lookup_));
    if (!known) {
      return reply(503, "the control plane did not say where this host is", "destination_unknown",
                   Flag::kSU);
    }
    enter(State::kFiltering);
    settings_ = connection_.settings();
    snapshot_ = worker().config()->snapshot;
    decision_ = {};
    entry_ = nullptr;
    info_.cluster = nullptr;
    info_.cluster_name = {};
    resolve();
    run_filters();
  });
  return true;
}

// What proxies tell each other goes no further.
void Stream::take_mesh_headers() {
  ConnectionInfo& connection = connection_.facts();
  if (auto original = request_.headers.get(kOriginalProtocolHeader)) {
    if (connection.from_mizzen) {
      info_.protocol = *original == "1.0" ? http::Protocol::kHttp10 : http::Protocol::kHttp11;
    }
    request_.headers.remove(kOriginalProtocolHeader);
  }
  if (auto metadata = request_.headers.get(kPeerMetadataHeader)) {
    // Believed from a peer that proved who it is; a stranger's is dropped.
    if (connection.mutual_tls && !connection.peer_workload) {
      connection.peer_workload = parse_peer_metadata(*metadata);
    }
    request_.headers.remove(kPeerMetadataHeader);
    request_.headers.remove(kPeerMetadataIdHeader);
  }
}

bool Stream::accept_head() {
  take_mesh_headers();
  if (worker().shared().overload.sheds_requests() && !connection_.listener()->bypasses_overload) {
    worker().stats().count("mizzen_downstream_requests_shed_total");
    reply(503, "envoy overloaded", "overload", Flag::kOM);
    return false;
  }
  if (request_.protocol == http::Protocol::kHttp10 && !settings().accept_http_10) {
    info_.request = nullptr;
    info_.protocol = http::Protocol::kHttp11;
    reply(426, "Upgrade Required", "low_version", Flag::kDPE);
    return false;
  }
  if (request_.authority.empty()) {
    if (request_.protocol != http::Protocol::kHttp10 ||
        settings().default_host_for_http_10.empty()) {
      reply(400, "", "missing_host_header");
      return false;
    }
    request_.set_authority(settings().default_host_for_http_10);
  }
  std::uint64_t random[2] = {worker().random(), worker().random()};
  admit_request(request_, settings(), connection_.facts(), random, info_.remote);
  if (settings().grpc_web) {
    grpc_web_ = GrpcWeb::accept(request_);
    if (grpc_web_) info_.is_grpc = true;
  }
  if (request_.is_connect()) {
    bool allowed = std::ranges::any_of(settings().upgrades, [](const std::string& name) {
      return equals_ignore_case(name, "connect");
    });
    if (!allowed) reply(403, "", "upgrade_failed");
    return allowed;
  }
  std::string normal;
  switch (normalize_path(request_.path, settings(), normal)) {
    case PathVerdict::kUnchanged:
      break;
    case PathVerdict::kChanged:
      request_.set_path(normal);
      break;
    case PathVerdict::kRefuse:
      reply(400, "", "path_normalization_failed");
      return false;
    case PathVerdict::kRedirect:
      response_.headers.add("location", normal);
      reply(307, "", "path_normalization_failed");
      return false;
  }
  strip_host();
  if (request_.expects_continue() && !settings().proxy_100_continue) {
    http::ResponseHead go_on;
    go_on.status = 100;
    connection_.codec().inform(id_, go_on);
    request_.headers.remove("expect");
  }
  return true;
}

void Stream::strip_host() {
  const HttpSettings& s = settings();
  std::string_view host = request_.authority;
  const bool may_strip = s.strip_any_host_port || s.strip_matching_host_port;
  const auto colon = may_strip ? host.rfind(':') : std::string_view::npos;
  if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) {
    auto port = parse_int<std::uint16_t>(host.substr(colon + 1));
    bool own = s.strip_matching_host_port && port == connection_.facts().local.port();
    if (s.strip_any_host_port || own) host = host.substr(0, colon);
  }
  if (s.strip_trailing_host_dot && host.ends_with('.')) host.remove_suffix(1);
  if (host.size() != request_.authority.size()) request_.set_authority(host);
}

void Stream::resolve() {
  table_ = snapshot_->table(settings());
  if (table_ == nullptr) return;  // 404, with the rest of the decision empty
  bool tls = request_.scheme == "https";
  decision_ = route::match(*table_, HeadView(request_), random_, tls);
  if (decision_.route != nullptr) {
    info_.route_name = decision_.route->name;
    info_.route_stat_prefix = decision_.route->stat_prefix;
    info_.virtual_host = decision_.host->name;
  }
  if (decision_.kind != route::Decision::Kind::kForward) return;
  entry_ = snapshot_->cluster(decision_.cluster);
  if (entry_ == nullptr) return;
  info_.cluster = entry_->cluster.get();
  info_.cluster_name = entry_->cluster->name;
}

void Stream::act() {
  enter(State::kForwarding);
  using Kind = route::Decision::Kind;
  switch (decision_.kind) {
    case Kind::kNoVirtualHost:
    case Kind::kNoRoute:
      return reply(404, "", "route_not_found", Flag::kNR);
    case Kind::kRedirect:
    case Kind::kTlsRequired:
      return redirect();
    case Kind::kDirectResponse: {
      const route::DirectResponse& direct = decision_.route->direct;
      return reply(direct.status, direct.body, "direct_response");
    }
    case Kind::kForward:
      return forward();
  }
}

void Stream::redirect() {
  int status = decision_.kind == route::Decision::Kind::kTlsRequired
                   ? 301
                   : decision_.route->redirect.status;
  std::string location = route::redirect_location(decision_, HeadView(request_));
  response_.headers.add("location", location);
  reply(status, "", "direct_response");
}

void Stream::forward() {
  if (entry_ == nullptr) {
    int status = decision_.route->forward.cluster_not_found_status;
    info_.cluster_name = {};
    return reply(status, "", "cluster_not_found", Flag::kNC);
  }
  if (!request_.upgrade.empty()) {
    bool allowed = std::ranges::any_of(settings().upgrades, [&](const std::string& name) {
      return equals_ignore_case(name, request_.upgrade);
    });
    for (const auto& [name, enabled] : decision_.route->forward.upgrades) {
      if (equals_ignore_case(name, request_.upgrade)) allowed = enabled;
    }
    if (!allowed) return reply(403, "", "upgrade_failed");
  }
  prepare_forward(*decision_.route);
  mirrors_ = !decision_.route->forward.mirrors.empty() && request_.upgrade.empty();
  if (mirrors_) mirror_body_ = body_;
  if (request_ended_) mirror();
  attempt();
}

void Stream::prepare_forward(const route::Route& route) {
  const route::Forward& forward = route.forward;
  mutate_request(request_, decision_, *table_, info_);
  HeadView view(request_);
  auto host = route::rewritten_host(decision_, view);
  auto path = route::rewritten_path(route, request_.path);
  if (host) {
    if (forward.append_x_forwarded_host) {
      request_.headers.add("x-forwarded-host", request_.authority);
    }
    request_.set_authority(*host);
  }
  if (path) {
    request_.headers.set("x-envoy-original-path", request_.path);
    request_.set_path(*path);
  }
  if (settings().tracing && !route.operation.empty()) {
    if (connection_.facts().direction == Direction::kInbound) {
      if (request_.headers.remove("x-envoy-decorator-operation") == 0) decorator_ = route.operation;
    } else {
      request_.headers.set("x-envoy-decorator-operation", route.operation);
    }
  }
  retry_ = route::retry_policy(decision_);
  if (retry_ != nullptr && !retries_request(*retry_, request_)) retry_ = nullptr;
  retries_left_ = retry_ == nullptr ? 0 : retry_->attempts;
  keep_body_ = retries_left_ > 0;
  timeout_ = forward.timeout;
  limit_duration(forward);
  if (timeout_.count() > 0) {
    auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(timeout_).count();
    request_.headers.set("x-envoy-expected-rq-timeout-ms", std::to_string(millis));
    if (request_ended_) arm(Limit::kRoute, timeout_);
  }
}

// The route's max_stream_duration wins over the connection's; a client's grpc-timeout, within its
// cap, over both.
void Stream::limit_duration(const route::Forward& forward) {
  std::optional<Duration> most = forward.max_stream_duration;
  if (info_.is_grpc && forward.max_grpc_timeout) {
    if (auto asked = request_.headers.get("grpc-timeout")) {
      if (auto wanted = http::parse_grpc_timeout(*asked)) {
        const Duration cap = *forward.max_grpc_timeout;
        most = cap.count() != 0 ? std::min(*wanted, cap) : *wanted;
      }
    }
  }
  if (!most) return;
  whole_limited_ = true;
  cancel(Limit::kWhole);
  if (most->count() > 0) arm(Limit::kWhole, std::max(*most - (now() - started_), Duration(1)));
}

// Once the request is whole; a body too large to keep is not mirrored.
void Stream::mirror() {
  if (!mirrors_) return;
  mirrors_ = false;
  send_mirrors(worker(), snapshot_, *decision_.route, request_, mirror_body_, connection_.facts());
  std::string().swap(mirror_body_);
}

// --- Timers --------------------------------------------------------------------------------------

void Stream::arm(Limit limit, Duration from_now) {
  const MonoTime at = now() + from_now;
  due_[static_cast<std::size_t>(limit)] = at;
  if (at >= next_due_) return;
  next_due_ = at;
  timer_.arm(from_now);
}

void Stream::on_timer() {
  const MonoTime time = now();
  for (std::size_t i = 0; i < due_.size(); ++i) {
    if (due_[i] > time) continue;
    due_[i] = MonoTime::max();
    on_limit(static_cast<Limit>(i));
    if (state_ == State::kDone) return;
  }
  next_due_ = std::ranges::min(due_);
  if (next_due_ != MonoTime::max()) timer_.arm(next_due_ - time);
}

void Stream::on_limit(Limit limit) {
  switch (limit) {
    case Limit::kRoute:
      return on_deadline();
    case Limit::kTry:
      return on_try_timeout();
    case Limit::kPause:
      return on_pause_over();
    case Limit::kIdle:
      return on_idle();
    case Limit::kWhole:
      return on_most();
    case Limit::kCount:
      break;
  }
}

void Stream::on_pause_over() {
  if (state_ == State::kBackoff) return attempt();
  if (state_ == State::kDelayed) {
    enter(State::kFiltering);
    run_filters();
  }
}

void Stream::on_try_timeout() {
  if (response_started_) return on_idle();  // per_try_idle_timeout
  if (state_ != State::kForwarding) return;
  if (call_) call_->timed_out();
  call_.reset();
  if (retries_timeout(*retry_)) {
    if (retries_left_ > 0 && plan_retry()) return;
    if (info_.attempts > 1) flag(Flag::kURX);
  }
  reply(504, "upstream request timeout", "upstream_per_try_timeout", Flag::kUT);
}

void Stream::on_deadline() {
  if (state_ == State::kDone) return;
  if (call_) call_->timed_out();
  call_.reset();
  cancel(Limit::kPause);
  if (!response_started_) {
    return reply(504, "upstream request timeout", "response_timeout", Flag::kUT);
  }
  flag(Flag::kUT);
  info_.details = "response_timeout";
  connection_.codec().reset(id_, http::ResetCode::kInternalError);
  end_now();
}

void Stream::arm_idle() {
  std::optional<Duration> idle = settings().stream_idle_timeout;
  if (decision_.route != nullptr && decision_.route->forward.idle_timeout) {
    idle = decision_.route->forward.idle_timeout;
  }
  if (response_ended_ && !upgraded_) idle = kDiscard;
  if (idle && idle->count() > 0) arm(Limit::kIdle, *idle);
}

void Stream::on_most() {
  if (state_ == State::kDone) return;
  if (!whole_limited_) {
    if (request_ended_ || response_started_) return;
    return reply(408, "request timeout", "request_overall_timeout", Flag{});
  }
  call_.reset();
  if (!response_started_) {
    return reply_timeout("downstream duration timeout", "max_duration_timeout", Flag::kDT);
  }
  flag(Flag::kDT);
  info_.details = "max_duration_timeout";
  connection_.codec().reset(id_, http::ResetCode::kCancel);
  end_now();
}

void Stream::on_idle() {
  if (state_ == State::kDone) return;
  call_.reset();
  if (!response_started_) {
    return reply_timeout("stream timeout", "stream_idle_timeout", Flag::kSI);
  }
  if (!response_ended_) {
    flag(Flag::kSI);
    info_.details = "stream_idle_timeout";
  }
  connection_.codec().reset(id_, http::ResetCode::kCancel);
  end_now();
}

// 408 to a client that is still sending; it is the upstream's fault when the request is whole.
void Stream::reply_timeout(std::string_view body, std::string_view details, Flag flag) {
  LocalReply local;
  local.status = request_ended_ ? 504 : 408;
  local.body = body;
  local.details = details;
  local.flags = static_cast<std::uint32_t>(flag);
  if (flag == Flag::kDT) local.grpc_status = 4;  // DEADLINE_EXCEEDED
  reply(local);
}

// --- The answer ----------------------------------------------------------------------------------

void Stream::reply(int status, std::string_view body, std::string_view details, Flag flag) {
  LocalReply local;
  local.status = status;
  local.body = body;
  local.details = details;
  local.flags = static_cast<std::uint32_t>(flag);
  reply(local);
}

void Stream::reply(const LocalReply& local) {
  call_.reset();
  lookup_.reset();
  cancel(Limit::kPause);
  cancel(Limit::kTry);
  info_.flags |= local.flags;
  info_.details = local.details;
  // What was put there before (a Location) comes first.
  http::Headers before = std::move(response_.headers);
  response_.headers = http::Headers();
  bool grpc = info_.is_grpc && local.details != "direct_response";
  std::string_view body = fill_local_reply(local, grpc, response_);
  if (!before.empty()) {
    for (const http::HeaderField& field : response_.headers) before.add(field.name, field.value);
    response_.headers = std::move(before);
  }
  if (grpc) info_.grpc_status = parse_int<int>(response_.headers.get_or("grpc-status", ""));
  if (request_.method == "HEAD") {
    body = {};
  }
  info_.bytes_sent = body.size();
  std::string kept(body);
  respond(kept.empty());
  if (kept.empty()) return;
  connection_.codec().send_data(id_, kept, true);
  response_ended();
}

void Stream::respond(bool end) {
  enter(State::kResponding);
  response_started_ = true;
  http::Headers& headers = response_.headers;
  if (cors_ != nullptr) {
    if (auto origin = request_.headers.get("origin")) add_cors_headers(headers, *cors_, *origin);
  }
  if (connection_.facts().direction != Direction::kInbound) {
    headers.remove("x-envoy-decorator-operation");
  } else if (!decorator_.empty()) {
    headers.set("x-envoy-decorator-operation", decorator_);
  }
  info_.status = response_.status;
  info_.response = &response_;
  if (table_ != nullptr) mutate_response(headers, decision_, *table_, info_);
  if (!set_cookie_.empty()) headers.add("set-cookie", set_cookie_);
  if (settings().always_set_request_id_in_response) {
    headers.set("x-request-id", request_.headers.get_or("x-request-id", ""));
  }
  answers_grpc_web_ = grpc_web_ && grpc_web_->response_head(response_);
  finish_response(response_, settings(), worker().http_date());
  connection_.codec().respond(id_, response_, end);
  if (end) response_ended();
}

void Stream::response_ended() {
  if (response_ended_) return;
  response_ended_ = true;
  if (upgraded_ && !request_ended_) return;  // the other half of the tunnel goes on
  if (!drains()) call_.reset();
  cancel(Limit::kRoute);
  cancel(Limit::kTry);
  if (request_ended_) {
    cancel(Limit::kIdle);
    return connection_.answered();  // on_complete() comes when all is written
  }
  // The rest of the request is read and dropped, for a while.
  finish();
  if (held_down_ > 0) connection_.codec().consumed(id_, std::exchange(held_down_, 0));
  arm_idle();
}

void Stream::on_complete() {
  flushing_ = drains();
  if (!flushing_) end_now();
}

bool Stream::drains() const {
  return upgraded_ && call_ != nullptr && request_.is_connect() &&
         decision_.route->forward.terminate_connect && call_->buffered() > 0;
}

void Stream::end_now() {
  finish();
  // Not only with the stream, when the turn ends: the next answer finds them in the caches.
  request_ = {};
  response_ = {};
  enter(State::kDone);
  connection_.stream_done(*this);
}

void Stream::on_reset(const Error& error) {
  if (state_ == State::kDone) return;
  abandon(error.code == Code::kProtocol || error.code == Code::kLimit);
  connection_.stream_done(*this);
}

void Stream::abandon(bool broken) {
  if (state_ == State::kDone) return;
  if (!finished_ && !(response_ended_ && request_ended_)) {
    flag(broken ? Flag::kDPE : Flag::kDC);
    info_.details = broken ? "codec_error" : "downstream_remote_disconnect";
  }
  finish();
  enter(State::kDone);
}

void Stream::finish() {
  if (finished_) return;
  finished_ = true;
  call_.reset();
  lookup_.reset();
  retry_place_.reset();
  due_.fill(MonoTime::max());
  info_.duration = now() - started_;
  worker().access_log().log(settings().access_logs, info_);
  if (info_.request != nullptr) worker().stats().request_done(info_);
}

}  // namespace mizzen::proxy
