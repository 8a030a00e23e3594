#include "local/network/outside.h"

#include <fmt/core.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/strings.h"
#include "io/datagram.h"
#include "io/listener.h"

namespace mizzen::local {
namespace {

using Json = nlohmann::json;
constexpr std::size_t kMaxMessage = 60000;
constexpr std::size_t kMaxPending = 4096;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A full socket buffer is waited for: messages are small, the peer reads all the time.
void send_message(int socket, const Json& message, std::span<const int> fds = {}) {
  std::string text = dump(message);
  auto status = io::send_fds(socket, std::as_bytes(std::span(text)), fds);
  if (!status) log::warning("local", "outside socket: {}", status.error().message);
}

// Reads messages until there are none; false when the peer is gone.
template <class Fn>
bool drain(int socket, Fn&& fn) {
  std::array<std::byte, kMaxMessage + 4096> buffer;
  for (;;) {
    auto received = io::recv_fds(socket, buffer);
    if (!received) return received.error().code == Code::kUnavailable;
    if (received->bytes == 0) return false;
    fn(std::string_view(reinterpret_cast<char*>(buffer.data()), received->bytes),
       std::move(received->fds));
  }
}

std::vector<io::Address> system_resolvers() {
  std::vector<io::Address> out;
  std::ifstream file("/etc/resolv.conf");
  for (std::string line; std::getline(file, line);) {
    std::string_view text = trim(line);
    if (!text.starts_with("nameserver")) continue;
    if (auto address = io::Address::parse_ip(trim(text.substr(10)), 53)) out.push_back(*address);
  }
  return out;
}

}  // namespace

Outside::Outside(io::Loop& loop, io::UniqueFd socket, std::function<void()> on_closed)
    : loop_(loop), socket_(std::move(socket)), on_closed_(std::move(on_closed)) {
  (void)io::set_nonblocking(socket_.get());
  int size = 1 << 20;
  setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  if (auto status = loop_.watch_level(socket_.get(), this); !status) {
    log::error("local", "outside socket: {}", status.error().message);
  }
}

Outside::~Outside() { loop_.unwatch(socket_.get()); }

std::uint64_t Outside::expect(Waiting waiting) {
  waiting_.emplace(++last_id_, std::move(waiting));
  return last_id_;
}

void Outside::connect(const io::Address& to, FdDone done) {
  std::uint64_t id = expect({std::move(done), {}});
  send_message(socket_.get(), {{"op", "connect"}, {"id", id}, {"address", to.to_string()}});
}

void Outside::resolve(std::string_view query, BytesDone done) {
  std::uint64_t id = expect({{}, std::move(done)});
  send_message(socket_.get(), {{"op", "resolve"}, {"id", id}, {"query", base64_encode(query)}});
}

void Outside::listen(const io::Address& where, bool or_any, FdDone done) {
  std::uint64_t id = expect({std::move(done), {}});
  send_message(socket_.get(),
               {{"op", "listen"}, {"id", id}, {"address", where.to_string()}, {"orAny", or_any}});
}

void Outside::progress(std::string_view line) {
  send_message(socket_.get(), {{"op", "progress"}, {"text", line}});
}
void Outside::started(std::string_view summary) {
  send_message(socket_.get(), {{"op", "started"}, {"text", summary}});
}
void Outside::failed(std::string_view why) {
  send_message(socket_.get(), {{"op", "failed"}, {"text", why}});
}

void Outside::on_events(unsigned) {
  bool open = drain(socket_.get(), [this](std::string_view text, std::vector<io::UniqueFd> fds) {
    receive_one(text, std::move(fds));
  });
  if (open) return;
  loop_.unwatch(socket_.get());
  on_closed_();
}

void Outside::receive_one(std::string_view text, std::vector<io::UniqueFd> fds) {
  Json message = Json::parse(text, nullptr, false);
  if (!message.is_object()) return;
  auto found = waiting_.find(message.value("id", std::uint64_t{0}));
  if (found == waiting_.end()) return;
  Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  if (message.contains("error")) {
    auto error = fail(static_cast<Code>(message.value("code", 0)), message.value("error", ""),
                      Side::kUpstream, true);
    if (waiting.fd) waiting.fd(error);
    if (waiting.bytes) waiting.bytes(error);
    return;
  }
  if (waiting.fd && !fds.empty()) waiting.fd(std::move(fds[0]));
  if (waiting.bytes) waiting.bytes(base64_decode(message.value("bytes", "")).value_or(""));
}

struct OutsideServer::Lookup {
  std::unique_ptr<io::Datagram> socket;
  io::TimerId timer = 0;
};

OutsideServer::OutsideServer(io::Loop& loop, io::UniqueFd socket, OutsideEvents events)
    : loop_(loop), socket_(std::move(socket)), events_(std::move(events)) {
  (void)io::set_nonblocking(socket_.get());
  int size = 1 << 20;
  setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  if (auto status = loop_.watch_level(socket_.get(), this); !status) {
    log::error("local", "inside socket: {}", status.error().message);
  }
}

OutsideServer::~OutsideServer() {
  loop_.unwatch(socket_.get());
  for (auto& [id, lookup] : lookups_) loop_.cancel(lookup->timer);
}

void OutsideServer::on_events(unsigned) {
  bool open = drain(socket_.get(),
                    [this](std::string_view text, std::vector<io::UniqueFd>) { serve(text); });
  if (open) return;
  loop_.unwatch(socket_.get());
  events_.closed();
}

void OutsideServer::serve(std::string_view text) {
  Json message = Json::parse(text, nullptr, false);
  if (!message.is_object()) return;
  std::string op = message.value("op", "");
  std::uint64_t id = message.value("id", std::uint64_t{0});
  if (op == "connect") return connect(id, message.value("address", ""));
  if (op == "resolve") return resolve(id, base64_decode(message.value("query", "")).value_or(""));
  if (op == "listen")
    return listen(id, message.value("address", ""), message.value("orAny", false));
  if (op == "progress") return events_.progress(message.value("text", ""));
  if (op == "started") return events_.started(message.value("text", ""));
  if (op == "failed") return events_.failed(message.value("text", ""));
}

void OutsideServer::connect(std::uint64_t id, const std::string& text) {
  auto address = io::Address::parse(text);
  if (!address) return reply_error(id, address.error());
  if (connecting_.size() >= kMaxPending) {
    return reply_error(id, {Code::kLimit, Side::kInternal, true, "too many connections under way"});
  }
  connecting_[id] =
      io::connect(loop_, *address, {}, [this, id](Result<std::unique_ptr<io::Stream>> r) {
        if (r) {
          io::UniqueFd fd = (*r)->release_fd();
          reply_fd(id, fd.get());
        } else {
          reply_error(id, r.error());
        }
        connecting_.erase(id);
      });
}

void OutsideServer::resolve(std::uint64_t id, const std::string& query) {
  auto resolvers = system_resolvers();
  if (resolvers.empty() || query.empty() || lookups_.size() >= kMaxPending) {
    return reply_error(id, {Code::kUnavailable, Side::kInternal, true, "no resolver"});
  }
  auto lookup = std::make_unique<Lookup>();
  auto finish = [this, id] {
    auto found = lookups_.find(id);
    if (found == lookups_.end()) return;
    loop_.cancel(found->second->timer);
    loop_.dispose(std::move(found->second));
    lookups_.erase(found);
  };
  auto socket = io::Datagram::bind(
      loop_, io::Address::any(0),
      [this, id, finish](std::span<const std::byte> bytes, const io::Address&, const io::Address&) {
        if (!lookups_.contains(id)) return;
        reply_bytes(id, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        finish();
      });
  if (!socket) return reply_error(id, socket.error());
  lookup->socket = std::move(*socket);
  // All at once: the first answer counts.
  for (const io::Address& resolver : resolvers) {
    (void)lookup->socket->send(std::as_bytes(std::span(query)), resolver);
  }
  lookup->timer = loop_.after(std::chrono::seconds(5), [this, id, finish] {
    reply_error(id,
                {Code::kTimeout, Side::kUpstream, true, "the machine's resolvers do not answer"});
    finish();
  });
  lookups_[id] = std::move(lookup);
}

void OutsideServer::listen(std::uint64_t id, const std::string& text, bool or_any) {
  auto address = io::Address::parse(text);
  if (!address) return reply_error(id, address.error());
  auto socket = io::listen_socket(*address);
  if (!socket && or_any) socket = io::listen_socket(address->with_port(0));
  if (!socket) return reply_error(id, socket.error());
  reply_fd(id, socket->get());
}

void OutsideServer::reply_fd(std::uint64_t id, int fd) {
  send_message(socket_.get(), {{"id", id}}, std::span(&fd, 1));
}
void OutsideServer::reply_bytes(std::uint64_t id, std::string_view bytes) {
  send_message(socket_.get(), {{"id", id}, {"bytes", base64_encode(bytes)}});
}
void OutsideServer::reply_error(std::uint64_t id, const Error& error) {
  send_message(socket_.get(),
               {{"id", id}, {"error", error.message}, {"code", static_cast<int>(error.code)}});
}

}  // namespace mizzen::local
