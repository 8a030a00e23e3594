#include "net/http_server.h"

#include <unordered_map>

#include "base/log.h"
#include "net/server_connection.h"

namespace mizzen::net {

class HttpServer::Core {
 public:
  Core(io::Loop& loop, HttpServerOptions options, Handler handler)
      : loop_(loop), options_(std::move(options)), handler_(std::move(handler)) {}

  ~Core() { drained_ = nullptr; }

  io::Listener::Accept acceptor() {
    return [this](std::unique_ptr<io::Stream> stream) { serve(std::move(stream)); };
  }
  Result<io::Address> keep(Result<std::unique_ptr<io::Listener>> listener) {
    if (!listener) return std::unexpected(listener.error());
    listeners_.push_back(std::move(*listener));
    return listeners_.back()->address();
  }

  void serve(std::unique_ptr<io::Stream> stream) {
    if (connections_.size() >= options_.max_connections) {
      log::warning("http", "more than {} connections: one from {} is closed",
                   options_.max_connections, stream->peer().to_string());
      return;
    }
    bool tls = options_.tls != nullptr;
    if (tls) stream = io::tls_server(loop_, std::move(stream), options_.tls);
    auto connection = std::make_unique<ServerConnection>(
        loop_, std::move(stream), tls,
        ServerConnection::Owner{&options_, &handler_,
                                [this](ServerConnection* gone) { drop(gone); }});
    ServerConnection* raw = connection.get();
    connections_.emplace(raw, std::move(connection));
    raw->start();
  }

  void drop(ServerConnection* gone) {
    auto found = connections_.find(gone);
    if (found == connections_.end()) return;
    loop_.dispose(std::move(found->second));
    connections_.erase(found);
    if (connections_.empty() && drained_) loop_.defer(std::exchange(drained_, nullptr));
  }

  void drain(std::function<void()> done) {
    listeners_.clear();
    if (connections_.empty()) return loop_.defer(std::move(done));
    drained_ = std::move(done);
    std::vector<ServerConnection*> all;
    for (auto& [raw, connection] : connections_) all.push_back(raw);
    for (ServerConnection* connection : all) connection->drain();
  }

  io::Loop& loop_;
  HttpServerOptions options_;
  Handler handler_;
  std::vector<std::unique_ptr<io::Listener>> listeners_;
  std::unordered_map<ServerConnection*, std::unique_ptr<ServerConnection>> connections_;
  std::function<void()> drained_;
};

HttpServer::HttpServer(io::Loop& loop, HttpServerOptions options, Handler handler)
    : core_(std::make_unique<Core>(loop, std::move(options), std::move(handler))) {}
HttpServer::~HttpServer() = default;

Result<io::Address> HttpServer::listen(const io::Address& address,
                                       const io::ListenOptions& options) {
  return core_->keep(io::Listener::listen(core_->loop_, address, options, core_->acceptor()));
}
Result<io::Address> HttpServer::adopt(io::UniqueFd listening_fd) {
  return core_->keep(io::Listener::adopt(core_->loop_, std::move(listening_fd), core_->acceptor()));
}
void HttpServer::serve(std::unique_ptr<io::Stream> stream) { core_->serve(std::move(stream)); }
void HttpServer::set_tls(io::TlsContextRef tls) { core_->options_.tls = std::move(tls); }
void HttpServer::drain(std::function<void()> done) { core_->drain(std::move(done)); }
std::size_t HttpServer::connections() const { return core_->connections_.size(); }

}  // namespace mizzen::net
