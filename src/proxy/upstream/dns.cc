#include "proxy/upstream/dns.h"

#include <algorithm>

#include "base/log.h"

namespace mizzen::proxy::upstream {

namespace {

constexpr Duration kLeastRefresh = std::chrono::milliseconds(100);

// Cluster.dns_lookup_family. With kAuto the family that the system's order (RFC 6724) prefers:
// what cannot be reached from here comes last.
void keep_family(DnsFamily family, std::vector<io::Address>& addresses) {
  if (family == DnsFamily::kAll || addresses.empty()) return;
  const auto is = [](io::Family wanted) {
    return [wanted](const io::Address& address) { return address.family() == wanted; };
  };
  io::Family wanted = addresses.front().family();
  if (family == DnsFamily::kV4Only) wanted = io::Family::kIpv4;
  if (family == DnsFamily::kV6Only) wanted = io::Family::kIpv6;
  if (family == DnsFamily::kV4Preferred && std::ranges::any_of(addresses, is(io::Family::kIpv4))) {
    wanted = io::Family::kIpv4;
  }
  std::erase_if(addresses,
                [wanted](const io::Address& address) { return address.family() != wanted; });
}

}  // namespace

DnsNames::DnsNames(Context& context, std::string cluster_name, std::function<void(bool)> on_answers)
    : context_(context),
      cluster_name_(std::move(cluster_name)),
      on_answers_(std::move(on_answers)),
      timer_(io::Timer::of<&DnsNames::ask>(context.loop, this)) {}

DnsNames::~DnsNames() = default;

void DnsNames::set(std::shared_ptr<const Cluster> cluster,
                   std::shared_ptr<const Endpoints> endpoints) {
  cluster_ = std::move(cluster);
  endpoints_ = std::move(endpoints);
  stopped_ = false;
  if (endpoints_ == nullptr) return;
  std::erase_if(known_, [this](const auto& entry) {
    return std::ranges::none_of(endpoints_->localities, [&](const LocalityEndpoints& locality) {
      return std::ranges::any_of(locality.endpoints, [&](const Endpoint& endpoint) {
        return to_string(endpoint.address) == entry.first;
      });
    });
  });
  timer_.cancel();
  used_ = true;
  renewed_ = asked_ > 0;
  ask();
}

void DnsNames::stop() {
  stopped_ = true;
  timer_.cancel();
}

void DnsNames::use() {
  used_ = true;
  if (!timer_.armed() && asked_ == 0) ask();
}

void DnsNames::ask() {
  if (stopped_ || endpoints_ == nullptr || asked_ > 0) return;
  if (!used_ && answered_) return;  // asked again when it is used again
  used_ = false;
  failed_ = false;
  changed_ = false;
  ttl_ = {};
  for (const LocalityEndpoints& locality : endpoints_->localities) {
    for (const Endpoint& endpoint : locality.endpoints) {
      if (endpoint.address.pipe) continue;
      if (io::Address::parse_ip(endpoint.address.host, endpoint.address.port)) continue;
      ask_one(endpoint.address.host, endpoint.address.port);
    }
  }
  if (asked_ == 0) answered_ = true;  // nothing but IP addresses
}

void DnsNames::ask_one(const std::string& name, std::uint16_t port) {
  if (!context_.resolver) {
    auto made = io::Resolver::make(context_.loop);
    if (!made) {
      log::error("upstream", "no resolver: {}", made.error().message);
      return;
    }
    context_.resolver = std::move(*made);
  }
  io::ResolveFamily family = io::ResolveFamily::kAny;
  if (cluster_->dns_family == DnsFamily::kV4Only) family = io::ResolveFamily::kIpv4;
  if (cluster_->dns_family == DnsFamily::kV6Only) family = io::ResolveFamily::kIpv6;
  ++asked_;
  const std::string key = to_string(SocketAddr{name, port, false});
  // The cluster that owns this outlives its questions, or the resolver goes first.
  context_.resolver->resolve(name, port, family, [this, key](Result<io::Resolved> result) {
    on_answer(key, std::move(result));
  });
}

void DnsNames::on_answer(const std::string& key, Result<io::Resolved> result) {
  --asked_;
  if (result) {
    if (result->ttl.count() > 0)
      ttl_ = ttl_.count() == 0 ? result->ttl : std::min(ttl_, result->ttl);
    take(key, std::move(result->addresses));
  } else {
    failed_ = true;
    log::debug("upstream", "cluster {}: {}: {}", cluster_name_, key, result.error().message);
  }
  if (asked_ > 0) return;
  answered_ = true;
  const bool changed = changed_;
  if (std::exchange(renewed_, false)) {  // other names came meanwhile
    used_ = true;
    ask();
  } else if (!stopped_) {
    timer_.arm(next_round());
  }
  on_answers_(changed);
}

void DnsNames::take(const std::string& key, std::vector<io::Address> addresses) {
  keep_family(cluster_->dns_family, addresses);
  Known& known = known_[key];
  std::vector<io::Address> used = addresses;
  if (cluster_->type == Cluster::Type::kLogicalDns && !addresses.empty()) {
    // One at a time: the one in use as long as it is among the answers.
    const bool stays =
        !known.used.empty() && std::ranges::find(addresses, known.used[0]) != addresses.end();
    used = {stays ? known.used[0] : addresses[0]};
  }
  std::ranges::sort(used);
  changed_ = changed_ || known.used != used;
  known.used = std::move(used);
  known.all = std::move(addresses);
}

Duration DnsNames::next_round() {
  if (failed_) {
    ++failures_;
    if (cluster_->dns_failure_refresh) {
      const auto [base, most] = *cluster_->dns_failure_refresh;
      const Duration range = std::min<Duration>(base * (1LL << std::min(failures_, 20U)), most);
      const auto spread = static_cast<std::uint64_t>(std::max<std::int64_t>(range.count(), 1));
      return std::max(Duration(static_cast<std::int64_t>(context_.random() % spread)),
                      kLeastRefresh);
    }
    return std::max(cluster_->dns_refresh, kLeastRefresh);
  }
  failures_ = 0;
  const bool by_ttl = cluster_->dns_respect_ttl && ttl_.count() > 0;
  return std::max(by_ttl ? ttl_ : cluster_->dns_refresh, kLeastRefresh);
}

const std::vector<io::Address>* DnsNames::find(const SocketAddr& name) const {
  auto found = known_.find(to_string(name));
  return found == known_.end() ? nullptr : &found->second.used;
}

bool DnsNames::leave(const io::Address& address) {
  for (auto& [key, known] : known_) {
    if (known.used.empty() || known.used[0] != address || known.all.size() < 2) continue;
    auto at = std::ranges::find(known.all, address);
    if (at == known.all.end() || ++at == known.all.end()) at = known.all.begin();
    known.used = {*at};
    return true;
  }
  return false;
}

}  // namespace mizzen::proxy::upstream
