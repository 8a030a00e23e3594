#include "proxy/observe/stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/strings.h"

namespace mizzen::proxy {

// What is known of one side of a request.
struct SideLabels {
  std::string_view workload, name_space, principal, app, version, cluster, canonical, revision;
};

namespace {

constexpr std::string_view kUnknown = "unknown";
// Who calls may say any host, and a peer may call itself anything: series beyond these are told
// without names. Per worker.
constexpr std::size_t kMostSeries = 10'000;
constexpr std::size_t kMostMadeUp = 500;  // of hosts that belong to no service
constexpr int kMostGrpcStatus = 16;
constexpr int kGrpcUnknown = 2;

// A code that gRPC does not have is UNKNOWN, as clients take it.
std::optional<int> grpc_status_of(const RequestInfo& request) {
  if (!request.grpc_status) return std::nullopt;
  const int status = *request.grpc_status;
  return status < 0 || status > kMostGrpcStatus ? kGrpcUnknown : status;
}

std::string_view or_unknown(std::string_view text) { return text.empty() ? kUnknown : text; }

// Of a PeerWorkload or of our own Workload, which name these alike.
template <class W>
SideLabels of(const W& w) {
  return {w.name,
          w.name_space,
          {},
          w.app.empty() ? w.canonical_name : w.app,
          w.version.empty() ? w.canonical_revision : w.version,
          w.cluster,
          w.canonical_name,
          w.canonical_revision};
}

// "spiffe://td/ns/default/sa/x" -> "default"
std::string_view spiffe_namespace(std::string_view id) {
  auto at = id.find("/ns/");
  if (at == std::string_view::npos) return {};
  id.remove_prefix(at + 4);
  return id.substr(0, id.find('/'));
}

// What stands for a service that the cluster does not name: a client's word.
std::string_view made_up_name(const RequestInfo& request) {
  const bool asked = request.request != nullptr && !request.request->authority.empty();
  return asked ? request.request->authority : request.cluster_name;
}

void append_escaped(std::string& to, std::string_view value) {
  for (char c : value) {
    if (c == '"' || c == '\\') to += '\\';
    if (c == '\n') {
      to += "\\n";
    } else {
      to += c;
    }
  }
}

void append_label(std::string& to, std::string_view name, std::string_view value) {
  if (!to.empty()) to += ',';
  to += name;
  to += "=\"";
  append_escaped(to, value);
  to += '"';
}

void append_side(std::string& to, bool source, const SideLabels& s) {
  append_label(to, source ? "source_workload" : "destination_workload", or_unknown(s.workload));
  append_label(to, source ? "source_workload_namespace" : "destination_workload_namespace",
               or_unknown(s.name_space));
  append_label(to, source ? "source_principal" : "destination_principal", or_unknown(s.principal));
  append_label(to, source ? "source_app" : "destination_app", or_unknown(s.app));
  append_label(to, source ? "source_version" : "destination_version", or_unknown(s.version));
  append_label(to, source ? "source_cluster" : "destination_cluster", or_unknown(s.cluster));
  append_label(to, source ? "source_canonical_service" : "destination_canonical_service",
               or_unknown(s.canonical));
  append_label(to, source ? "source_canonical_revision" : "destination_canonical_revision",
               or_unknown(s.revision == "" ? (s.canonical.empty() ? "" : "latest") : s.revision));
}

void append_histogram(std::string& out, std::string_view name, std::string_view labels,
                      const Histogram& histogram) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < histogram.buckets.size(); ++i) {
    sum += histogram.buckets[i];
    if (i < kHistogramBounds.size()) {
      fmt::format_to(std::back_inserter(out), "{}_bucket{{{},le=\"{}\"}} {}\n", name, labels,
                     kHistogramBounds[i], sum);
    } else {
      fmt::format_to(std::back_inserter(out), "{}_bucket{{{},le=\"+Inf\"}} {}\n", name, labels,
                     sum);
    }
  }
  fmt::format_to(std::back_inserter(out), "{}_sum{{{}}} {}\n", name, labels, histogram.sum);
  fmt::format_to(std::back_inserter(out), "{}_count{{{}}} {}\n", name, labels, histogram.count);
}

}  // namespace

void Histogram::add(double value) {
  auto bound = std::lower_bound(kHistogramBounds.begin(), kHistogramBounds.end(), value);
  ++buckets[static_cast<std::size_t>(bound - kHistogramBounds.begin())];
  sum += value;
  ++count;
}

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] += other.buckets[i];
  sum += other.sum;
  count += other.count;
}

void RequestSeries::merge(const RequestSeries& other) {
  requests += other.requests;
  duration_ms.merge(other.duration_ms);
  request_bytes.merge(other.request_bytes);
  response_bytes.merge(other.response_bytes);
}

void TcpSeries::merge(const TcpSeries& other) {
  opened += other.opened;
  closed += other.closed;
  received_bytes += other.received_bytes;
  sent_bytes += other.sent_bytes;
}

void StatsReport::merge(const StatsReport& other) {
  for (const auto& [labels, series] : other.requests) requests[labels].merge(series);
  for (const auto& [labels, series] : other.tcp) tcp[labels].merge(series);
  for (const auto& [name, value] : other.counters) counters[name] += value;
  for (const auto& [name, value] : other.gauges) gauges[name] += value;
}

std::string StatsReport::prometheus() const {
  std::string out;
  auto to = std::back_inserter(out);
  auto plain = [&](std::string_view name, std::string_view type, const auto& values) {
    fmt::format_to(to, "# TYPE {} {}\n", name, type);
    values();
  };
  if (!requests.empty()) {
    plain("istio_requests_total", "counter", [&] {
      for (const auto& [labels, series] : requests) {
        fmt::format_to(to, "istio_requests_total{{{}}} {}\n", labels, series.requests);
      }
    });
    auto histogram = [&](std::string_view name, Histogram RequestSeries::*member) {
      plain(name, "histogram", [&] {
        for (const auto& [labels, series] : requests)
          append_histogram(out, name, labels, series.*member);
      });
    };
    histogram("istio_request_duration_milliseconds", &RequestSeries::duration_ms);
    histogram("istio_request_bytes", &RequestSeries::request_bytes);
    histogram("istio_response_bytes", &RequestSeries::response_bytes);
  }
  if (!tcp.empty()) {
    auto counter = [&](std::string_view name, std::uint64_t TcpSeries::*member) {
      plain(name, "counter", [&] {
        for (const auto& [labels, series] : tcp) {
          fmt::format_to(to, "{}{{{}}} {}\n", name, labels, series.*member);
        }
      });
    };
    counter("istio_tcp_connections_opened_total", &TcpSeries::opened);
    counter("istio_tcp_connections_closed_total", &TcpSeries::closed);
    counter("istio_tcp_received_bytes_total", &TcpSeries::received_bytes);
    counter("istio_tcp_sent_bytes_total", &TcpSeries::sent_bytes);
  }
  std::string_view family;
  for (const auto& [name, value] : counters) {
    const std::string_view own = std::string_view(name).substr(0, name.find('{'));
    if (own != family) fmt::format_to(to, "# TYPE {} counter\n", own);
    family = own;
    fmt::format_to(to, "{} {}\n", name, value);
  }
  for (const auto& [name, value] : gauges) {
    plain(name, "gauge", [&] { fmt::format_to(to, "{} {}\n", name, value); });
  }
  return out;
}

// The pieces from which a series' labels are made.
struct Stats::Parts {
  bool outbound = false;
  bool made_up = false;  // the service is what the client called it
  SideLabels source, destination;
  std::string_view service, service_name, service_namespace;
  std::string_view policy;
  std::string_view protocol;

  void blur() {
    (outbound ? destination : source) = {};
    service = service_name = service_namespace = {};
  }

  void append_labels(std::string& to, const RequestInfo& request) const {
    if (!request.is_tcp) append_label(to, "response_code", std::to_string(request.status));
    append_label(to, "reporter", outbound ? "source" : "destination");
    append_side(to, true, source);
    append_side(to, false, destination);
    append_label(to, "destination_service", or_unknown(service));
    append_label(to, "destination_service_name", or_unknown(service_name));
    append_label(to, "destination_service_namespace", or_unknown(service_namespace));
    append_label(to, "request_protocol", protocol);
    append_label(to, "response_flags", flags_text(request.flags));
    if (!request.is_tcp) {
      const auto status = grpc_status_of(request);
      append_label(to, "grpc_response_status", status ? std::to_string(*status) : std::string());
    }
    append_label(to, "connection_security_policy", policy);
  }

  // Everything above that may differ, apart by a byte that no label holds.
  void write_key(std::string& to, const RequestInfo& request) const {
    // Only the far side differs within one proxy, but principals may on both.
    const SideLabels& far = outbound ? destination : source;
    const std::string_view texts[] = {
        far.workload,      far.name_space,
        far.principal,     far.app,
        far.version,       far.cluster,
        far.canonical,     far.revision,
        service,           service_name,
        service_namespace, policy,
        protocol,          outbound ? source.principal : destination.principal};
    const std::int32_t numbers[] = {outbound ? 1 : 0, request.status,
                                    static_cast<std::int32_t>(request.flags),
                                    grpc_status_of(request).value_or(-1)};
    std::size_t size = sizeof numbers;
    for (std::string_view text : texts) size += text.size() + 1;
    to.resize(size);
    char* at = to.data();
    for (std::string_view text : texts) {
      at = std::copy(text.begin(), text.end(), at);
      *at++ = '\0';
    }
    std::memcpy(at, numbers, sizeof numbers);
  }
};

Stats::Parts Stats::parts(const RequestInfo& request) const {
  Parts p;
  const ConnectionInfo& c = *request.connection;
  p.outbound = c.direction != Direction::kInbound;
  SideLabels own = of(self_.workload);
  SideLabels far;
  if (p.outbound) {
    if (request.upstream != nullptr) {
      const UpstreamInfo& up = *request.upstream;
      if (up.endpoint != nullptr && up.endpoint->workload) far = of(*up.endpoint->workload);
      if (up.peer) far.principal = up.peer->uri();
      if (up.mutual_tls) own.principal = self_.principal;
      if (far.name_space.empty()) far.name_space = spiffe_namespace(far.principal);
    }
    p.source = own;
    p.destination = far;
    p.policy = kUnknown;
  } else {
    if (c.peer_workload) far = of(*c.peer_workload);
    if (c.mutual_tls && c.peer) far.principal = c.peer->uri();
    if (c.mutual_tls) own.principal = c.own ? c.own->uri() : std::string_view(self_.principal);
    if (far.name_space.empty()) far.name_space = spiffe_namespace(far.principal);
    p.source = far;
    p.destination = own;
    p.policy = c.mutual_tls ? "mutual_tls" : "none";
  }
  p.protocol = request.is_tcp ? "tcp" : request.is_grpc ? "grpc" : "http";
  if (request.cluster != nullptr && !request.cluster->services.empty()) {
    const Cluster::Service& service = request.cluster->services.front();
    p.service = service.host;
    p.service_name = service.name;
    p.service_namespace = service.name_space;
  } else {
    p.service = made_up_name(request);
    p.service_name = request.cluster_name;
    p.service_namespace = p.destination.name_space;
    p.made_up = true;
  }
  return p;
}

// Asked before a series is made.
bool Stats::is_one_too_many(const Parts& parts, std::size_t series) {
  if (series >= kMostSeries || (parts.made_up && made_up_ >= kMostMadeUp)) return true;
  if (parts.made_up) ++made_up_;
  return false;
}

Stats::Traits Stats::traits_of(const RequestInfo& request) {
  const ConnectionInfo& c = *request.connection;
  Traits traits{.cluster = request.cluster,
                .grpc_status = request.grpc_status,
                .status = request.status,
                .flags = request.flags,
                .direction = c.direction,
                .is_grpc = request.is_grpc};
  if (c.direction == Direction::kInbound) {
    traits.workload = c.peer_workload.get();
    traits.peer = c.peer.get();
    traits.own = c.own.get();
    traits.mutual_tls = c.mutual_tls;
  } else if (request.upstream != nullptr) {
    const UpstreamInfo& up = *request.upstream;
    if (up.endpoint != nullptr) traits.workload = up.endpoint->workload.get();
    traits.peer = up.peer.get();
    traits.mutual_tls = up.mutual_tls;
  }
  return traits;
}

bool Stats::is_recent(const Traits& traits, const RequestInfo& request) const {
  if (recent_.series == nullptr || recent_.traits != traits) return false;
  return recent_.made_up.empty() || recent_.made_up == made_up_name(request);
}

void Stats::remember(const Traits& traits, const RequestInfo& request, RequestSeries& series) {
  const ConnectionInfo& c = *request.connection;
  recent_.traits = traits;
  recent_.series = &series;
  recent_.kept = {};
  if (c.direction == Direction::kInbound) {
    recent_.kept = {c.peer_workload, c.peer, c.own};
  } else if (request.upstream != nullptr) {
    const UpstreamInfo& up = *request.upstream;
    recent_.kept = {up.endpoint != nullptr ? up.endpoint->workload : nullptr, up.peer, nullptr};
  }
}

RequestSeries& Stats::series_of(const RequestInfo& request) {
  const Traits traits = traits_of(request);
  if (is_recent(traits, request)) return *recent_.series;
  const Parts p = parts(request);
  RequestSeries& series = find_series(request, p);
  if (request.cluster == nullptr) return series;  // whose name is not among the traits
  remember(traits, request, series);
  recent_.made_up.assign(p.made_up ? p.service : std::string_view());
  return series;
}

RequestSeries& Stats::find_series(const RequestInfo& request, const Parts& parts) {
  parts.write_key(key_, request);
  auto found = by_key_.find(key_);
  if (found != by_key_.end()) return *found->second;
  Parts told = parts;
  if (is_one_too_many(parts, requests_.size())) {
    told.blur();
    told.write_key(key_, request);
    found = by_key_.find(key_);
    if (found != by_key_.end()) return *found->second;
  }
  std::string labels;
  told.append_labels(labels, request);
  return *by_key_.emplace(key_, &requests_[labels]).first->second;
}

void Stats::request_done(const RequestInfo& request) {
  RequestSeries& series = series_of(request);
  ++series.requests;
  series.duration_ms.add(std::chrono::duration<double, std::milli>(request.duration).count());
  series.request_bytes.add(static_cast<double>(request.bytes_received));
  series.response_bytes.add(static_cast<double>(request.bytes_sent));
  if (!request.route_stat_prefix.empty()) count_route(request);
}

// As Envoy names them: vhost.<virtual host>.route.<stat_prefix>.upstream_rq_*
void Stats::count_route(const RequestInfo& request) {
  std::string labels;
  append_label(labels, "envoy_virtual_host", request.virtual_host);
  append_label(labels, "envoy_route", request.route_stat_prefix);
  const auto add = [&](std::string_view name, std::string_view label, int value) {
    std::string full = labels;
    if (!label.empty()) append_label(full, label, std::to_string(value));
    ++routes_[fmt::format("envoy_vhost_route_{}{{{}}}", name, full)];
  };
  add("upstream_rq_total", {}, 0);
  if (request.status == 0) return;
  add("upstream_rq_completed", {}, 0);
  add("upstream_rq", "envoy_response_code", request.status);
  add("upstream_rq_xx", "envoy_response_code_class", request.status / 100);
}

TcpSeries& Stats::tcp_series(const RequestInfo& connection) {
  Parts p = parts(connection);
  std::string labels;
  p.append_labels(labels, connection);
  if (auto found = tcp_.find(labels); found != tcp_.end()) return found->second;
  if (is_one_too_many(p, tcp_.size())) {
    p.blur();
    labels.clear();
    p.append_labels(labels, connection);
  }
  return tcp_[labels];
}

void Stats::tcp_opened(const RequestInfo& connection) { ++tcp_series(connection).opened; }

void Stats::tcp_moved(const RequestInfo& connection, std::uint64_t received, std::uint64_t sent) {
  TcpSeries& series = tcp_series(connection);
  series.received_bytes += received;
  series.sent_bytes += sent;
}

void Stats::tcp_closed(const RequestInfo& connection) { ++tcp_series(connection).closed; }

void Stats::count(std::string_view name, std::uint64_t by) { counters_[name] += by; }
void Stats::gauge(std::string_view name, std::int64_t change) { gauges_[name] += change; }

StatsReport Stats::report() const {
  StatsReport report;
  report.requests.insert(requests_.begin(), requests_.end());
  report.tcp.insert(tcp_.begin(), tcp_.end());
  for (const auto& [name, value] : counters_) report.counters[std::string(name)] = value;
  report.counters.insert(routes_.begin(), routes_.end());
  for (const auto& [name, value] : gauges_) report.gauges[std::string(name)] = value;
  return report;
}

}  // namespace mizzen::proxy
