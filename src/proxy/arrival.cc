#include "proxy/arrival.h"

#include "base/log.h"
#include "http/codec.h"
#include "io/tls.h"
#include "proxy/feed/destinations.h"
#include "proxy/http/authorization.h"
#include "proxy/http/connection.h"
#include "proxy/tcp/proxy_protocol.h"
#include "proxy/tcp/tcp_proxy.h"

namespace mizzen::proxy {
namespace {

constexpr std::size_t kMostInspected = 16 * 1024 + 5;  // one TLS record
constexpr Duration kHandshakeTimeout = std::chrono::seconds(15);
constexpr Duration kProxyHeaderTimeout = std::chrono::seconds(10);

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Arrival::Arrival(Worker& worker, std::shared_ptr<const Listener> listener,
                 std::unique_ptr<io::Stream> stream, PlaceRef place)
    : worker_(worker),
      stream_(std::move(stream)),
      config_(worker.config()),
      timer_(io::Timer::of<&Arrival::on_timeout>(worker.loop(), this)) {
  info_.id = worker.shared().last_connection.fetch_add(1, std::memory_order_relaxed) + 1;
  info_.started = worker.loop().wall();
  info_.started_mono = worker.loop().now();
  info_.remote = stream_->peer();
  info_.direct_local = stream_->local();
  info_.local = info_.direct_local;
  info_.listener = std::move(listener);
  info_.place = std::move(place);
  info_.direction = info_.listener->direction;
}

void Arrival::start() {
  const Listener& entry = *info_.listener;
  if (entry.original_dst_filter || entry.use_original_dst || entry.transparent) {
    if (auto meant = stream_->original_dst()) info_.local = *meant;
  }
  stream_->set_handler(this);
  wants_proxy_header_ = entry.proxy_protocol;
  if (!wants_proxy_header_) return begin();
  timer_.arm(kProxyHeaderTimeout);
  if (take_proxy_header()) begin();
}

// The tunnel has said who comes: what it proved holds for the bytes inside.
void Arrival::start_inside(const ConnectionInfo& outer, const io::Address& meant) {
  info_.remote = outer.remote;
  info_.local = meant;
  info_.peer = outer.peer;
  info_.own = outer.own;
  info_.mutual_tls = outer.mutual_tls;
  info_.peer_workload = outer.peer_workload;
  stream_->set_handler(this);
  begin();
}

// Consumes exactly the header, so that what follows is the connection as the client sees it.
bool Arrival::take_proxy_header() {
  auto buffer = worker_.scratch().first(
      kMostProxyHeader > worker_.scratch().size() ? worker_.scratch().size() : kMostProxyHeader);
  io::IoResult got = stream_->peek(buffer);
  if (got.status == io::IoStatus::kWouldBlock) return false;
  ProxyHeader header;
  auto status = got.bytes == 0 ? ProxyHeaderStatus::kInvalid
                               : parse_proxy_header(text(buffer.first(got.bytes)), header);
  if (status == ProxyHeaderStatus::kNeedMore && got.status == io::IoStatus::kOk) return false;
  if (status == ProxyHeaderStatus::kInvalid && got.bytes > 0 &&
      info_.listener->proxy_protocol_optional) {
    wants_proxy_header_ = false;
    timer_.cancel();
    return true;
  }
  if (status != ProxyHeaderStatus::kDone) {
    worker_.stats().count("mizzen_downstream_proxy_header_failures_total");
    stream_->abort();
    finish();
    return false;
  }
  for (std::size_t left = header.size; left > 0;) {
    io::IoResult read = stream_->read(worker_.scratch().first(left));
    if (read.bytes == 0) break;  // cannot be: it was there
    left -= read.bytes;
  }
  if (header.source) {
    info_.remote = header.source;
    info_.local = header.destination;
  }
  wants_proxy_header_ = false;
  timer_.cancel();
  return true;
}

// What is not captured has the listener's own port, and nothing behind it.
void Arrival::begin() {
  const Listener& entry = *info_.listener;
  const bool own = !entry.addresses.empty() && entry.addresses[0].port == info_.local.port();
  if (entry.use_original_dst && entry.on_demand && !own && info_.local.is_ip() &&
      !config_->listens_at(info_.local) &&
      look_up({info_.local.to_string(), port_name(info_.local.port())},
              &Arrival::follow_destination)) {
    return;
  }
  follow_destination();
}

bool Arrival::look_up(std::vector<std::string> names, void (Arrival::*then)()) {
  std::erase_if(names, [&](const std::string& name) {
    return config_->snapshot->knows(name, worker_.loop().now());
  });
  if (names.empty()) return false;
  state_ = State::kLooking;
  stream_->pause_reading(true);
  lookup_ = std::make_unique<Lookup>(worker_, std::move(names), [this, then](bool known) {
    worker_.loop().dispose(std::move(lookup_));
    stream_->pause_reading(false);
    state_ = State::kInspecting;
    if (!known) return refuse(Flag::kSU, "destination_unknown");
    config_ = worker_.config();
    if (auto today = config_->listener(info_.listener->name)) info_.listener = std::move(today);
    (this->*then)();
  });
  return true;
}

void Arrival::follow_destination() {
  const Listener& entry = *info_.listener;
  if (entry.use_original_dst) {
    if (auto target = config_->hand_off(info_.local)) {
      info_.listener = std::move(target);
      info_.direction = info_.listener->direction;
    }
  }
  const Listener& listener = *info_.listener;
  look_for_tls_ = listener.tls_inspector.inspects(info_.local.port());
  look_for_http_ = listener.http_inspector.inspects(info_.local.port());
  info_.transport_protocol = "raw_buffer";
  if (!look_for_tls_ && !look_for_http_) return choose();
  if (listener.inspect_timeout) timer_.arm(*listener.inspect_timeout);
  inspect();
}

void Arrival::on_readable() {
  if (state_ != State::kInspecting) return;
  if (wants_proxy_header_) {
    if (take_proxy_header()) begin();
    return;
  }
  inspect();
}

void Arrival::inspect() {
  auto buffer = worker_.scratch().first(kMostInspected);
  io::IoResult got = stream_->peek(buffer);
  switch (got.status) {
    case io::IoStatus::kWouldBlock:
      return;
    case io::IoStatus::kError:
      return finish();
    case io::IoStatus::kEof:
      if (got.bytes == 0) return finish();
      break;
    case io::IoStatus::kOk:
      break;
  }
  bool at_end = got.status == io::IoStatus::kEof || got.bytes == buffer.size();
  if (identify(text(buffer.first(got.bytes)), at_end)) choose();
}

bool Arrival::identify(std::string_view bytes, bool at_end) {
  if (look_for_tls_) {
    io::ClientHello hello;
    auto status = io::parse_client_hello(std::as_bytes(std::span(bytes)), &hello);
    if (status == io::HelloStatus::kNeedMore && !at_end) return false;
    look_for_tls_ = false;
    if (status == io::HelloStatus::kDone) {
      info_.transport_protocol = "tls";
      info_.server_name = std::move(hello.sni);
      info_.application_protocols = std::move(hello.alpn);
      return true;
    }
  }
  if (!look_for_http_) return true;
  switch (http::guess_protocol(bytes)) {
    case http::Guess::kHttp2:
      info_.application_protocols = {"h2c"};
      return true;
    case http::Guess::kOther:
      return true;
    case http::Guess::kNeedMore:
      return at_end;
    case http::Guess::kHttp1:
      break;
  }
  // HTTP/1.0 is its own word: Istio's chains do not name it, so that it passes as TCP.
  auto line_end = bytes.find('\n');
  if (line_end == std::string_view::npos) {
    if (!at_end) return false;
    info_.application_protocols = {"http/1.1"};
    return true;
  }
  std::string_view line = bytes.substr(0, line_end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  info_.application_protocols = {line.ends_with("HTTP/1.0") ? "http/1.0" : "http/1.1"};
  return true;
}

void Arrival::on_timeout() {
  if (state_ == State::kInspecting && !wants_proxy_header_ &&
      info_.listener->continue_on_inspect_timeout)
    return choose();
  finish();
}

void Arrival::choose() {
  timer_.cancel();
  // A snapshot may have come while we looked.
  config_ = worker_.config();
  if (auto today = config_->listener(info_.listener->name)) info_.listener = std::move(today);
  chain_ = chain_for(*info_.listener, info_);
  const bool by_name = chain_ != nullptr && !chain_->match.server_names.empty();
  if (info_.listener->on_demand && !by_name && !info_.server_name.empty()) {
    auto name = destination_name(info_.server_name, info_.local.port());
    if (name && look_up({std::move(*name)}, &Arrival::choose)) return;
  }
  if (chain_ == nullptr) return refuse(Flag::kNR, "filter_chain_not_found");
  info_.chain_name = chain_->name;
  if (chain_->tls == nullptr) return hand_over();
  bool http = std::holds_alternative<std::shared_ptr<const HttpSettings>>(chain_->terminal);
  auto context = worker_.shared().contexts.server(*config_->snapshot, *chain_->tls, http);
  if (!context) {
    log::warning("arrival", "{}: {}", info_.listener->name, context.error().message);
    return finish();
  }
  state_ = State::kHandshaking;
  stream_->set_handler(nullptr);
  stream_ = io::tls_server(worker_.loop(), std::move(stream_), std::move(*context));
  stream_->set_handler(this);
  timer_.arm(chain_->transport_connect_timeout.count() != 0 ? chain_->transport_connect_timeout
                                                            : kHandshakeTimeout);
}

void Arrival::on_open() {
  if (state_ != State::kHandshaking) return;
  const io::TlsInfo* tls = stream_->tls();
  info_.tls = true;
  info_.alpn = tls->alpn;
  info_.tls_version = tls->version;
  info_.tls_cipher = tls->cipher;
  if (info_.server_name.empty()) info_.server_name = tls->sni;
  info_.peer = tls->peer;
  info_.own = tls->local;
  info_.mutual_tls = tls->peer != nullptr;
  info_.from_mizzen = tls->alpn == kMizzenAlpn && info_.mutual_tls;
  hand_over();
}

void Arrival::on_error(const Error& error) {
  if (state_ == State::kDone) return;
  worker_.stats().count("mizzen_downstream_handshake_failures_total");
  log::debug("arrival", "{} from {}: {}", info_.listener->name, info_.remote.to_string(),
             error.message);
  finish();
}

void Arrival::hand_over() {
  timer_.cancel();
  state_ = State::kDone;
  stream_->set_handler(nullptr);
  if (const auto* http = std::get_if<std::shared_ptr<const HttpSettings>>(&chain_->terminal)) {
    auto connection =
        std::make_unique<Connection>(worker_, std::move(stream_), std::move(info_), *http);
    Connection& started = *connection;
    worker_.add(std::move(connection));
    worker_.remove(*this);
    return started.start();
  }
  const auto& tcp = std::get<std::shared_ptr<const TcpSettings>>(chain_->terminal);
  if (auto denied = denied_by_chain(*chain_, info_)) {
    RequestInfo request;
    request.connection = &info_;
    request.started = info_.started;
    request.is_tcp = true;
    request.termination_details = std::move(*denied);
    worker_.access_log().log(tcp->access_logs, request);
    stream_->abort();
    return finish();
  }
  std::string cluster = chain_->sni_cluster ? info_.server_name : std::string();
  start_tcp_proxy(worker_, std::move(stream_), std::move(info_), tcp, std::move(cluster));
  worker_.remove(*this);
}

void Arrival::refuse(Flag flag, std::string_view details) {
  RequestInfo request;
  request.connection = &info_;
  request.started = info_.started;
  request.is_tcp = true;
  request.flags = static_cast<std::uint32_t>(flag);
  request.details = details;
  worker_.access_log().log(info_.listener->access_logs, request);
  stream_->abort();
  finish();
}

void Arrival::on_chain(const std::shared_ptr<const Listener>&, const FilterChain*) {}

// What has just arrived is served: its first request is told to be the last.
void Arrival::drain() {}

void Arrival::finish() {
  state_ = State::kDone;
  timer_.cancel();
  lookup_.reset();
  if (stream_) stream_->set_handler(nullptr);
  worker_.remove(*this);
}

}  // namespace mizzen::proxy
