#include "control/translate/inbound.h"

#include <fmt/core.h>

#include <span>

#include "api/names.h"
#include "control/translate/listeners.h"
#include "control/translate/tls_parts.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "istio/networking.pb.h"

namespace mizzen::control {

namespace lds = envoy::config::listener::v3;
namespace rds = envoy::config::route::v3;

namespace {

enum class Carry : std::uint8_t { kHttp, kTcp };
// kForeign: the workload's own TLS; kOwn: of a Sidecar's ingress.
enum class Tls : std::uint8_t { kMutual, kPlain, kForeign, kOwn };

// Where the chains of one port (or of all others) lead.
struct Target {
  std::uint16_t port = 0;  // 0: every other port
  std::string chain_name;
  std::string tcp_chain_name;
  std::string cluster;
  std::string stat_prefix;
  std::string operation;                           // of the span
  const schema::ServerTLSSettings* tls = nullptr;  // of a Sidecar's ingress
  bool match_port = true;
};

constexpr std::string_view kHttpAlpns[] = {api::kAlpnIstioHttp10, api::kAlpnIstioHttp11,
                                           api::kAlpnIstioH2};
constexpr std::string_view kTcpAlpns[] = {api::kAlpnIstioPeerExchange, api::kAlpnIstio};
constexpr std::string_view kAllAlpns[] = {api::kAlpnIstio, api::kAlpnIstioPeerExchange,
                                          api::kAlpnIstioHttp10, api::kAlpnIstioHttp11,
                                          api::kAlpnIstioH2};
constexpr std::string_view kPlainHttp[] = {"http/1.1", "h2c"};

class InboundBuilder {
 public:
  explicit InboundBuilder(const View& view) : view_(view) {
    listener_.set_name(std::string(api::kVirtualInbound));
    listener_.set_traffic_direction(envoy::config::core::v3::INBOUND);
    set_socket_address(listener_.mutable_address(), "0.0.0.0", api::kInboundCapturePort);
    inspection_time(view.mesh(), &listener_);
  }

  lds::Listener build();
  // The listener of a port that a Sidecar has bound.
  lds::Listener build_bound(std::uint16_t number, const InboundPort& port);

 private:
  void chain(const Target& target, Carry carry, Tls tls, std::span<const std::string_view> alpns);
  void chains(const Target& target, Protocol protocol, MtlsMode mode);
  void detecting_chains(const Target& target, MtlsMode mode);
  void listener_filters(const std::map<std::uint16_t, InboundPort>& ports);
  rds::RouteConfiguration route(const Target& target) const;

  View view_;
  lds::Listener listener_;
};

rds::RouteConfiguration InboundBuilder::route(const Target& target) const {
  rds::RouteConfiguration config;
  config.set_name(target.cluster);
  config.mutable_validate_clusters()->set_value(false);
  rds::VirtualHost* host = config.add_virtual_hosts();
  host->set_name(fmt::format("inbound|http|{}", target.port));
  host->add_domains("*");
  rds::Route* route = host->add_routes();
  route->set_name("default");
  route->mutable_match()->set_prefix("/");
  route->mutable_decorator()->set_operation(target.operation);
  rds::RouteAction* action = route->mutable_route();
  action->set_cluster(target.cluster);
  action->mutable_timeout();
  action->mutable_max_stream_duration()->mutable_max_stream_duration();
  action->mutable_max_stream_duration()->mutable_grpc_timeout_header_max();
  action->mutable_retry_policy()->set_retry_on("reset-before-request");
  action->mutable_retry_policy()->mutable_num_retries()->set_value(2);
  return config;
}

void InboundBuilder::chain(const Target& target, Carry carry, Tls tls,
                           std::span<const std::string_view> alpns) {
  lds::FilterChain* chain = listener_.add_filter_chains();
  chain->set_name(carry == Carry::kHttp ? target.chain_name : target.tcp_chain_name);
  lds::FilterChainMatch* match = chain->mutable_filter_chain_match();
  if (target.port != 0 && target.match_port)
    match->mutable_destination_port()->set_value(target.port);
  match->set_transport_protocol(tls == Tls::kPlain ? "raw_buffer" : "tls");
  for (const std::string_view alpn : alpns) match->add_application_protocols(std::string(alpn));
  if (tls == Tls::kMutual) {
    downstream_mtls(view_.mesh(), chain->mutable_transport_socket());
  } else if (tls == Tls::kOwn) {
    terminate_tls(view_, *target.tls, carry == Carry::kHttp, chain->mutable_transport_socket());
  }
  if (carry == Carry::kTcp) {
    add_tcp_proxy(view_.mesh(), target.cluster, chain);
    return;
  }
  const rds::RouteConfiguration config = route(target);
  HttpChain spec;
  spec.side = HttpSide::kSidecarInbound;
  spec.stat_prefix = target.stat_prefix;
  spec.inline_route = &config;
  add_http_manager(view_, spec, chain);
}

void InboundBuilder::detecting_chains(const Target& target, MtlsMode mode) {
  const bool plain = mode != MtlsMode::kStrict;
  if (mode != MtlsMode::kDisable) chain(target, Carry::kHttp, Tls::kMutual, kHttpAlpns);
  if (plain) chain(target, Carry::kHttp, Tls::kPlain, kPlainHttp);
  if (mode == MtlsMode::kPermissive) chain(target, Carry::kTcp, Tls::kMutual, kTcpAlpns);
  if (mode == MtlsMode::kStrict) chain(target, Carry::kTcp, Tls::kMutual, {});
  if (plain) {
    chain(target, Carry::kTcp, Tls::kPlain, {});
    chain(target, Carry::kTcp, Tls::kForeign, {});
  }
}

void InboundBuilder::chains(const Target& target, Protocol protocol, MtlsMode mode) {
  if (target.tls != nullptr) {
    return chain(target, is_http(protocol) ? Carry::kHttp : Carry::kTcp, Tls::kOwn, {});
  }
  if (protocol == Protocol::kDetect) {
    detecting_chains(target, mode);
    return;
  }
  const Carry carry = is_http(protocol) ? Carry::kHttp : Carry::kTcp;
  if (mode == MtlsMode::kPermissive) chain(target, carry, Tls::kMutual, kAllAlpns);
  if (mode == MtlsMode::kStrict) chain(target, carry, Tls::kMutual, {});
  if (mode != MtlsMode::kStrict) {
    chain(target, carry, Tls::kPlain, {});
    if (carry == Carry::kTcp) chain(target, carry, Tls::kForeign, {});
  }
}

// Inspectors look at first bytes; on a port whose protocol is known there is nothing to find out,
// and a server that speaks first would wait for ever.
void InboundBuilder::listener_filters(const std::map<std::uint16_t, InboundPort>& ports) {
  const auto add = [&](std::string_view name, const google::protobuf::Message& config) {
    lds::ListenerFilter* filter = listener_.add_listener_filters();
    filter->set_name(std::string(name));
    filter->mutable_typed_config()->PackFrom(config);
    return filter;
  };
  const auto disable = [](std::uint16_t port, lds::ListenerFilterChainMatchPredicate* predicate) {
    predicate->mutable_destination_port_range()->set_start(port);
    predicate->mutable_destination_port_range()->set_end(port + 1);
  };
  namespace filters = envoy::extensions::filters::listener;
  add(api::kOriginalDstFilter, filters::original_dst::v3::OriginalDst());
  std::vector<std::uint16_t> no_tls{api::kInboundCapturePort};
  std::vector<std::uint16_t> no_http{api::kInboundCapturePort};
  for (const auto& [number, port] : ports) {
    if (port.protocol != Protocol::kDetect) no_http.push_back(number);
    const bool plain = port.mode == MtlsMode::kDisable && is_tcp(port.protocol);
    if (plain && port.tls() == nullptr) no_tls.push_back(number);
  }
  const auto fill = [&](const std::vector<std::uint16_t>& off, lds::ListenerFilter* filter) {
    if (off.size() == 1) {
      disable(off.front(), filter->mutable_filter_disabled());
      return;
    }
    for (const std::uint16_t port : off) {
      disable(port, filter->mutable_filter_disabled()->mutable_or_match()->add_rules());
    }
  };
  fill(no_tls, add(api::kTlsInspector, filters::tls_inspector::v3::TlsInspector()));
  fill(no_http, add(api::kHttpInspector, filters::http_inspector::v3::HttpInspector()));
}

Target target_of(std::uint16_t number, const InboundPort& port) {
  const std::string name = fmt::format("0.0.0.0_{}", number);
  const std::string host = port.service == nullptr ? std::string() : port.service->host;
  const std::uint16_t called = port.port == nullptr ? number : port.port->number;
  return {number,
          name,
          name,
          api::inbound_cluster(number),
          fmt::format("inbound_0.0.0.0_{};", number),
          fmt::format("{}:{}/*", host, called),
          port.tls()};
}

lds::Listener InboundBuilder::build_bound(std::uint16_t number, const InboundPort& port) {
  const std::string address = port.ingress->bind().empty() ? "0.0.0.0" : port.ingress->bind();
  listener_.set_name(fmt::format("{}_{}", address, number));
  set_socket_address(listener_.mutable_address(), address, number);
  Target target = target_of(number, port);
  target.match_port = false;
  chains(target, port.protocol, port.mode);
  namespace filters = envoy::extensions::filters::listener;
  const auto inspect = [&](std::string_view name, const google::protobuf::Message& config) {
    lds::ListenerFilter* filter = listener_.add_listener_filters();
    filter->set_name(std::string(name));
    filter->mutable_typed_config()->PackFrom(config);
  };
  inspect(api::kTlsInspector, filters::tls_inspector::v3::TlsInspector());
  if (port.protocol == Protocol::kDetect) {
    inspect(api::kHttpInspector, filters::http_inspector::v3::HttpInspector());
  }
  return std::move(listener_);
}

lds::Listener InboundBuilder::build() {
  lds::FilterChain* loop = listener_.add_filter_chains();
  loop->set_name("virtualInbound-blackhole");
  loop->mutable_filter_chain_match()->mutable_destination_port()->set_value(
      api::kInboundCapturePort);
  add_tcp_proxy(view_.mesh(), api::kBlackHoleCluster, loop);

  const std::string passthrough(api::kInboundPassthroughCluster);
  const Target rest{
      0, "virtualInbound-catchall-http", "virtualInbound", passthrough, passthrough + ";", ":0/*"};
  detecting_chains(rest, view_.snapshot.mtls_mode(view_.proxy.name_space, view_.proxy.labels, 0));

  const auto ports = inbound_ports(view_.snapshot, view_.proxy);
  for (const auto& [number, port] : ports) {
    if (!port.bound()) chains(target_of(number, port), port.protocol, port.mode);
  }
  listener_filters(ports);
  return std::move(listener_);
}

}  // namespace

const schema::ServerTLSSettings* InboundPort::tls() const {
  if (ingress == nullptr || !ingress->has_tls() || mode != MtlsMode::kDisable) return nullptr;
  using Spec = schema::ServerTLSSettings;
  const bool own = ingress->tls().mode() == Spec::SIMPLE || ingress->tls().mode() == Spec::MUTUAL;
  return own ? &ingress->tls() : nullptr;
}

bool InboundPort::bound() const {
  return ingress != nullptr && ingress->capture_mode() == schema::NONE;
}

std::map<std::uint16_t, InboundPort> inbound_ports(const Snapshot& snapshot, const Proxy& proxy) {
  std::map<std::uint16_t, InboundPort> ports;
  static const std::vector<Instance> none;
  const auto* instances = snapshot.instances_at(proxy.address);
  for (const Instance& instance : instances == nullptr ? none : *instances) {
    if (instance.port->protocol == Protocol::kUdp) continue;
    InboundPort& held = ports[instance.target];
    const bool older = held.service == nullptr ||
                       instance.service->created < held.service->created ||
                       (instance.service->created == held.service->created &&
                        instance.service->host < held.service->host);
    if (!older) continue;
    held = {instance.service, instance.port, instance.port->protocol,
            snapshot.mtls_mode(proxy.name_space, proxy.labels, instance.target), nullptr};
  }
  if (snapshot.sidecar == nullptr || snapshot.sidecar->spec->ingress().empty()) return ports;
  std::map<std::uint16_t, InboundPort> listed;
  for (const schema::IstioIngressListener& ingress : snapshot.sidecar->spec->ingress()) {
    const auto number = static_cast<std::uint16_t>(ingress.port().number());
    const auto known = ports.find(number);
    InboundPort port = known == ports.end() ? InboundPort{} : known->second;
    port.protocol = parse_protocol(ingress.port().protocol());
    port.mode = snapshot.mtls_mode(proxy.name_space, proxy.labels, number);
    port.ingress = &ingress;
    listed.emplace(number, port);
  }
  return listed;
}

std::vector<lds::Listener> inbound_listeners(const View& view) {
  std::vector<lds::Listener> listeners{InboundBuilder(view).build()};
  for (const auto& [number, port] : inbound_ports(view.snapshot, view.proxy)) {
    if (port.bound()) listeners.push_back(InboundBuilder(view).build_bound(number, port));
  }
  return listeners;
}

}  // namespace mizzen::control
