#include "control/translate/listeners.h"

#include <fmt/core.h>

#include <algorithm>

#include "api/names.h"
#include "control/translate/tcp_routes.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"

namespace mizzen::control {

namespace lds = envoy::config::listener::v3;
namespace core = envoy::config::core::v3;

namespace {

std::string_view passthrough(const MeshConfig& mesh) {
  if (mesh.registry_only) return api::kBlackHoleCluster;
  return mesh.egress_proxy.empty() ? api::kPassthroughCluster : std::string_view(mesh.egress_proxy);
}

void start_outbound(const MeshConfig& mesh, const OutboundListener& outbound,
                    const std::string& name, lds::Listener* listener) {
  listener->set_name(name);
  listener->set_traffic_direction(core::OUTBOUND);
  set_socket_address(listener->mutable_address(), outbound.address, outbound.port);
  listener->mutable_bind_to_port()->set_value(outbound.bind_to_port);
  inspection_time(mesh, listener);
}

void say_on_demand(const Proxy& proxy, lds::Listener* listener) {
  if (!proxy.on_demand) return;
  auto& fields =
      (*listener->mutable_metadata()->mutable_filter_metadata())[std::string(api::kMizzenMetadata)];
  (*fields.mutable_fields())[std::string(api::kOnDemandField)].set_bool_value(true);
}

template <class Inspector>
void add_inspector(std::string_view name, lds::Listener* listener) {
  lds::ListenerFilter* filter = listener->add_listener_filters();
  filter->set_name(std::string(name));
  filter->mutable_typed_config()->PackFrom(Inspector());
}

// HTTP by what the client says.
void add_http_chain(const View& view, const std::string& name, const std::string& route_name,
                    lds::Listener* listener) {
  add_inspector<envoy::extensions::filters::listener::http_inspector::v3::HttpInspector>(
      api::kHttpInspector, listener);
  lds::FilterChain* http = listener->add_filter_chains();
  http->mutable_filter_chain_match()->add_application_protocols("http/1.1");
  http->mutable_filter_chain_match()->add_application_protocols("h2c");
  http->mutable_filter_chain_match()->set_transport_protocol("raw_buffer");
  HttpChain spec;
  spec.side = HttpSide::kSidecarOutbound;
  spec.stat_prefix = fmt::format("outbound_{};", name);
  spec.route_name = route_name;
  add_http_manager(view, spec, http);
}

lds::Listener outbound_listener(const View& view, const std::string& name,
                                const OutboundListener& outbound) {
  lds::Listener listener;
  start_outbound(view.mesh(), outbound, name, &listener);
  if (outbound.kind == OutboundKind::kDetectService) {
    const std::string& host = outbound.targets.front().service->host;
    add_http_chain(view, name, host_and_port(host, outbound.port), &listener);
    add_target(view.mesh(), any_tcp_target(view, outbound),
               listener.mutable_default_filter_chain());
    return listener;
  }
  if (outbound.kind == OutboundKind::kPort) say_on_demand(view.proxy, &listener);
  if (outbound.http) add_http_chain(view, name, fmt::format("{}", outbound.port), &listener);
  add_tcp_chains(view, outbound, &listener);
  const bool by_sni =
      outbound.tls || std::ranges::any_of(listener.filter_chains(), [](const auto& chain) {
        return chain.filter_chain_match().server_names_size() > 0;
      });
  if (by_sni) {
    add_inspector<envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector>(
        api::kTlsInspector, &listener);
  }
  if (outbound.kind == OutboundKind::kPort && !listener.has_default_filter_chain()) {
    lds::FilterChain* rest = listener.mutable_default_filter_chain();
    rest->set_name("PassthroughFilterChain");
    add_tcp_proxy(view.mesh(), passthrough(view.mesh()), rest);
  }
  // Without others the one chain needs no default.
  if (listener.filter_chains().empty()) {
    listener.add_filter_chains()->Swap(listener.mutable_default_filter_chain());
    listener.clear_default_filter_chain();
  }
  return listener;
}

lds::Listener capture_listener(const View& view) {
  lds::Listener listener;
  listener.set_name(std::string(api::kVirtualOutbound));
  listener.set_traffic_direction(core::OUTBOUND);
  set_socket_address(listener.mutable_address(), "0.0.0.0", api::kOutboundCapturePort);
  listener.mutable_use_original_dst()->set_value(view.proxy.capture);
  say_on_demand(view.proxy, &listener);
  lds::FilterChain* loop = listener.add_filter_chains();
  loop->set_name("virtualOutbound-blackhole");
  loop->mutable_filter_chain_match()->mutable_destination_port()->set_value(
      api::kOutboundCapturePort);
  add_tcp_proxy(view.mesh(), api::kBlackHoleCluster, loop);
  lds::FilterChain* rest = listener.add_filter_chains();
  rest->set_name("virtualOutbound-catchall-tcp");
  add_tcp_proxy(view.mesh(), passthrough(view.mesh()), rest);
  return listener;
}

}  // namespace

Resources translate_common_listeners(const Snapshot& snapshot, const Proxy& proxy) {
  const View view{snapshot, proxy};
  auto resources = std::make_shared<xds::ResourceMap>();
  if (proxy.kind == ProxyKind::kGateway) return resources;
  for (const auto& [name, outbound] : plan_outbound(snapshot, proxy)) {
    add_resource(name, outbound_listener(view, name, outbound), resources.get());
  }
  return resources;
}

void add_own_listeners(const Snapshot& snapshot, const Proxy& proxy, xds::ResourceMap* resources) {
  const View view{snapshot, proxy};
  const auto add = [&](const lds::Listener& listener) {
    add_resource(listener.name(), listener, resources);
  };
  if (proxy.kind == ProxyKind::kGateway) {
    for (const lds::Listener& listener : gateway_listeners(view)) add(listener);
  } else {
    add(capture_listener(view));
    for (const lds::Listener& listener : inbound_listeners(view)) add(listener);
  }
}

Resources translate_listeners(const Snapshot& snapshot, const Proxy& proxy) {
  auto resources = std::make_shared<xds::ResourceMap>(*translate_common_listeners(snapshot, proxy));
  add_own_listeners(snapshot, proxy, resources.get());
  return resources;
}

}  // namespace mizzen::control
