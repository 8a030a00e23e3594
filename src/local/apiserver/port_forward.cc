// port-forward: pairs of streams (data and error), each pair one connection. Over SPDY a client
// opens pairs as it likes; as plain WebSocket channels a conversation is one connection per port
// asked for.
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
constexpr std::string_view kChannels = "v4.channel.k8s.io";
constexpr std::size_t kMaxPorts = 100;  // two channels each, numbered by one byte

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

// One conversation; how the streams are carried is the derived class's.
class Forwarder : public std::enable_shared_from_this<Forwarder> {
 public:
  Forwarder(io::Loop& loop, PodAccess& pods, std::string ns, std::string pod)
      : loop_(loop), pods_(pods), ns_(std::move(ns)), pod_(std::move(pod)) {}
  virtual ~Forwarder() = default;

  virtual void send(const Link& link, std::string_view bytes) = 0;
  bool congested() const { return connection_->buffered() > kMaxBacklog; }
  // Both streams of the link are over.
  void finish(Link& link, std::string_view problem);

 protected:
  void start(std::shared_ptr<Upgraded> connection, std::function<Status(std::string_view)> take);
  void open(std::uint32_t data, std::uint32_t error, std::uint16_t port);
  virtual void end(const Link& link, std::string_view problem) = 0;
  Link* link(std::uint32_t data) {
    auto found = links_.find(data);
    return found == links_.end() ? nullptr : found->second.get();
  }
  std::size_t links() const { return links_.size(); }

  std::shared_ptr<Upgraded> connection_;

 private:
  void connected(std::uint32_t id, std::uint16_t port, Result<std::unique_ptr<io::Stream>> stream);
  void close_all();

  io::Loop& loop_;
  PodAccess& pods_;
  std::string ns_;
  std::string pod_;
  std::map<std::uint32_t, std::unique_ptr<Link>> links_;  // by data stream
};

class SpdyForwarder final : public Forwarder {
 public:
  using Forwarder::Forwarder;
  void serve(std::shared_ptr<Upgraded> connection);

 private:
  void send(const Link& link, std::string_view bytes) override {
    session_->data(link.data_stream(), bytes);
  }
  void end(const Link& link, std::string_view problem) override {
    session_->data(link.error_stream(), problem);
    session_->end(link.error_stream());
    session_->end(link.data_stream());
  }
  void on_stream(std::uint32_t id, const spdy::Headers& headers);

  std::unique_ptr<spdy::Session> session_;
  std::map<std::string, std::uint32_t, std::less<>>
      error_streams_;  // by request id, until data follows
};

// Channel 2n carries the bytes of the n-th port, 2n+1 its error; the first message of each is the
// port's number, low byte first.
class ChannelForwarder final : public Forwarder {
 public:
  using Forwarder::Forwarder;
  void serve(std::shared_ptr<Upgraded> connection, const std::vector<std::uint16_t>& ports);

 private:
  void send(const Link& link, std::string_view bytes) override { emit(link.data_stream(), bytes); }
  void end(const Link& link, std::string_view problem) override {
    if (!problem.empty()) emit(link.error_stream(), problem);
    // The link still counts: the last one takes the conversation with it.
    if (links() == 1) connection_->close();
  }
  void emit(std::uint32_t channel, std::string_view bytes) {
    std::string message(1, static_cast<char>(channel));
    message += bytes;
    connection_->send(message);
  }
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

void Forwarder::start(std::shared_ptr<Upgraded> connection,
                      std::function<Status(std::string_view)> take) {
  connection_ = std::move(connection);
  UpgradedEvents events;
  events.message = [self = shared_from_this(), take = std::move(take)](std::string_view bytes) {
    if (Status taken = take(bytes); !taken) {
      log::info("apiserver", "port-forward: {}", taken.error().message);
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

void Forwarder::open(std::uint32_t data, std::uint32_t error, std::uint16_t port) {
  links_[data] = std::make_unique<Link>(*this, data, error);
  pods_.port_forward(
      ns_, pod_, port,
      [weak = weak_from_this(), data, port](Result<std::unique_ptr<io::Stream>> stream) {
        if (auto self = weak.lock()) self->connected(data, port, std::move(stream));
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
  end(link, problem);
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

void SpdyForwarder::serve(std::shared_ptr<Upgraded> connection) {
  spdy::Events frames;
  frames.on_stream = [this](std::uint32_t id, const spdy::Headers& headers) {
    on_stream(id, headers);
  };
  frames.on_data = [this](std::uint32_t id, std::string_view data) {
    if (Link* found = link(id)) found->take(data);
  };
  frames.on_end = [this](std::uint32_t id) {
    if (Link* found = link(id)) found->take_end();
  };
  frames.on_reset = [this](std::uint32_t id) {
    if (Link* found = link(id)) finish(*found, "");
  };
  session_ = std::make_unique<spdy::Session>(
      std::move(frames), [this](std::string_view bytes) { connection_->send(bytes); });
  start(std::move(connection), [this](std::string_view bytes) { return session_->feed(bytes); });
}

void SpdyForwarder::on_stream(std::uint32_t id, const spdy::Headers& headers) {
  const auto type = spdy::header(headers, "streamtype");
  const std::string request(spdy::header(headers, "requestid"));
  const auto port = parse_int<std::uint16_t>(spdy::header(headers, "port"));
  if (!port || *port == 0 || (type != "error" && type != "data") || links() >= kMaxConnections) {
    return session_->reset(id);
  }
  session_->reply(id);
  if (type == "error") {
    error_streams_[request] = id;
    return;
  }
  auto error = error_streams_.find(request);
  if (error == error_streams_.end()) return session_->reset(id);
  open(id, error->second, *port);
  error_streams_.erase(error);
}

void ChannelForwarder::serve(std::shared_ptr<Upgraded> connection,
                             const std::vector<std::uint16_t>& ports) {
  start(std::move(connection), [this](std::string_view message) -> Status {
    if (message.empty()) return fail(Code::kProtocol, "a message without a channel");
    if (Link* found = link(static_cast<unsigned char>(message[0]))) found->take(message.substr(1));
    return {};
  });
  for (std::uint32_t n = 0; n < ports.size(); ++n) {
    const std::string number = {static_cast<char>(ports[n] & 0xff),
                                static_cast<char>(ports[n] >> 8)};
    emit(2 * n, number);
    emit(2 * n + 1, number);
    open(2 * n, 2 * n + 1, ports[n]);
  }
}

// The values of `ports`, which may be lists; empty when one is no port.
std::vector<std::uint16_t> ports_of(std::string_view query) {
  std::vector<std::uint16_t> ports;
  for (auto pair : split(query, '&')) {
    if (!pair.starts_with("ports=")) continue;
    const std::string list = net::url_decode(pair.substr(6), true);
    for (auto text : split(list, ',')) {
      const auto port = parse_int<std::uint16_t>(text);
      if (!port || *port == 0 || ports.size() == kMaxPorts) return {};
      ports.push_back(*port);
    }
  }
  return ports;
}

}  // namespace

void serve_port_forward(io::Loop& loop, PodAccess& pods, const Target& target,
                        std::shared_ptr<net::Exchange> exchange) {
  const std::string upgrade = lower(exchange->request().upgrade);
  std::shared_ptr<Upgraded> connection;
  if (upgrade == "websocket") {
    const std::string protocol =
        offered_protocol(*exchange, "sec-websocket-protocol", {kTunnel, kChannels});
    if (protocol.empty()) {
      return respond(*exchange, bad_request(fmt::format("no WebSocket protocol of ours is offered: "
                                                        "{}, {}",
                                                        kTunnel, kChannels)));
    }
    if (protocol == kChannels) {
      const auto ports = ports_of(exchange->query());
      if (ports.empty()) {
        return respond(*exchange, bad_request("query parameter \"ports\" is required: numbers from "
                                              "1 to 65535"));
      }
      connection = accept_websocket(*exchange, protocol);
      if (!connection) return respond(*exchange, bad_request("Upgrade request required"));
      return std::make_shared<ChannelForwarder>(loop, pods, target.ns, target.name)
          ->serve(std::move(connection), ports);
    }
    connection = accept_websocket(*exchange, protocol);
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
  std::make_shared<SpdyForwarder>(loop, pods, target.ns, target.name)->serve(std::move(connection));
}

}  // namespace mizzen::local
