#include "local/dns/server.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "io/address.h"
#include "local/network/pod_network.h"

namespace mizzen::local::dns {
namespace {

constexpr std::string_view kDomain = "cluster.local";
constexpr std::string_view kHostName = "host.mizzen.internal";

std::optional<std::uint32_t> parse_ipv4(std::string_view text) {
  auto address = io::Address::parse_ip(text, 0);
  if (!address || address->family() != io::Family::kIpv4) return std::nullopt;
  const auto& b = address->bytes();
  return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
}

void add_address(Answer& answer, std::string_view ip) {
  if (auto address = parse_ipv4(ip)) answer.addresses.push_back(*address);
}

// Addresses of a headless service: ready ones, all when it publishes not-ready ones; one host
// name's only.
Answer headless(const Store& store, const Json& service, const std::string& ns,
                const std::string& name, std::string_view host) {
  Answer answer;
  Object endpoints = store.get({"endpoints", ns, name});
  if (endpoints == nullptr) return answer;
  bool all = at_path(service, {"spec", "publishNotReadyAddresses"}) == Json(true);
  for (const Json& subset : at_path(*endpoints, {"subsets"})) {
    for (const char* list : {"addresses", "notReadyAddresses"}) {
      if (list[0] == 'n' && !all) continue;
      for (const Json& one : at_path(subset, {list})) {
        if (!host.empty() && text_at(one, {"hostname"}) != host) continue;
        add_address(answer, text_at(one, {"ip"}));
      }
    }
  }
  std::sort(answer.addresses.begin(), answer.addresses.end());
  answer.addresses.erase(std::unique(answer.addresses.begin(), answer.addresses.end()),
                         answer.addresses.end());
  if (!host.empty() && answer.addresses.empty()) answer.rcode = Rcode::kNxDomain;
  return answer;
}

Answer service_answer(const Store& store, const std::string& ns, const std::string& name,
                      std::string_view host) {
  Object service = store.get({"services", ns, name});
  if (service == nullptr) return {.rcode = Rcode::kNxDomain};
  if (text_at(*service, {"spec", "type"}) == "ExternalName") {
    return {.canonical = text_at(*service, {"spec", "externalName"})};
  }
  std::string ip = text_at(*service, {"spec", "clusterIP"});
  if (ip.empty() || ip == "None") return headless(store, *service, ns, name, host);
  if (!host.empty()) return {.rcode = Rcode::kNxDomain};
  Answer answer;
  add_address(answer, ip);
  return answer;
}

}  // namespace

std::optional<Answer> lookup(const Store& store, std::string_view name) {
  if (name == kHostName) return Answer{.addresses = {kHostAddress}};
  if (name != kDomain && !name.ends_with(std::string(".") + std::string(kDomain)))
    return std::nullopt;
  if (name == kDomain) return Answer{};
  auto labels = split(name.substr(0, name.size() - kDomain.size() - 1), '.');
  std::size_t n = labels.size();
  std::string_view zone = labels[n - 1];
  if (zone == "svc" && (n == 3 || n == 4)) {
    return service_answer(store, std::string(labels[n - 2]), std::string(labels[n - 3]),
                          n == 4 ? labels[0] : std::string_view());
  }
  if (zone == "svc" && n < 3) return Answer{};
  if (zone == "pod" && n == 3) {
    std::string ip(labels[0]);
    std::replace(ip.begin(), ip.end(), '-', '.');
    Answer answer;
    add_address(answer, ip);
    if (!answer.addresses.empty()) return answer;
  }
  return Answer{.rcode = Rcode::kNxDomain};
}

Result<std::unique_ptr<Server>> Server::start(io::Loop& loop, const Store& store, Outside& outside,
                                              const io::Address& address) {
  auto server = std::unique_ptr<Server>(new Server(store, outside));
  auto socket = io::Datagram::bind(
      loop, address,
      [raw = server.get()](std::span<const std::byte> bytes, const io::Address& from,
                           const io::Address&) {
        raw->receive({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, from);
      });
  if (!socket) return std::unexpected(socket.error());
  server->socket_ = std::move(*socket);
  return server;
}

void Server::receive(std::string_view message, const io::Address& from) {
  auto query = parse_query(message);
  if (!query) return;
  auto answer = lookup(store_, query->name);
  if (!answer && query->name.find('.') == std::string::npos)
    answer = Answer{.rcode = Rcode::kNxDomain};
  if (!answer) return forward(std::string(message), *query, from);
  if (!answer->canonical.empty()) {
    // An alias: its own target is looked up too, so that one query is enough for a client without
    // recursion.
    if (auto target = lookup(store_, lower(answer->canonical));
        target && !target->addresses.empty()) {
      answer->addresses = target->addresses;
      answer->canonical.clear();
    }
  }
  send(encode_answer(message, *query, *answer), from);
}

void Server::forward(std::string message, const Query& query, const io::Address& from) {
  outside_.resolve(message, [this, message, query, from](Result<std::string> reply) {
    if (reply) return send(*reply, from);
    log::debug("dns", "{}: {}", query.name, reply.error().message);
    send(encode_answer(message, query, {.rcode = Rcode::kServFail}), from);
  });
}

void Server::send(std::string_view message, const io::Address& to) {
  (void)socket_->send(std::as_bytes(std::span(message)), to);
}

}  // namespace mizzen::local::dns
