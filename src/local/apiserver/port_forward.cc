// port-forward: pairs of SPDY streams (error and data, by request id), each pair one connection.
#include <fmt/core.h>

#include <array>
#include <map>

#include "base/log.h"
#include "base/strings.h"
#include "local/apiserver/pod_streams.h"
#include "local/apiserver/spdy.h"
#include "local/apiserver/streams.h"
#include "local/apiserver/upgraded.h"

namespace mizzen::local {

namespace {

constexpr std::size_t kMaxBacklog = 1 << 20;
constexpr std::size_t kMaxEarly = 1 << 20;
constexpr std::size_t kMaxConnections = 1000;
constexpr std::string_view kProtocol = "portforward.k8s.io";
constexpr std::string_view kTunnel = "SPDY/3.1+portforward.k8s.io";

class Forwarder;

// One forwarded connection.
class Link final : private io::StreamHandler {
 public:
  Link(Forwarder& owner, std::uint32_t data, std::uint32_t error)
      : owner_(owner), data_(data), error_(error) {}

  std::uint32_t data_stream() const { return data_; }
  std::uint32_t error_stream() const { return error_; }
  bool connected() const { return stream_ != nullptr; }
  void attach(std::unique_ptr<io::Stream> stream) {
    stream_ = std::move(stream);
    stream_->set_handler(this);
    flush();
  }
  void take(std::string_view bytes) {
    output_ += bytes;
    if (stream_)
      flush();
    else if (output_.size() > kMaxEarly)
      end();
  }
  void take_end() {
    ends_ = true;
    if (stream_) flush();
  }
  void pause(bool paused) {
    if (stream_) stream_->pause_reading(paused);
  }
  std::unique_ptr<io::Stream> release() {
    if (stream_) stream_->set_handler(nullptr);
    return std::move(stream_);
  }

 private:
  void on_readable() override;
  void on_writable() override { flush(); }
  void on_error(const Error&) override { end(); }
  void flush();
  void end();

  Forwarder& owner_;
  const std::uint32_t data_;
  const std::uint32_t error_;
  std::unique_ptr<io::Stream> stream_;
  std::string output_;
  bool ends_ = false;
};

class Forwarder final : public std::enable_shared_from_this<Forwarder> {
 public:
  Forwarder(io::Loop& loop, PodAccess& pods, std::string ns, std::string pod)
      : loop_(loop), pods_(pods), ns_(std::move(ns)), pod_(std::move(pod)) {}

  void serve(std::shared_ptr<Upgraded> connection);
  void send(const Link& link, std::string_view bytes) { session_->data(link.data_stream(), bytes); }
  bool congested() const { return connection_->buffered() > kMaxBacklog; }
  // Both streams of the link are over.
  void finish(Link& link, std::string_view problem);

 private:
  void on_stream(std::uint32_t id, const spdy::Headers& headers);
  void connect(std::uint32_t id, std::uint16_t port);
  void connected(std::uint32_t id, std::uint16_t port, Result<std::unique_ptr<io::Stream>> stream);
  void close_all();

  io::Loop& loop_;
  PodAccess& pods_;
  std::string ns_;
  std::string pod_;
  std::shared_ptr<Upgraded> connection_;
  std::unique_ptr<spdy::Session> session_;
  std::map<std::string, std::uint32_t, std::less<>>
      error_streams_;                                     // by request id, until data follows
  std::map<std::uint32_t, std::unique_ptr<Link>> links_;  // by data stream
};

void Link::on_readable() {
  std::array<std::byte, 32 * 1024> buffer;
  while (stream_) {
    if (owner_.congested()) return stream_->pause_reading(true);
    const io::IoResult result = stream_->read(buffer);
    if (result.status == io::IoStatus::kWouldBlock) return;
    if (result.status != io::IoStatus::kOk) return end();
    owner_.send(*this, {reinterpret_cast<const char*>(buffer.data()), result.bytes});
  }
}

void Link::flush() {
  while (!output_.empty()) {
    const io::IoResult result = stream_->write(output_);
    if (result.status == io::IoStatus::kError) return end();
    if (result.bytes == 0) return;
    output_.erase(0, result.bytes);
  }
  if (ends_) stream_->shutdown_write();
}

void Link::end() { owner_.finish(*this, ""); }

void Forwarder::serve(std::shared_ptr<Upgraded> connection) {
  connection_ = std::move(connection);
  spdy::Events frames;
  frames.on_stream = [this](std::uint32_t id, const spdy::Headers& headers) {
    on_stream(id, headers);
  };
  frames.on_data = [this](std::uint32_t id, std::string_view data) {
    if (auto found = links_.find(id); found != links_.end()) found->second->take(data);
  };
  frames.on_end = [this](std::uint32_t id) {
    if (auto found = links_.find(id); found != links_.end()) found->second->take_end();
  };
  frames.on_reset = [this](std::uint32_t id) {
    if (auto found = links_.find(id); found != links_.end()) finish(*found->second, "");
  };
  session_ = std::make_unique<spdy::Session>(
      std::move(frames), [this](std::string_view bytes) { connection_->send(bytes); });
  UpgradedEvents events;
  events.message = [self = shared_from_this()](std::string_view bytes) {
    if (Status fed = self->session_->feed(bytes); !fed) {
      log::info("apiserver", "port-forward: {}", fed.error().message);
      self->close_all();
      self->connection_->close();
    }
  };
  events.closed = [self = shared_from_this()] { self->close_all(); };
  events.drained = [self = shared_from_this()] {
    for (auto& [id, link] : self->links_) link->pause(false);
  };
  connection_->start(std::move(events));
}

void Forwarder::on_stream(std::uint32_t id, const spdy::Headers& headers) {
  const auto type = spdy::header(headers, "streamtype");
  const std::string request(spdy::header(headers, "requestid"));
  const auto port = parse_int<std::uint16_t>(spdy::header(headers, "port"));
  if (!port || *port == 0 || (type != "error" && type != "data") ||
      links_.size() >= kMaxConnections) {
    return session_->reset(id);
  }
  session_->reply(id);
  if (type == "error") {
    error_streams_[request] = id;
    return;
  }
  auto error = error_streams_.find(request);
  if (error == error_streams_.end()) return session_->reset(id);
  links_[id] = std::make_unique<Link>(*this, id, error->second);
  error_streams_.erase(error);
  connect(id, *port);
}

void Forwarder::connect(std::uint32_t id, std::uint16_t port) {
  pods_.port_forward(
      ns_, pod_, port,
      [weak = weak_from_this(), id, port](Result<std::unique_ptr<io::Stream>> stream) {
        if (auto self = weak.lock()) self->connected(id, port, std::move(stream));
      });
}

void Forwarder::connected(std::uint32_t id, std::uint16_t port,
                          Result<std::unique_ptr<io::Stream>> stream) {
  auto found = links_.find(id);
  if (found == links_.end()) return;
  if (!stream) {
    return finish(*found->second, fmt::format("error forwarding port {} to pod {}/{}: {}", port,
                                              ns_, pod_, stream.error().message));
  }
  found->second->attach(std::move(*stream));
}

void Forwarder::finish(Link& link, std::string_view problem) {
  auto found = links_.find(link.data_stream());
  if (found == links_.end()) return;
  session_->data(link.error_stream(), problem);
  session_->end(link.error_stream());
  session_->end(link.data_stream());
  loop_.dispose(link.release());
  loop_.dispose(std::move(found->second));
  links_.erase(found);
}

void Forwarder::close_all() {
  for (auto& [id, link] : links_) {
    loop_.dispose(link->release());
    loop_.dispose(std::move(link));
  }
  links_.clear();
}

}  // namespace

void serve_port_forward(io::Loop& loop, PodAccess& pods, const Target& target,
                        std::shared_ptr<net::Exchange> exchange) {
  const std::string upgrade = lower(exchange->request().upgrade);
  std::shared_ptr<Upgraded> connection;
  if (upgrade == "websocket") {
    if (offered_protocol(*exchange, "sec-websocket-protocol", {kTunnel}).empty()) {
      return respond(
          *exchange,
          bad_request("no WebSocket protocol of ours is offered: SPDY/3.1+portforward.k8s.io"));
    }
    connection = accept_websocket(*exchange, std::string(kTunnel));
  } else if (upgrade == "spdy/3.1") {
    if (offered_protocol(*exchange, "x-stream-protocol-version", {kProtocol}).empty()) {
      return respond(
          *exchange,
          status_response(403, "Forbidden",
                          "no SPDY stream protocol of ours is offered: portforward.k8s.io"));
    }
    connection = accept_spdy(*exchange, std::string(kProtocol));
  }
  if (!connection) return respond(*exchange, bad_request("Upgrade request required"));
  std::make_shared<Forwarder>(loop, pods, target.ns, target.name)->serve(std::move(connection));
}

}  // namespace mizzen::local
