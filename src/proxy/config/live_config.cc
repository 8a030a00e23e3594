#include "proxy/config/live_config.h"

namespace mizzen::proxy {
namespace {

std::string_view packed(const io::Address& address) {
  if (!address.is_ip()) return {};
  return {reinterpret_cast<const char*>(address.bytes().data()),
          address.family() == io::Family::kIpv4 ? std::size_t{4} : std::size_t{16}};
}

}  // namespace

io::Address to_io(const SocketAddr& address) {
  if (address.pipe) return io::Address::unix_path(address.host);
  auto parsed = io::Address::parse_ip(address.host, address.port);
  return parsed ? *parsed : io::Address();
}

LiveConfigRef make_live_config(SnapshotRef snapshot, const LiveConfigRef& before) {
  auto config = std::make_shared<LiveConfig>();
  if (before && before->snapshot->listeners == snapshot->listeners) {
    config->index = before->index;
  } else {
    auto index = std::make_shared<ListenerIndex>();
    for (const auto& listener : snapshot->listeners) {
      index->by_name[listener->name] = listener;
      for (const SocketAddr& address : listener->addresses) {
        // The first of two listeners on one address keeps it.
        if (io::Address key = to_io(address)) index->by_address.emplace(key, listener);
      }
    }
    config->index = std::move(index);
  }
  config->snapshot = std::move(snapshot);
  return config;
}

std::shared_ptr<const Listener> LiveConfig::listener(std::string_view name) const {
  auto found = index->by_name.find(name);
  return found == index->by_name.end() ? nullptr : found->second;
}

std::shared_ptr<const Listener> LiveConfig::hand_off(const io::Address& destination) const {
  const auto& by_address = index->by_address;
  if (auto exact = by_address.find(destination); exact != by_address.end()) return exact->second;
  io::Address any = destination.family() == io::Family::kIpv6
                        ? io::Address::any6(destination.port())
                        : io::Address::any(destination.port());
  if (auto found = by_address.find(any); found != by_address.end()) return found->second;
  if (destination.family() == io::Family::kIpv4) {
    auto dual = by_address.find(io::Address::any6(destination.port()));
    if (dual != by_address.end()) return dual->second;
  }
  return nullptr;
}

const FilterChain* chain_for(const Listener& listener, const ConnectionInfo& info) {
  ConnectionFacts facts;
  facts.destination_ip = packed(info.local);
  facts.destination_port = info.local.port();
  facts.server_name = info.server_name;
  facts.transport_protocol = info.transport_protocol;
  for (const std::string& protocol : info.application_protocols) {
    facts.application_protocols.push_back(protocol);
  }
  facts.source_ip = packed(info.remote);
  facts.source_port = info.remote.port();
  return find_chain(listener, facts);
}

}  // namespace mizzen::proxy
