#include "sockets.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"
#include "proxy/data_plane.h"
#include "traffic.h"

namespace mizzen::sim {
namespace {

constexpr Duration kPatience = std::chrono::seconds(20);

// The listener on a free port of loopback, reached by connecting to it instead of by capture.
std::shared_ptr<const proxy::Listener> on_loopback(const proxy::Listener& listener) {
  auto copy = std::make_shared<proxy::Listener>(listener);
  copy->addresses = {{"127.0.0.1", 0, false}};
  copy->bind = true;
  copy->use_original_dst = false;
  copy->original_dst_filter = false;
  // What tells connections apart by their destination is told it ahead of their bytes.
  copy->proxy_protocol = looks_at_destination(listener);
  copy->proxy_protocol_optional = copy->proxy_protocol;
  return copy;
}

}  // namespace

bool looks_at_destination(const proxy::Listener& listener) {
  return std::ranges::any_of(listener.chains, [](const proxy::FilterChain& chain) {
    return !chain.match.destination.empty() || chain.match.destination_port;
  });
}

std::string proxy_header(const io::Address& destination) {
  const bool v4 = destination.family() == io::Family::kIpv4;
  return fmt::format("PROXY {} {} {} 40000 {}\r\n", v4 ? "TCP4" : "TCP6", v4 ? "127.0.0.1" : "::1",
                     destination.ip(), destination.port());
}

class Sockets::Core {
 public:
  Core() : plane_(traffic_.loop(), {1, {}, std::chrono::seconds(1)}) {}

  Status serve(const Mesh& mesh);
  std::optional<Outcome> send(const Mesh& mesh, const Row& row, const Ask& ask);

 private:
  proxy::ClusterEntry at_backend(const std::string& name, const proxy::ClusterEntry& entry);

  Traffic traffic_;
  proxy::DataPlane plane_;
};

// The cluster as it is, but with its backend in the place of its endpoints, in plain text.
proxy::ClusterEntry Sockets::Core::at_backend(const std::string& name,
                                              const proxy::ClusterEntry& entry) {
  auto cluster = std::make_shared<proxy::Cluster>(*entry.cluster);
  const bool anywhere = cluster->type == proxy::Cluster::Type::kOriginalDst ||
                        cluster->type == proxy::Cluster::Type::kStrictDns ||
                        cluster->type == proxy::Cluster::Type::kLogicalDns;
  const bool empty = !anywhere && (!entry.endpoints || entry.endpoints->localities.empty());
  cluster->type = proxy::Cluster::Type::kStatic;
  if (cluster->lb == proxy::LbPolicy::kClusterProvided) cluster->lb = proxy::LbPolicy::kRoundRobin;
  cluster->tls = nullptr;
  cluster->socket_matches.clear();
  cluster->proxy_header.reset();
  cluster->connect_timeout = kPatience;  // this machine may be busy
  cluster->http = proxy::UpstreamHttp::kHttp1;
  cluster->bind_source.reset();
  auto endpoints = std::make_shared<proxy::Endpoints>();
  if (!empty) {
    const io::Address address = traffic_.backend(name);
    proxy::Endpoint endpoint;
    endpoint.address = {address.ip(), address.port(), false};
    endpoints->localities.emplace_back().endpoints.push_back(std::move(endpoint));
  }
  return {cluster, endpoints};
}

Status Sockets::Core::serve(const Mesh& mesh) {
  auto config = std::make_shared<proxy::Snapshot>(*mesh.live()->snapshot);
  for (auto& listener : config->listeners) listener = on_loopback(*listener);
  for (auto& [name, entry] : config->clusters) entry = at_backend(name, entry);
  MIZZEN_CHECKED(plane_.set_snapshot(config));
  // What the workers are asked after the snapshot, they answer after they have taken it.
  bool taken = false;
  plane_.collect([&](const proxy::StatsReport&) { taken = true; });
  if (!traffic_.loop().run_until([&] { return taken && plane_.listening(); }, kPatience)) {
    return fail(Code::kTimeout, "the workers do not answer");
  }
  return {};
}

std::optional<Outcome> Sockets::Core::send(const Mesh& mesh, const Row& row, const Ask& ask) {
  io::Address destination = mesh.destination(ask);
  if (row.has("via")) destination = *io::Address::parse_ip(row.text("via"), ask.port);
  const auto listener = mesh.listener(destination);
  if (!listener) return Outcome{};
  const io::Address to = plane_.address_of(listener->name);
  if (listener->name == api::kVirtualOutbound || !looks_at_destination(*listener)) {
    return traffic_.send(to, row, ask);
  }
  if (row.has("ask")) return {};
  return traffic_.send(to, row, ask, proxy_header(destination));
}

Sockets::Sockets() : core_(std::make_unique<Core>()) {}
Sockets::~Sockets() = default;
Status Sockets::serve(const Mesh& mesh) { return core_->serve(mesh); }
std::optional<Outcome> Sockets::send(const Mesh& mesh, const Row& row, const Ask& ask) {
  return core_->send(mesh, row, ask);
}

}  // namespace mizzen::sim
