#include "net/http_client.h"

#include <fmt/format.h>

#include <deque>
#include <unordered_map>

#include "net/client_connection.h"
#include "net/client_stream.h"
#include "net/dialer.h"

namespace mizzen::net {
namespace {

using StreamRef = std::shared_ptr<ClientStream>;

class Call final : public ClientCall {
 public:
  explicit Call(StreamRef stream) : stream_(std::move(stream)) {}
  ~Call() override { stream_->cancel(); }
  void write(std::string_view bytes) override { stream_->write(bytes); }
  void end() override { stream_->end(); }
  std::size_t buffered() const override { return stream_->buffered(); }
  void pause(bool paused) override { stream_->pause(paused); }

 private:
  StreamRef stream_;
};

// What a fetch gathers.
struct Gathered {
  Response response;
  std::size_t max_body;
  bool too_long = false;
};

}  // namespace

std::string_view Response::header(std::string_view lower_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_name) return value;
  }
  return {};
}

class HttpClient::Core {
 public:
  Core(io::Loop& loop, HttpClientOptions options)
      : loop(loop),
        options(std::move(options)),
        idle_timer_(io::Timer::of<&Core::drop_idle>(loop, this)) {}

  ~Core() {
    for (const auto& weak : live_) {
      if (StreamRef stream = weak.lock()) {
        stream->retry = nullptr;
        stream->cancel();
      }
    }
  }

  StreamRef make(Request request, bool end, StreamCallbacks callbacks) {
    auto stream =
        std::make_shared<ClientStream>(loop, std::move(request), end, std::move(callbacks));
    stream->retry = [this](ClientStream& again) {
      enqueue(again.shared_from_this());
      return true;
    };
    if (live_.size() >= prune_at_) {
      std::erase_if(live_, [](const auto& weak) { return weak.expired(); });
      prune_at_ = live_.size() * 2 + 16;
    }
    live_.push_back(stream);
    stream->arm_timeout();
    loop.defer([this, stream, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) enqueue(stream);
    });
    return stream;
  }

  std::uint64_t fetch(Request request, FetchDone done, std::size_t max_body) {
    std::uint64_t id = ++last_fetch_;
    auto gathered = std::make_shared<Gathered>();
    gathered->max_body = max_body;
    StreamCallbacks callbacks;
    callbacks.on_head = [gathered](const http::ResponseHead& head) {
      gathered->response.status = head.status;
      for (const http::HeaderField& field : head.headers) {
        gathered->response.headers.emplace_back(field.name, field.value);
      }
    };
    callbacks.on_data = [this, gathered, id](std::string_view bytes) {
      if (gathered->response.body.size() + bytes.size() <= gathered->max_body) {
        gathered->response.body.append(bytes);
      } else if (!gathered->too_long) {
        gathered->too_long = true;
        stop(id, fmt::format("a response of more than {} bytes", gathered->max_body));
      }
    };
    callbacks.on_closed = [this, gathered, id, done = std::move(done)](Status status) {
      fetches_.erase(id);
      if (!status) return done(std::unexpected(status.error()));
      done(std::move(gathered->response));
    };
    fetches_[id] = make(std::move(request), true, std::move(callbacks));
    return id;
  }

  void cancel(std::uint64_t id) {
    auto found = fetches_.find(id);
    if (found == fetches_.end()) return;
    StreamRef stream = found->second;
    fetches_.erase(found);
    stream->cancel();
  }

  void upgrade(Request request, ClientStream::Upgraded done) {
    auto stream = std::make_shared<ClientStream>(loop, std::move(request), true, StreamCallbacks{});
    stream->wants_upgrade(std::move(done));
    live_.push_back(stream);
    stream->arm_timeout();
    // On a connection of its own, which is not pooled afterwards.
    dial(stream);
  }

  void close_idle() {
    std::vector<ClientConnection*> idle;
    for (auto& [raw, connection] : connections_) {
      if (raw->ready() && raw->codec().open_streams() == 0) idle.push_back(raw);
    }
    for (ClientConnection* raw : idle) close(raw, "closed");
  }

  io::Loop& loop;
  HttpClientOptions options;

 private:
  void stop(std::uint64_t id, std::string why) {
    loop.defer([this, id, why = std::move(why), alive = std::weak_ptr<int>(alive_)] {
      if (alive.expired()) return;
      auto found = fetches_.find(id);
      if (found == fetches_.end()) return;
      StreamRef stream = found->second;
      stream->fail_with({Code::kLimit, Side::kUpstream, false, why});
    });
  }

  void enqueue(StreamRef stream) {
    if (stream->done()) return;
    for (auto& [raw, connection] : connections_) {
      if (raw->can_submit() && !dedicated_.contains(raw)) return stream->attach(raw, options.base);
    }
    if (pending_.size() >= options.max_pending) {
      return stream->fail_with({Code::kLimit, Side::kInternal, true,
                                fmt::format("more than {} requests wait for {}",
                                            options.max_pending, options.base.host)});
    }
    pending_.push_back(std::move(stream));
    std::size_t opening = dials_.size() + opening_;
    bool one_is_enough = options.version == HttpVersion::kHttp2;
    std::size_t most = one_is_enough ? 1 : options.max_connections;
    if (opening < std::min(pending_.size(), most) && connections_.size() + dials_.size() < most) {
      dial(nullptr);
    } else if (one_is_enough && opening == 0 && !any_ready()) {
      dial(nullptr);
    }
  }

  bool any_ready() const {
    for (auto& [raw, connection] : connections_) {
      if (raw->ready()) return true;
    }
    return false;
  }

  // `owner`: the stream that the connection is for alone; null for the pool.
  void dial(StreamRef owner) {
    io::Resolver* resolver = options.resolver != nullptr ? options.resolver : own_resolver();
    std::uint64_t id = ++last_dial_;
    auto done = [this, id, owner,
                 alive = std::weak_ptr<int>(alive_)](Result<std::unique_ptr<io::Stream>> stream) {
      if (alive.expired()) return;
      auto found = dials_.find(id);
      loop.dispose(std::move(found->second));
      dials_.erase(found);
      dialed(std::move(stream), owner);
    };
    auto dialer = std::make_unique<Dialer>(loop, options, resolver, std::move(done));
    Dialer* raw = dialer.get();
    dials_.emplace(id, std::move(dialer));
    raw->start();
  }

  io::Resolver* own_resolver() {
    bool needed = options.base.unix_path.empty() && !options.dial &&
                  !io::Address::parse_ip(options.base.host, 1);
    if (needed && !resolver_) {
      if (auto made = io::Resolver::make(loop)) resolver_ = std::move(*made);
    }
    return resolver_.get();
  }

  void dialed(Result<std::unique_ptr<io::Stream>> stream, const StreamRef& owner) {
    if (!stream) return failed(stream.error(), owner);
    std::unique_ptr<io::Stream> open = std::move(*stream);
    bool tls = options.base.tls;
    if (tls && options.tls == nullptr) {
      return failed({Code::kInvalid, Side::kInternal, true, "https without a TLS context"}, owner);
    }
    bool only_h1 = owner != nullptr || options.version == HttpVersion::kHttp1;
    if (tls) {
      io::TlsClientTarget target;
      target.host = options.tls_host.empty() ? options.base.host : options.tls_host;
      if (!io::Address::parse_ip(target.host, 1)) target.sni = target.host;
      if (only_h1) {
        target.alpn = {"http/1.1"};
      } else if (options.version == HttpVersion::kHttp2) {
        target.alpn = {"h2"};
      } else {
        target.alpn = {"h2", "http/1.1"};
      }
      open = io::tls_client(loop, std::move(open), options.tls, std::move(target));
    }
    bool http2 = !only_h1 && options.version == HttpVersion::kHttp2;
    auto connection = std::make_unique<ClientConnection>(
        loop, std::move(open), tls, http2, options.limits, options.ping_interval,
        ClientConnection::Owner{
            [this, owner](ClientConnection* raw, Status) { opened(raw, owner); },
            [this](ClientConnection* raw) { serve(raw); },
            [this](ClientConnection* raw, const Error& error) { gone(raw, error); }});
    ClientConnection* raw = connection.get();
    connections_.emplace(raw, std::move(connection));
    if (owner) dedicated_.emplace(raw, owner);
    ++opening_;
    raw->start();
  }

  void opened(ClientConnection* raw, const StreamRef& owner) {
    --opening_;
    if (owner == nullptr) return serve(raw);
    if (!owner->done()) return owner->attach(raw, options.base);
    close(raw, "cancelled");
  }

  void serve(ClientConnection* raw) {
    if (dedicated_.contains(raw)) return;
    while (!pending_.empty() && raw->can_submit()) {
      StreamRef next = std::move(pending_.front());
      pending_.pop_front();
      if (!next->done()) next->attach(raw, options.base);
    }
    if (!idle_timer_.armed() && options.idle_timeout.count() > 0)
      idle_timer_.arm(options.idle_timeout);
  }

  void gone(ClientConnection* raw, const Error& error) {
    auto found = connections_.find(raw);
    if (found == connections_.end()) return;
    bool was_open = raw->codec_ready();
    StreamRef owner;
    if (auto mine = dedicated_.find(raw); mine != dedicated_.end()) {
      owner = mine->second;
      dedicated_.erase(mine);
    }
    loop.dispose(std::move(found->second));
    connections_.erase(found);
    if (!was_open) {
      --opening_;
      failed(error, owner);
    } else if (!pending_.empty() && dials_.size() + opening_ == 0) {
      dial(nullptr);
    }
  }

  void failed(const Error& error, const StreamRef& owner) {
    Error told = error.in(options.base.unix_path.empty() ? options.base.authority()
                                                         : options.base.unix_path);
    told.retry_safe = true;
    if (owner) return owner->fail_with(told);
    if (dials_.size() + opening_ != 0 || any_ready()) return;
    std::deque<StreamRef> lost = std::move(pending_);
    pending_.clear();
    for (const StreamRef& stream : lost) stream->fail_with(told);
  }

  void close(ClientConnection* raw, const char* why) {
    raw->close({Code::kClosed, Side::kInternal, true, why});
  }

  void drop_idle() {
    std::vector<ClientConnection*> old;
    for (auto& [raw, connection] : connections_) {
      bool idle = raw->ready() && raw->codec().open_streams() == 0 && !dedicated_.contains(raw);
      if (idle && loop.now() - raw->last_used() >= options.idle_timeout) old.push_back(raw);
    }
    for (ClientConnection* raw : old) close(raw, "idle");
    if (!connections_.empty()) idle_timer_.arm(options.idle_timeout / 2);
  }

  io::Timer idle_timer_;
  std::unique_ptr<io::Resolver> resolver_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Dialer>> dials_;
  std::unordered_map<ClientConnection*, std::unique_ptr<ClientConnection>> connections_;
  std::unordered_map<ClientConnection*, StreamRef> dedicated_;
  std::deque<StreamRef> pending_;
  std::unordered_map<std::uint64_t, StreamRef> fetches_;
  std::vector<std::weak_ptr<ClientStream>> live_;
  std::size_t prune_at_ = 64;
  std::size_t opening_ = 0;  // connections whose handshake is under way
  std::uint64_t last_dial_ = 0;
  std::uint64_t last_fetch_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

HttpClient::HttpClient(io::Loop& loop, HttpClientOptions options)
    : core_(std::make_unique<Core>(loop, std::move(options))) {}
HttpClient::~HttpClient() = default;

std::uint64_t HttpClient::fetch(Request request, FetchDone done, std::size_t max_body) {
  return core_->fetch(std::move(request), std::move(done), max_body);
}
void HttpClient::cancel(std::uint64_t id) { core_->cancel(id); }

std::unique_ptr<ClientCall> HttpClient::open(Request request, bool end, StreamCallbacks callbacks) {
  auto stream = core_->make(std::move(request), end, std::move(callbacks));
  stream->timeout_until_head();
  return std::make_unique<Call>(std::move(stream));
}

void HttpClient::upgrade(Request request, std::function<void(Result<Upgraded>)> done) {
  core_->upgrade(std::move(request), std::move(done));
}

void HttpClient::set_tls(io::TlsContextRef tls) { core_->options.tls = std::move(tls); }
void HttpClient::close_idle() { core_->close_idle(); }
io::Loop& HttpClient::loop() const { return core_->loop; }
const HttpClientOptions& HttpClient::options() const { return core_->options; }

}  // namespace mizzen::net
