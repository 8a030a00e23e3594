// exec and attach: Kubernetes' remotecommand protocols over WebSocket and SPDY.
#include <fmt/core.h>

#include "base/log.h"
#include "base/strings.h"
#include "local/apiserver/pod_streams.h"
#include "local/apiserver/spdy.h"
#include "local/apiserver/streams.h"
#include "local/apiserver/upgraded.h"

namespace mizzen::local {

namespace {

constexpr std::size_t kMaxBacklog = 1 << 20;

enum class Channel : std::uint8_t { kStdin = 0, kStdout = 1, kStderr = 2, kError = 3, kResize = 4 };

// The status that ends a session (v4 and v5).
std::string exit_status(const ExitResult& result) {
  Json status = {{"metadata", Json::object()}, {"status", "Success"}};
  if (!result.error.empty()) {
    status = {{"metadata", Json::object()},
              {"status", "Failure"},
              {"reason", "InternalError"},
              {"message", result.error},
              {"code", 500}};
  } else if (result.exit_code != 0) {
    const std::string code = std::to_string(result.exit_code);
    status["status"] = "Failure";
    status["reason"] = "NonZeroExitCode";
    status["message"] = "command terminated with non-zero exit code: exit status " + code;
    status["details"] = {{"causes", Json::array({{{"reason", "ExitCode"}, {"message", code}}})}};
  }
  return status.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// One exec between a client and a container; how its channels are carried is the derived class's.
class Remote : public std::enable_shared_from_this<Remote> {
 public:
  Remote(io::Loop& loop, PodAccess& pods, ContainerRef where, const Target& target)
      : loop_(loop),
        pods_(pods),
        where_(std::move(where)),
        attach_(target.subresource == "attach") {
    options_.tty = target.flag("tty");
    options_.with_stdin = target.flag("stdin");
    wants_stdout_ = target.flag("stdout");
    wants_stderr_ = target.flag("stderr") && !options_.tty;
  }
  virtual ~Remote() = default;

  void set_command(std::vector<std::string> command) { options_.command = std::move(command); }

 protected:
  virtual void emit(Channel channel, std::string_view bytes) = 0;
  virtual void hang_up() = 0;  // after what was emitted

  void begin() {
    PodSessionEvents events;
    std::weak_ptr<Remote> weak = weak_from_this();
    events.on_stdout = [weak](std::string_view bytes) {
      if (auto self = weak.lock(); self && self->wants_stdout_)
        self->output(Channel::kStdout, bytes);
    };
    events.on_stderr = [weak](std::string_view bytes) {
      if (auto self = weak.lock(); self && self->wants_stderr_)
        self->output(Channel::kStderr, bytes);
    };
    events.on_exit = [weak](ExitResult result) {
      if (auto self = weak.lock()) self->over(result);
    };
    auto session = attach_ ? pods_.attach(where_, options_, std::move(events))
                           : pods_.exec(where_, options_, std::move(events));
    if (!session) return over({.exit_code = 0, .error = session.error().message});
    session_ = std::move(*session);
  }

  void input(Channel channel, std::string_view bytes) {
    if (!session_) return;
    if (channel == Channel::kStdin) session_->write_stdin(bytes);
    if (channel == Channel::kResize) {
      const Json size = Json::parse(bytes, nullptr, false);
      const auto columns = object::int_at(size, {"Width"});
      const auto rows = object::int_at(size, {"Height"});
      if (columns > 0 && rows > 0)
        session_->resize(static_cast<int>(columns), static_cast<int>(rows));
    }
  }
  void input_ended() {
    if (session_) session_->close_stdin();
  }
  void drained() {
    if (session_) session_->pause(false);
  }
  void gone() { loop_.dispose(std::move(session_)); }
  bool with_stdin() const { return options_.with_stdin; }
  bool with_tty() const { return options_.tty; }
  int expected_streams() const {
    return 1 + options_.with_stdin + wants_stdout_ + wants_stderr_ + options_.tty;
  }
  virtual std::size_t backlog() const = 0;

 private:
  void output(Channel channel, std::string_view bytes) {
    emit(channel, bytes);
    if (session_ && backlog() > kMaxBacklog) session_->pause(true);
  }
  void over(const ExitResult& result) {
    if (over_) return;
    over_ = true;
    emit(Channel::kError, exit_status(result));
    hang_up();
    gone();
  }

  io::Loop& loop_;
  PodAccess& pods_;
  ContainerRef where_;
  ExecOptions options_;
  std::unique_ptr<PodSession> session_;
  bool attach_;
  bool wants_stdout_ = false;
  bool wants_stderr_ = false;
  bool over_ = false;
};

class WebSocketRemote final : public Remote {
 public:
  using Remote::Remote;

  void serve(std::shared_ptr<Upgraded> connection, bool v5) {
    connection_ = std::move(connection);
    v5_ = v5;
    auto self = std::static_pointer_cast<WebSocketRemote>(shared_from_this());
    UpgradedEvents events;
    events.message = [self](std::string_view message) { self->on_message(message); };
    events.closed = [self] { self->gone(); };
    events.drained = [self] { self->drained(); };
    connection_->start(std::move(events));
    begin();
  }

 private:
  void emit(Channel channel, std::string_view bytes) override {
    std::string message(1, static_cast<char>(channel));
    message += bytes;
    connection_->send(message);
  }
  void hang_up() override { connection_->close(); }
  std::size_t backlog() const override { return connection_->buffered(); }

  void on_message(std::string_view message) {
    if (message.empty()) return;
    const auto channel = static_cast<unsigned char>(message[0]);
    message.remove_prefix(1);
    if (channel == 255 && v5_ && !message.empty() && message[0] == 0) return input_ended();
    if (channel == 0 || channel == 4) input(static_cast<Channel>(channel), message);
  }

  std::shared_ptr<Upgraded> connection_;
  bool v5_ = false;
};

class SpdyRemote final : public Remote {
 public:
  using Remote::Remote;

  void serve(std::shared_ptr<Upgraded> connection) {
    connection_ = std::move(connection);
    auto self = std::static_pointer_cast<SpdyRemote>(shared_from_this());
    spdy::Events frames;
    frames.on_stream = [this](std::uint32_t id, const spdy::Headers& headers) {
      on_stream(id, headers);
    };
    frames.on_data = [this](std::uint32_t id, std::string_view data) {
      if (auto found = channels_.find(id); found != channels_.end()) input(found->second, data);
    };
    frames.on_end = [this](std::uint32_t id) {
      auto found = channels_.find(id);
      if (found != channels_.end() && found->second == Channel::kStdin) input_ended();
    };
    frames.on_reset = [](std::uint32_t) {};
    session_ = std::make_unique<spdy::Session>(
        std::move(frames), [this](std::string_view bytes) { connection_->send(bytes); });
    UpgradedEvents events;
    events.message = [self](std::string_view bytes) {
      if (Status fed = self->session_->feed(bytes); !fed) {
        log::info("apiserver", "exec over SPDY: {}", fed.error().message);
        self->gone();
        self->connection_->close();
      }
    };
    events.closed = [self] { self->gone(); };
    events.drained = [self] { self->drained(); };
    connection_->start(std::move(events));
  }

 private:
  void on_stream(std::uint32_t id, const spdy::Headers& headers) {
    const auto type = spdy::header(headers, "streamtype");
    Channel channel = Channel::kError;
    if (type == "stdin")
      channel = Channel::kStdin;
    else if (type == "stdout")
      channel = Channel::kStdout;
    else if (type == "stderr")
      channel = Channel::kStderr;
    else if (type == "resize")
      channel = Channel::kResize;
    else if (type != "error")
      return session_->reset(id);
    session_->reply(id);
    channels_[id] = channel;
    if (static_cast<int>(channels_.size()) == expected_streams()) begin();
  }
  void emit(Channel channel, std::string_view bytes) override {
    for (const auto& [id, kind] : channels_) {
      if (kind == channel) session_->data(id, bytes);
    }
  }
  void hang_up() override {
    for (const auto& [id, kind] : channels_) session_->end(id);
    connection_->close();
  }
  std::size_t backlog() const override { return connection_->buffered(); }

  std::shared_ptr<Upgraded> connection_;
  std::unique_ptr<spdy::Session> session_;
  std::map<std::uint32_t, Channel> channels_;
};

// Every value of `command`, in order.
std::vector<std::string> commands(std::string_view query) {
  std::vector<std::string> words;
  for (auto pair : split(query, '&')) {
    if (pair.starts_with("command=")) words.push_back(net::url_decode(pair.substr(8), true));
  }
  return words;
}

}  // namespace

std::string offered_protocol(const net::Exchange& exchange, std::string_view header,
                             std::initializer_list<std::string_view> ours) {
  for (auto wanted : ours) {
    for (const auto& each : exchange.request().headers) {
      if (each.name != header) continue;
      for (auto offered : split(each.value, ',')) {
        if (trim(offered) == wanted) return std::string(wanted);
      }
    }
  }
  return "";
}

std::shared_ptr<Upgraded> accept_websocket(net::Exchange& exchange, const std::string& protocol) {
  const std::string key(exchange.header("sec-websocket-key"));
  auto stream = exchange.upgrade(101, {{"upgrade", "websocket"},
                                       {"connection", "Upgrade"},
                                       {"sec-websocket-accept", http::websocket::accept_key(key)},
                                       {"sec-websocket-protocol", protocol}});
  return stream ? Upgraded::make(exchange.loop(), std::move(stream), true) : nullptr;
}

std::shared_ptr<Upgraded> accept_spdy(net::Exchange& exchange, const std::string& protocol) {
  auto stream = exchange.upgrade(101, {{"upgrade", "SPDY/3.1"},
                                       {"connection", "Upgrade"},
                                       {"x-stream-protocol-version", protocol}});
  return stream ? Upgraded::make(exchange.loop(), std::move(stream), false) : nullptr;
}

void serve_exec(io::Loop& loop, PodAccess& pods, const ContainerRef& where, const Target& target,
                std::shared_ptr<net::Exchange> exchange) {
  const auto command = commands(exchange->query());
  if (target.subresource == "exec" && command.empty()) {
    return respond(*exchange,
                   bad_request("you must specify at least one command for the container"));
  }
  const std::string upgrade = lower(exchange->request().upgrade);
  if (upgrade == "websocket") {
    const std::string protocol = offered_protocol(*exchange, "sec-websocket-protocol",
                                                  {"v5.channel.k8s.io", "v4.channel.k8s.io"});
    if (protocol.empty())
      return respond(
          *exchange,
          bad_request(
              "no WebSocket protocol of ours is offered: v5.channel.k8s.io, v4.channel.k8s.io"));
    auto connection = accept_websocket(*exchange, protocol);
    if (!connection) return respond(*exchange, bad_request("Upgrade request required"));
    auto remote = std::make_shared<WebSocketRemote>(loop, pods, where, target);
    remote->set_command(command);
    return remote->serve(std::move(connection), protocol.starts_with("v5"));
  }
  if (upgrade == "spdy/3.1") {
    const std::string protocol =
        offered_protocol(*exchange, "x-stream-protocol-version", {"v4.channel.k8s.io"});
    if (protocol.empty())
      return respond(
          *exchange,
          status_response(403, "Forbidden",
                          "no SPDY stream protocol of ours is offered: v4.channel.k8s.io"));
    auto connection = accept_spdy(*exchange, protocol);
    if (!connection) return respond(*exchange, bad_request("Upgrade request required"));
    auto remote = std::make_shared<SpdyRemote>(loop, pods, where, target);
    remote->set_command(command);
    return remote->serve(std::move(connection));
  }
  respond(*exchange, bad_request("Upgrade request required"));
}

}  // namespace mizzen::local
