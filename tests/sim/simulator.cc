#include "simulator.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "api/names.h"
#include "base/strings.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "proxy/admin/explain.h"
#include "proxy/http/request_view.h"
#include "proxy/http/stream_headers.h"

namespace mizzen::sim {
namespace {

using route::Decision;

proxy::ConnectionInfo connection_of(const Mesh& mesh, const Row& row, const Ask& ask) {
  proxy::ConnectionInfo info;
  info.local = mesh.destination(ask);
  if (row.has("via")) info.local = *io::Address::parse_ip(row.text("via"), ask.port);
  info.remote = *io::Address::parse_ip("10.9.9.9", 40000);
  info.tls = ask.tls || row.has("sni");
  info.transport_protocol = info.tls ? "tls" : "raw_buffer";
  info.server_name = info.tls ? lower(row.text("sni", ask.host)) : "";
  if (row.has("ask")) info.application_protocols = {"http/1.1"};
  info.direction = proxy::Direction::kOutbound;
  return info;
}

// The request's head as it stands before routing.
http::RequestHead head_of(const Row& row, const Ask& ask) {
  http::RequestHead head;
  head.set_method(ask.method);
  head.set_scheme(ask.tls ? "https" : "http");
  head.set_authority(ask.authority);
  head.set_path(ask.path);
  if (row.has("headers")) {
    for (const auto& [name, value] : row.json["headers"].items()) {
      head.headers.add(lower(name), value.get<std::string>());
    }
  }
  return head;
}

std::map<std::string, std::string> to_map(const http::Headers& headers) {
  std::map<std::string, std::string> out;
  for (const auto& field : headers) {
    std::string& value = out[std::string(field.name)];
    if (!value.empty()) value += ",";
    value += field.value;
  }
  return out;
}

std::string drawn(const proxy::TcpSettings& tcp, std::uint64_t random) {
  if (tcp.weighted.empty()) return tcp.cluster;
  std::uint64_t point = random % tcp.total_weight;
  for (const auto& [cluster, weight] : tcp.weighted) {
    if (point < weight) return cluster;
    point -= weight;
  }
  return {};
}

bool aborts(const route::Fault* fault, std::uint64_t random) {
  return fault != nullptr && fault->abort_share && fault->abort_share->draws(random >> 16);
}

// What the chain's HTTP filters do before the router; true when the request ends there.
bool run_filters(const Decision& decision, const route::Table& table, std::uint64_t random,
                 Outcome* outcome) {
  const route::Fault* fault = route::effective(decision, table, &route::PerFilter::fault);
  if (fault == nullptr) return false;
  if (fault->delay_share && fault->delay_share->draws(random >> 16)) outcome->delay = fault->delay;
  if (!aborts(fault, random)) return false;
  outcome->cluster.clear();
  outcome->status = fault->abort_grpc_status >= 0 ? 200 : fault->abort_status;
  outcome->body = "fault filter abort";
  return true;
}

void forward(const Mesh& mesh, http::RequestHead head, const Decision& decision,
             const route::Table& table, const proxy::RequestInfo& info, std::uint64_t random,
             Outcome* outcome) {
  const proxy::HeadView view(head);
  outcome->cluster = decision.cluster;
  outcome->status = 200;
  if (run_filters(decision, table, random, outcome)) return;
  outcome->path =
      route::rewritten_path(*decision.route, head.path).value_or(std::string(head.path));
  outcome->authority = route::rewritten_host(decision, view).value_or(std::string(head.authority));
  for (const route::Mirror& mirror : decision.route->forward.mirrors) {
    if (mirror.fraction.draws(random >> 8)) outcome->mirrored.push_back(mirror.cluster);
  }
  std::ranges::sort(outcome->mirrored);
  if (outcome->path != head.path) head.headers.set("x-envoy-original-path", head.path);
  proxy::mutate_request(head, decision, table, info);
  outcome->sees = to_map(head.headers);
  if (mesh.live()->snapshot->cluster(decision.cluster) != nullptr) return;
  outcome->cluster.clear();
  outcome->status = decision.route->forward.cluster_not_found_status;
}

Outcome decide_http(const Mesh& mesh, const Row& row, const Ask& ask,
                    const proxy::ConnectionInfo& connection, const proxy::HttpSettings& settings,
                    std::uint64_t random) {
  Outcome outcome;
  const route::TableRef table = mesh.live()->snapshot->table(settings);
  if (!table) {
    outcome.status = 404;
    return outcome;
  }
  http::RequestHead head = head_of(row, ask);
  const proxy::HeadView view(head);
  const Decision decision = route::match(*table, view, random, connection.tls);
  proxy::RequestInfo info;
  info.connection = &connection;
  info.request = &head;
  info.protocol = http::Protocol::kHttp11;
  http::Headers answer;
  proxy::mutate_response(answer, decision, *table, info);
  outcome.answers = to_map(answer);
  switch (decision.kind) {
    case Decision::Kind::kForward:
      forward(mesh, head.clone(), decision, *table, info, random, &outcome);
      break;
    case Decision::Kind::kRedirect:
      outcome.status = decision.route->redirect.status;
      outcome.location = route::redirect_location(decision, view);
      break;
    case Decision::Kind::kTlsRequired:
      outcome.status = 301;
      outcome.location = route::redirect_location(decision, view);
      break;
    case Decision::Kind::kDirectResponse:
      outcome.status = decision.route->direct.status;
      outcome.body = decision.route->direct.body;
      break;
    default:
      outcome.status = 404;
  }
  return outcome;
}

// A value inside a resource by "circuitBreakers.thresholds[0].maxRequests".
std::string value_at(const Json& json, const std::string& path) {
  const auto found = object::json_path(json, "." + path);
  if (!found || found->empty()) return "(absent)";
  const Json& value = found->front();
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void check_fields(const Json& json, const Json& fields, std::vector<std::string>* out) {
  for (const auto& [path, wanted] : fields.items()) {
    const std::string want = wanted.is_null()     ? "(absent)"
                             : wanted.is_string() ? wanted.get<std::string>()
                                                  : wanted.dump();
    const std::string got = value_at(json, path);
    if (got != want) out->push_back(fmt::format("{}: expected {}, got {}", path, want, got));
  }
}

template <class Message>
void check_resource(const xds::ResourceMap& resources, const std::string& name, const Row& row,
                    std::vector<std::string>* out) {
  const auto found = resources.find(name);
  if (found == resources.end()) {
    if (!row.has("absent")) out->push_back("there is no resource " + name);
    return;
  }
  if (row.has("absent")) out->push_back("the resource is there: " + name);
  if (!row.has("has")) return;
  Message message;
  std::string text;
  message.ParseFromString(found->second->bytes);
  if (!google::protobuf::util::MessageToJsonString(message, &text).ok()) {
    out->push_back(name + ": has a message that JSON cannot hold");
    return;
  }
  check_fields(*object::parse_json(text), row.json["has"], out);
}

void check_retries(const Json& wanted, const route::RetryPolicy* got,
                   std::vector<std::string>* out) {
  const int attempts = got == nullptr ? 0 : static_cast<int>(got->attempts);
  if (wanted.value("attempts", attempts) != attempts) {
    out->push_back(
        fmt::format("retries: expected {}, got {}", wanted["attempts"].dump(), attempts));
  }
  if (got == nullptr) return;
  if (wanted.contains("on") &&
      route::parse_retry_on(wanted["on"].get<std::string>(), nullptr) != got->on) {
    out->push_back("retries: other conditions than " + wanted["on"].get<std::string>());
  }
  if (wanted.contains("perTryTimeout") &&
      duration_of(wanted["perTryTimeout"].get<std::string>()) != got->per_try_timeout) {
    out->push_back("retries: another perTryTimeout");
  }
  if (wanted.contains("backoff") &&
      duration_of(wanted["backoff"].get<std::string>()) != got->base_backoff) {
    out->push_back("retries: another backoff");
  }
  if (wanted.value("avoidsPrevious", got->avoid_previous_hosts) != got->avoid_previous_hosts) {
    out->push_back("retries: avoidance of previous hosts differs");
  }
  if (wanted.contains("codes")) {
    const auto codes = wanted["codes"].get<std::vector<std::uint16_t>>();
    if (codes != got->status_codes) out->push_back("retries: other status codes");
  }
}

}  // namespace

Outcome decide(const Mesh& mesh, const Row& row, const Ask& ask, std::uint64_t random) {
  const proxy::ConnectionInfo connection = connection_of(mesh, row, ask);
  const auto listener = mesh.listener(connection.local);
  const proxy::FilterChain* chain = listener ? proxy::chain_for(*listener, connection) : nullptr;
  if (chain == nullptr) return {};  // refused
  if (const auto* http =
          std::get_if<std::shared_ptr<const proxy::HttpSettings>>(&chain->terminal)) {
    return decide_http(mesh, row, ask, connection, **http, random);
  }
  Outcome outcome;
  outcome.cluster =
      drawn(*std::get<std::shared_ptr<const proxy::TcpSettings>>(chain->terminal), random);
  if (row.has("ask")) outcome.status = 200;
  if (outcome.cluster == api::kBlackHoleCluster) outcome.cluster.clear();
  return outcome;
}

std::vector<std::string> unknown_names(const Mesh& mesh, const Row& row, const Ask& ask) {
  const proxy::ConnectionInfo connection = connection_of(mesh, row, ask);
  proxy::ExplainRequest request;
  request.destination = connection.local;
  request.source = connection.remote;
  request.tls = connection.tls;
  request.server_name = connection.server_name;
  request.authority = ask.authority;
  request.path = ask.path;
  return proxy::unknown_destinations(*mesh.live(), request);
}

std::vector<std::string> check_configuration(const Mesh& mesh, const Row& row) {
  std::vector<std::string> out;
  if (row.has("cluster")) {
    check_resource<envoy::config::cluster::v3::Cluster>(
        *mesh.world().types.at(std::string(api::kClusterType)),
        cluster_of(row.text("cluster"), 9080), row, &out);
  }
  if (row.has("endpoints")) {
    check_resource<envoy::config::endpoint::v3::ClusterLoadAssignment>(
        *mesh.world().types.at(std::string(api::kEndpointType)),
        cluster_of(row.text("endpoints"), 9080), row, &out);
  }
  if (row.has("listener")) {
    check_resource<envoy::config::listener::v3::Listener>(
        *mesh.world().types.at(std::string(api::kListenerType)), row.text("listener"), row, &out);
  }
  if (!row.has("timeout") && !row.has("retries") && !row.has("hashed")) return out;
  const Ask ask = parse_ask(row.text("ask"));
  const proxy::ConnectionInfo connection = connection_of(mesh, row, ask);
  const auto listener = mesh.listener(connection.local);
  const proxy::FilterChain* chain = proxy::chain_for(*listener, connection);
  const auto& settings = std::get<std::shared_ptr<const proxy::HttpSettings>>(chain->terminal);
  const route::TableRef table = mesh.live()->snapshot->table(*settings);
  const http::RequestHead head = head_of(row, ask);
  const Decision decision = route::match(*table, proxy::HeadView(head), 0, ask.tls);
  if (decision.route == nullptr) return {"no route"};
  const route::Forward& forward = decision.route->forward;
  if (row.has("timeout") && duration_of(row.text("timeout")) != forward.timeout) {
    out.push_back("another timeout than " + row.text("timeout"));
  }
  if (row.has("retries")) check_retries(row.json["retries"], route::retry_policy(decision), &out);
  if (row.has("hashed")) {
    std::string names;
    for (const route::HashPolicy& policy : forward.hash) {
      constexpr std::string_view kKinds[] = {"header", "cookie", "source", "query"};
      if (!names.empty()) names += " ";
      names += kKinds[static_cast<std::size_t>(policy.kind)];
      if (!policy.name.empty()) names += ":" + policy.name;
    }
    if (names != row.text("hashed")) out.push_back("hashed by '" + names + "'");
  }
  return out;
}

}  // namespace mizzen::sim
