#include "probe.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "base/strings.h"
#include "http2_client.h"

namespace mizzen::conformance {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kLast =
    "GET /end-of-case HTTP/1.1\r\nHost: end\r\nConnection: close\r\n\r\n";
constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
constexpr std::string_view kOkHead = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
constexpr std::string_view kLastOk = "HTTP/1.1 200 OK\r\nx-end: 1\r\ncontent-length: 3\r\n\r\nend";

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return out;
}

// What a case's bytes need is small: a full socket buffer would be an error of the test.
void put(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

// False at the end.
bool take(int fd, std::string& to) {
  std::array<char, 65536> buffer;
  const auto got = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got > 0) to.append(buffer.data(), static_cast<std::size_t>(got));
  return got > 0 || (got < 0 && errno == EAGAIN);
}

// The value of the first such field of a head; the name in lower case.
std::optional<std::string> field_of(std::string_view head, std::string_view name) {
  for (std::string_view line : split(head, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !equals_ignore_case(line.substr(0, colon), name))
      continue;
    line = line.substr(colon + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    return std::string(trim(line));
  }
  return std::nullopt;
}

// The size of the first message in `bytes` as a plain server reads it; nothing while it is not
// whole.
std::optional<std::size_t> message_size(std::string_view bytes) {
  const std::size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view head = bytes.substr(0, end + 2);
  std::size_t at = end + 4;
  if (auto length = field_of(head, "content-length")) {
    at += parse_int<std::size_t>(*length).value_or(0);
    return at <= bytes.size() ? std::optional(at) : std::nullopt;
  }
  if (!field_of(head, "transfer-encoding")) return at;
  for (;;) {
    const std::size_t line = bytes.find("\r\n", at);
    if (line == std::string_view::npos) return std::nullopt;
    std::size_t size = 0;
    const auto digits = bytes.substr(at, line - at);
    (void)std::from_chars(digits.data(), digits.data() + digits.size(), size, 16);
    at = line + 2;
    if (size == 0) break;
    at += size + 2;
    if (at > bytes.size()) return std::nullopt;
  }
  if (bytes.substr(at).starts_with("\r\n")) return at + 2;
  const std::size_t trailers = bytes.find("\r\n\r\n", at);
  return trailers == std::string_view::npos ? std::nullopt : std::optional(trailers + 4);
}

// What proxies add of their own is not what is compared.
std::string without_lines(std::string_view text, std::initializer_list<std::string_view> names) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find("\r\n", at);
    const std::size_t next = end == std::string_view::npos ? text.size() : end + 2;
    const std::string_view line = text.substr(at, next - at);
    const std::string name = lower(line.substr(0, line.find(':')));
    if (std::ranges::find(names, name) == names.end()) out += line;
    at = next;
  }
  return out;
}

// The requests that count, in the words of the table.
std::vector<std::string> reached(const Observed& seen) {
  std::vector<std::string> out;
  for (const std::string& request : seen.upstream) {
    out.push_back(without_lines(request, {"x-forwarded-proto"}));
  }
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 600)) {
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

// Fills in statuses and bytes from what the client received over HTTP/1.
void read_client(std::string_view bytes, Observed& to) {
  const std::size_t last = bytes.find("x-end: 1\r\n");
  to.last_served = last != std::string_view::npos;
  std::string_view own = bytes;
  if (to.last_served) own = bytes.substr(0, bytes.rfind("HTTP/1.", last));
  to.client = own;
  for (std::size_t at = own.find("HTTP/1."); at != std::string_view::npos;
       at = own.find("HTTP/1.", at + 7)) {
    if (at != 0 && own[at - 1] != '\n' && own.substr(at - 1, 1) != "k") continue;
    if (auto status = parse_int<int>(own.substr(at + 9 < own.size() ? at + 9 : at, 3))) {
      to.statuses.push_back(*status);
    }
  }
}

}  // namespace

Result<Backend> Backend::listen(std::uint16_t port) {
  Backend made;
  made.listener_ = io::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  ::setsockopt(made.listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = loopback(port);
  socklen_t size = sizeof address;
  if (::bind(made.listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(made.listener_.get(), 64) != 0) {
    return fail(Code::kUnavailable, fmt::format("cannot listen on 127.0.0.1:{}", port));
  }
  ::getsockname(made.listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
  made.port_ = ntohs(address.sin_port);
  return made;
}

void Backend::answer_requests(Peer& peer, const Case& c, Observed& to) {
  while (auto size = message_size(peer.bytes)) {
    const std::string request = peer.bytes.substr(0, *size);
    peer.bytes.erase(0, *size);
    const std::string_view line = std::string_view(request).substr(0, request.find('\r'));
    if (line.find("/end-of-case ") != std::string_view::npos) {
      put(peer.fd.get(), kLastOk);
      continue;
    }
    // Of a case whose client did not wait for the end: it may come as late as in another one.
    if (std::ranges::find(may_reach_, without_lines(request, {"x-forwarded-proto"})) !=
        may_reach_.end()) {
      put(peer.fd.get(), kOk);
      continue;
    }
    to.upstream.push_back(request);
    if (!c.answer.empty() && !std::exchange(answered_, true)) {
      put(peer.fd.get(), c.answer);
      close_wanted_ = c.answer_ends;
    } else {
      put(peer.fd.get(), line.starts_with("HEAD ") ? kOkHead : kOk);
    }
  }
}

bool Backend::serve(Peer& peer, const Case& c, Observed& to) {
  if (!take(peer.fd.get(), peer.bytes)) return false;
  answer_requests(peer, c, to);
  return !std::exchange(close_wanted_, false);
}

Observed Backend::run(const Case& c, std::uint16_t proxy, std::chrono::milliseconds patience) {
  Observed seen;
  answered_ = false;
  if (!c.may_reach.empty()) may_reach_.push_back(c.may_reach);
  const io::UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(proxy);
  if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    seen.timed_out = true;
    return seen;
  }
  const bool http2 = c.is_http2();
  Http2Reader reader;
  put(client.get(), http2 ? http2_request(c) : c.send + std::string(c.last ? kLast : ""));
  std::string received;
  const auto deadline = Clock::now() + patience;
  for (bool open = true; open;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    std::vector<pollfd> fds = {{client.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const Peer& peer : peers_) fds.push_back({peer.fd.get(), POLLIN, 0});
    if (left.count() <= 0 || ::poll(fds.data(), fds.size(), static_cast<int>(left.count())) <= 0) {
      seen.timed_out = true;
      break;
    }
    for (std::size_t i = fds.size(); i-- > 2;) {
      const auto at = peers_.begin() + static_cast<std::ptrdiff_t>(i - 2);
      if (fds[i].revents != 0 && !serve(*at, c, seen)) peers_.erase(at);
    }
    if (fds[1].revents != 0) {
      io::UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (fd) peers_.push_back({std::move(fd), {}});
    }
    if (fds[0].revents == 0) continue;
    std::string bytes;
    open = take(client.get(), bytes);
    received += bytes;
    if (!http2) continue;
    put(client.get(), reader.feed(bytes));
    seen.reset = reader.reset() || (!open && !reader.ended());
    if (reader.ended() || seen.reset) break;
  }
  if (http2) {
    if (reader.status() != 0) seen.statuses.push_back(reader.status());
  } else {
    read_client(received, seen);
  }
  // Bytes that belong to no request must not meet the next case.
  std::erase_if(peers_, [](const Peer& peer) { return !peer.bytes.empty(); });
  return seen;
}

std::string differences(const Case& c, const Observed& seen) {
  std::string out;
  if (seen.timed_out) out += "neither side went on; ";
  const std::vector<std::string> requests = reached(seen);
  for (std::size_t i = 0; i < std::max(c.upstream.size(), requests.size()); ++i) {
    const std::string got = i < requests.size() ? requests[i] : "(nothing)";
    const std::string wanted = i < c.upstream.size() ? c.upstream[i] : "(nothing)";
    if (got != wanted) {
      out += fmt::format("server got\n    {}\n  not\n    {}; ", escaped(got), escaped(wanted));
    }
  }
  if (c.reset && !seen.reset && !(seen.statuses.size() == 1 && seen.statuses[0] == 400)) {
    out += "no reset; ";
  }
  const auto final_status =
      std::ranges::find_if(seen.statuses, [](int status) { return status >= 200; });
  if (c.status != 0 && (final_status == seen.statuses.end() || *final_status != c.status)) {
    out += fmt::format("client got {}; ", escaped(seen.client));
  }
  if (c.client) {
    const std::string got =
        without_lines(seen.client, {"date", "server", "x-envoy-upstream-service-time"});
    if (got != *c.client) {
      out += fmt::format("client got\n    {}\n  not\n    {}; ", escaped(got), escaped(*c.client));
    }
  }
  if ((c.refused && c.status >= 400 && c.status != 404 && c.status != 403 && !c.goes_on &&
       seen.last_served) ||
      (c.unserved && seen.last_served)) {
    out += "what came behind it was served; ";
  }
  if (!c.refused && !c.is_http2() && c.last && !c.unserved && !seen.last_served) {
    out += "what came behind it was not served; ";
  }
  return out;
}

std::string summary(const Case& c, const Observed& seen) {
  const auto final_status =
      std::ranges::find_if(seen.statuses, [](int status) { return status >= 200; });
  std::string out;
  if (final_status != seen.statuses.end()) {
    out = std::to_string(*final_status);
  } else if (seen.timed_out) {
    out = "waits";
  } else {
    out = c.is_http2() ? "reset" : "closes";
  }
  if (c.answer.empty() && !seen.upstream.empty()) {
    out += fmt::format(", {} upstream", seen.upstream.size());
  }
  if (c.refused && seen.last_served && c.answer.empty()) out += ", goes on";
  return out;
}

}  // namespace mizzen::conformance
