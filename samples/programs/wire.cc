#include "samples/wire.h"

#include <fmt/format.h>

#include <array>

namespace mizzen::samples {
namespace {

constexpr std::size_t kMostPending = 16 * 1024 * 1024;  // unread by one side or the other

}  // namespace

Wire::Wire(std::unique_ptr<io::Stream> stream, Owner owner)
    : stream_(std::move(stream)), owner_(std::move(owner)) {
  stream_->set_handler(this);
}

void Wire::send(std::string_view bytes) {
  if (dead_) return;
  out_.append(bytes);
  flush();
}

void Wire::finish() {
  finishing_ = true;
  flush();
}

void Wire::on_readable() {
  std::array<std::byte, 16384> buffer;
  while (!dead_) {
    io::IoResult got = stream_->read(buffer);
    if (got.status == io::IoStatus::kWouldBlock) return;
    if (got.status == io::IoStatus::kEof) {
      return die({.code = Code::kClosed, .message = "the peer closed the connection"});
    }
    if (got.status == io::IoStatus::kError) return die(stream_->error());
    in_.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
    owner_.input(in_);
    if (in_.size() > kMostPending || out_.size() > kMostPending) {
      return die({.code = Code::kLimit, .message = "more than 16 MiB are waiting"});
    }
  }
}

void Wire::flush() {
  while (!out_.empty() && !dead_) {
    io::IoResult put = stream_->write(out_);
    if (put.status == io::IoStatus::kWouldBlock) return;
    if (put.status != io::IoStatus::kOk) return die(stream_->error());
    out_.erase(0, put.bytes);
  }
  if (finishing_ && !dead_) die({.code = Code::kClosed, .message = "done"});
}

void Wire::die(const Error& error) {
  if (dead_) return;
  dead_ = true;
  owner_.gone(error);
}

struct TcpServer::Peer {
  std::unique_ptr<Wire> wire;
  std::unique_ptr<Conversation> conversation;
};

TcpServer::TcpServer(io::Loop& loop, Converse converse)
    : loop_(loop), converse_(std::move(converse)) {}
TcpServer::~TcpServer() = default;

std::uint16_t TcpServer::port() const { return listeners_.front()->address().port(); }

Result<std::unique_ptr<TcpServer>> TcpServer::listen(io::Loop& loop,
                                                     const std::vector<std::uint16_t>& ports,
                                                     Converse converse) {
  std::unique_ptr<TcpServer> server(new TcpServer(loop, std::move(converse)));
  for (std::uint16_t port : ports) {
    MIZZEN_TRY(auto listener,
               io::Listener::listen(loop, io::Address::any(port), {},
                                    [raw = server.get()](std::unique_ptr<io::Stream> stream) {
                                      raw->accept(std::move(stream));
                                    }));
    server->listeners_.push_back(std::move(listener));
  }
  return server;
}

void TcpServer::accept(std::unique_ptr<io::Stream> stream) {
  auto owned = std::make_unique<Peer>();
  Peer* peer = owned.get();
  peers_.emplace(peer, std::move(owned));
  peer->wire = std::make_unique<Wire>(std::move(stream),
                                      Wire::Owner{[peer](std::string& bytes) {
                                                    if (peer->conversation)
                                                      peer->conversation->input(bytes);
                                                  },
                                                  [this, peer](const Error&) {
                                                    auto found = peers_.find(peer);
                                                    if (found == peers_.end()) return;
                                                    loop_.dispose(std::move(found->second));
                                                    peers_.erase(found);
                                                  }});
  peer->conversation = converse_(*peer->wire);
}

WireClient::WireClient(io::Loop& loop, std::string host, std::uint16_t port, Owner owner)
    : loop_(loop), host_(std::move(host)), port_(port), owner_(std::move(owner)) {}
WireClient::~WireClient() { drop(); }

std::string WireClient::name() const { return fmt::format("{}:{}", host_, port_); }

void WireClient::connect() {
  if (busy_ || wire_ != nullptr) return;
  busy_ = true;
  auto resolver = io::Resolver::make(loop_);
  if (!resolver) {
    return loop_.defer([this, error = resolver.error()] { lost(error); });
  }
  resolver_ = std::move(*resolver);
  resolver_->resolve(host_, port_, io::ResolveFamily::kAny,
                     [this](const Result<io::Resolved>& names) { resolved(names); });
}

void WireClient::resolved(const Result<io::Resolved>& names) {
  loop_.dispose(std::move(resolver_));
  if (!names) return lost(names.error());
  connecting_ = io::connect(
      loop_, names->addresses.front(), {.timeout = std::chrono::seconds(5)},
      [this](Result<std::unique_ptr<io::Stream>> stream) { connected(std::move(stream)); });
}

void WireClient::connected(Result<std::unique_ptr<io::Stream>> stream) {
  loop_.dispose(std::move(connecting_));
  if (!stream) return lost(stream.error());
  busy_ = false;
  wire_ = std::make_unique<Wire>(std::move(*stream),
                                 Wire::Owner{[this](std::string& bytes) { owner_.input(bytes); },
                                             [this](const Error& error) { lost(error); }});
  owner_.opened();
}

void WireClient::lost(const Error& error) {
  drop();
  owner_.gone(error.in(name()));
}

void WireClient::send(std::string_view bytes) {
  if (wire_ != nullptr) wire_->send(bytes);
}

void WireClient::drop() {
  busy_ = false;
  loop_.dispose(std::move(resolver_));
  loop_.dispose(std::move(connecting_));
  loop_.dispose(std::move(wire_));
}

}  // namespace mizzen::samples
