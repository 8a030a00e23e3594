#include "agent/dns_proxy.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "istio/nds.pb.h"

namespace mizzen::agent {

namespace dns = net::dns;

namespace {

constexpr std::uint16_t kDnsServerPort = 53;
constexpr std::uint32_t kTtl = 30;  // seconds: a name may move when the mesh changes
constexpr Duration kSweep = std::chrono::milliseconds(250);

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::uint16_t id_of(std::string_view message) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(message[0]) << 8 |
                                    static_cast<unsigned char>(message[1]));
}

void set_id(std::uint16_t id, std::string* message) {
  (*message)[0] = static_cast<char>(id >> 8);
  (*message)[1] = static_cast<char>(id & 0xff);
}

}  // namespace

std::vector<io::Address> read_name_servers(std::string_view resolv_conf) {
  std::vector<io::Address> servers;
  for (const std::string_view line : split(resolv_conf, '\n')) {
    std::vector<std::string_view> words;
    for (const std::string_view word : split(line, ' ')) {
      if (const std::string_view part = trim(word); !part.empty()) words.push_back(part);
    }
    if (words.size() < 2 || words[0] != "nameserver") continue;
    if (auto address = io::Address::parse_ip(words[1], kDnsServerPort)) {
      servers.push_back(*address);
    }
  }
  return servers;
}

DnsProxy::DnsProxy(io::Loop& loop, DnsProxyOptions options)
    : loop_(loop), options_(std::move(options)) {}

DnsProxy::~DnsProxy() { loop_.cancel(timer_); }

Result<std::unique_ptr<DnsProxy>> DnsProxy::start(io::Loop& loop, DnsProxyOptions options) {
  auto made = std::unique_ptr<DnsProxy>(new DnsProxy(loop, std::move(options)));
  DnsProxy* raw = made.get();
  MIZZEN_TRY(
      made->socket_,
      io::Datagram::bind(loop, made->options_.listen,
                         [raw](std::span<const std::byte> bytes, const io::Address& from,
                               const io::Address& to) { raw->on_query(text(bytes), from, to); }));
  MIZZEN_TRY(made->upstream_,
             io::Datagram::bind(loop, io::Address::any(0),
                                [raw](std::span<const std::byte> bytes, const io::Address& from,
                                      const io::Address&) { raw->on_reply(text(bytes), from); }));
  return made;
}

Status DnsProxy::set_names(std::string_view name_table) {
  istio::networking::nds::v1::NameTable table;
  if (!table.ParseFromArray(name_table.data(), static_cast<int>(name_table.size()))) {
    return fail(Code::kInvalid, "not a NameTable message");
  }
  std::unordered_map<std::string, std::vector<std::uint32_t>> names;
  for (const auto& [name, info] : table.table()) {
    std::vector<std::uint32_t>& addresses = names[lower(name)];
    for (const std::string& ip : info.ips()) {
      const auto address = io::Address::parse_ip(ip, 0);
      if (!address || address->family() != io::Family::kIpv4) continue;
      const auto& b = address->bytes();
      addresses.push_back(std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 |
                          std::uint32_t{b[2]} << 8 | b[3]);
    }
  }
  names_ = std::move(names);
  return {};
}

const std::vector<std::uint32_t>* DnsProxy::find(const std::string& name) const {
  if (const auto found = names_.find(name); found != names_.end()) return &found->second;
  for (std::size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    const auto found = names_.find("*" + name.substr(dot));
    if (found != names_.end()) return &found->second;
  }
  return nullptr;
}

void DnsProxy::on_query(std::string_view message, const io::Address& from, const io::Address& to) {
  // Our own question, where capture rules do not know us: it would go round for ever.
  if (from.port() == upstream_->address().port()) return;
  auto query = dns::parse_query(message);
  if (!query) return;
  Waiting waiting{std::string(message), *query, from, to, 0, {}};
  if (const auto* addresses = find(query->name)) {
    reply(waiting, {.addresses = *addresses, .canonical = {}, .ttl_seconds = kTtl});
    return;
  }
  if (options_.servers.empty() || waiting_.size() >= options_.most_waiting) {
    reply(waiting, {.rcode = dns::Rcode::kServFail, .addresses = {}, .canonical = {}});
    return;
  }
  // An id of our own: whoever forges replies has to guess it.
  auto id = static_cast<std::uint16_t>(random_());
  while (waiting_.contains(id)) ++id;
  waiting_.emplace(id, std::move(waiting));
  ask(id);
  if (timer_ == 0) timer_ = loop_.after(kSweep, [this] { sweep(); });
}

void DnsProxy::ask(std::uint16_t id) {
  Waiting& waiting = waiting_.at(id);
  waiting.deadline = loop_.now() + options_.try_time;
  std::string message = waiting.message;
  set_id(id, &message);
  const Status sent =
      upstream_->send(std::as_bytes(std::span(message)), options_.servers[waiting.server]);
  if (!sent) log::debug("dns", "{}: {}", waiting.query.name, sent.error().message);
}

void DnsProxy::on_reply(std::string_view message, const io::Address& from) {
  if (message.size() < 12) return;
  const auto found = waiting_.find(id_of(message));
  if (found == waiting_.end() || options_.servers[found->second.server] != from) return;
  std::string answer(message);
  set_id(found->second.query.id, &answer);
  (void)socket_->send(std::as_bytes(std::span(answer)), found->second.client,
                      found->second.asked_at);
  waiting_.erase(found);
}

void DnsProxy::sweep() {
  timer_ = 0;
  std::vector<std::uint16_t> late;
  for (const auto& [id, waiting] : waiting_) {
    if (waiting.deadline <= loop_.now()) late.push_back(id);
  }
  for (const std::uint16_t id : late) {
    Waiting& waiting = waiting_.at(id);
    if (++waiting.server < options_.servers.size()) {
      ask(id);
      continue;
    }
    reply(waiting, {.rcode = dns::Rcode::kServFail, .addresses = {}, .canonical = {}});
    waiting_.erase(id);
  }
  if (!waiting_.empty()) timer_ = loop_.after(kSweep, [this] { sweep(); });
}

void DnsProxy::reply(const Waiting& waiting, const dns::Answer& answer) {
  const std::string message = dns::encode_answer(waiting.message, waiting.query, answer);
  (void)socket_->send(std::as_bytes(std::span(message)), waiting.client, waiting.asked_at);
}

}  // namespace mizzen::agent
