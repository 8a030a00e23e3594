#include "proxy/admin/admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/names.h"
#include "base/log.h"
#include "base/strings.h"
#include "proxy/admin/explain.h"
#include "route/matchers.h"

namespace mizzen::proxy {
namespace {

// Names match Envoy's for /logging and server_info.
constexpr log::Level kLevels[] = {log::Level::kTrace,   log::Level::kDebug, log::Level::kInfo,
                                  log::Level::kWarning, log::Level::kError, log::Level::kOff};

const net::HeaderList kText = {{"content-type", "text/plain; charset=UTF-8"},
                               {"cache-control", "no-cache, max-age=0"},
                               {"x-content-type-options", "nosniff"}};
const net::HeaderList kJson = {{"content-type", "application/json"},
                               {"cache-control", "no-cache, max-age=0"},
                               {"x-content-type-options", "nosniff"}};
const net::HeaderList kPrometheus = {{"content-type", "text/plain; version=0.0.4; charset=utf-8"},
                                     {"cache-control", "no-cache, max-age=0"}};

std::string_view current_level() {
  for (auto level : kLevels) {
    if (log::enabled(level)) return log::to_string(level);
  }
  return "off";
}

std::string text_of(const net::Exchange& exchange, std::string_view parameter) {
  return exchange.query_param(parameter).value_or(std::string());
}

bool has(const net::Exchange& exchange, std::string_view parameter) {
  return exchange.query_param(parameter).has_value();
}

}  // namespace

const AdminServer::Entry* AdminServer::find(std::string_view path) {
  static constexpr Entry kEntries[] = {
      {"/", "this page", false, &AdminServer::help},
      {"/help", "this page", false, &AdminServer::help},
      {"/certs", "certificates of this proxy", false, &AdminServer::certs},
      {"/certs/renew", "ask for a new certificate now (POST)", true, &AdminServer::renew},
      {"/clusters", "upstream clusters and their endpoints (?format=json)", false,
       &AdminServer::clusters},
      {"/config_dump", "the configuration (?include_eds, ?resource=, ?mask=, ?name_regex=)", false,
       &AdminServer::config_dump},
      {"/drain_listeners", "drain connections (POST)", true, &AdminServer::drain},
      {"/explain", "what would become of a request, and why (?destination=IP:PORT&path=...)", false,
       &AdminServer::explain},
      {"/healthcheck/fail", "let readiness fail (POST)", true, &AdminServer::fail},
      {"/healthcheck/ok", "undo that (POST)", true, &AdminServer::ok},
      {"/listeners", "listeners and their addresses (?format=json)", false,
       &AdminServer::listeners},
      {"/logging", "show or set the log level (POST, ?level=)", false, &AdminServer::logging},
      {"/quitquitquit", "end the process (POST)", true, &AdminServer::quit},
      {"/ready", "LIVE when ready, else 503", false, &AdminServer::ready},
      {"/server_info", "version, state and node", false, &AdminServer::server_info},
      {"/stats", "statistics (?filter=, ?format=json|prometheus, ?usedonly)", false,
       &AdminServer::stats},
      {"/stats/prometheus", "statistics for Prometheus", false, &AdminServer::prometheus},
      {"/upgrade", "let a new process take over (POST, ?concurrency=)", true,
       &AdminServer::upgrade},
  };
  for (const auto& entry : kEntries) {
    if (entry.path == path) return &entry;
  }
  return nullptr;
}

AdminServer::AdminServer(io::Loop& loop, ConfigFeed& feed, const Bootstrap& bootstrap,
                         AdminHooks hooks)
    : loop_(loop),
      feed_(feed),
      bootstrap_(bootstrap),
      hooks_(std::move(hooks)),
      started_(loop.now()),
      server_(std::make_unique<net::HttpServer>(
          loop, net::HttpServerOptions{},
          [this](const ExchangeRef& exchange) { handle(exchange); })) {}

AdminServer::~AdminServer() = default;

Result<io::Address> AdminServer::listen(const SocketAddr& address) {
  if (address.pipe) return server_->listen(io::Address::unix_path(address.host));
  MIZZEN_TRY(auto ip, io::Address::parse_ip(address.host, address.port));
  return server_->listen(ip);
}

void AdminServer::handle(const ExchangeRef& exchange) {
  const Entry* entry = find(exchange->path());
  if (!entry) {
    exchange->respond(404, kText, "invalid path. admin commands are listed at /help\n");
    return;
  }
  if (entry->post && exchange->method() != "POST") {
    exchange->respond(405, kText,
                      fmt::format("Method {} not allowed, POST required.", exchange->method()));
    return;
  }
  (this->*entry->page)(exchange);
}

void AdminServer::help(const ExchangeRef& exchange) {
  std::string text = "admin commands are:\n";
  static constexpr std::string_view kPaths[] = {"/certs",
                                                "/certs/renew",
                                                "/clusters",
                                                "/config_dump",
                                                "/drain_listeners",
                                                "/explain",
                                                "/healthcheck/fail",
                                                "/healthcheck/ok",
                                                "/help",
                                                "/listeners",
                                                "/logging",
                                                "/quitquitquit",
                                                "/ready",
                                                "/server_info",
                                                "/stats",
                                                "/stats/prometheus",
                                                "/upgrade"};
  for (auto path : kPaths) text += fmt::format("  {}: {}\n", path, find(path)->help);
  exchange->respond(200, kText, text);
}

SnapshotRef AdminServer::snapshot() const {
  auto latest = feed_.store().latest();
  return latest ? latest : std::make_shared<const Snapshot>();
}

void AdminServer::config_dump(const ExchangeRef& exchange) {
  DumpQuery query{has(*exchange, "include_eds"), text_of(*exchange, "resource"),
                  text_of(*exchange, "mask"), text_of(*exchange, "name_regex")};
  auto dump = proxy::config_dump(feed_.store(), bootstrap_, query);
  if (dump) {
    exchange->respond(200, kJson, *dump);
    return;
  }
  int status = dump.error().code == Code::kNotFound ? 404 : 400;
  exchange->respond(status, kText, dump.error().message + "\n");
}

void AdminServer::clusters(const ExchangeRef& exchange) {
  if (text_of(*exchange, "format") == "json") {
    exchange->respond(200, kJson, clusters_json(*snapshot(), hooks_.limits));
  } else {
    exchange->respond(200, kText, clusters_text(*snapshot(), hooks_.limits));
  }
}

void AdminServer::listeners(const ExchangeRef& exchange) {
  if (text_of(*exchange, "format") == "json") {
    exchange->respond(200, kJson, listeners_json(*snapshot()));
  } else {
    exchange->respond(200, kText, listeners_text(*snapshot()));
  }
}

void AdminServer::explain(const ExchangeRef& exchange) {
  auto asked = parse_explain(exchange->query());
  if (!asked) {
    exchange->respond(400, kText, asked.error().message + "\n");
    return;
  }
  explain_when_known(exchange, *asked, {});
}

// As the request would, it waits for what the control plane has to say about the destination.
void AdminServer::explain_when_known(const ExchangeRef& exchange, const ExplainRequest& asked,
                                     const std::vector<std::string>& before) {
  const LiveConfigRef config = make_live_config(snapshot());
  const std::vector<std::string> names = unknown_destinations(*config, asked);
  std::vector<std::string> all = before;
  all.insert(all.end(), names.begin(), names.end());
  const bool in_vain = !names.empty() && std::ranges::find(before, names.front()) != before.end();
  if (names.empty() || in_vain) {
    nlohmann::json said = proxy::explain(*config, asked);
    if (!before.empty()) said["askedFor"] = before;
    if (in_vain) {
      said["outcome"] = "the control plane did not say in time where this is: 503, flag SU";
    }
    exchange->respond(200, kJson,
                      said.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  feed_.when_known(names, [this, alive = std::weak_ptr<int>(alive_), exchange, asked, all] {
    if (!alive.expired()) explain_when_known(exchange, asked, all);
  });
}

void AdminServer::certs(const ExchangeRef& exchange) {
  exchange->respond(200, kJson, certs_json(*snapshot(), loop_.wall()));
}

void AdminServer::renew(const ExchangeRef& exchange) {
  bool asked = hooks_.renew && hooks_.renew();
  exchange->respond(asked ? 200 : 404, kText, asked ? "OK\n" : "this proxy has no agent\n");
}

void AdminServer::server_info(const ExchangeRef& exchange) {
  ServerFacts facts;
  facts.state = hooks_.draining() ? "DRAINING" : hooks_.ready() ? "LIVE" : "INITIALIZING";
  facts.uptime = loop_.now() - started_;
  facts.concurrency = hooks_.concurrency;
  facts.log_level = current_level();
  facts.drain_time = hooks_.drain_time;
  facts.epoch = hooks_.epoch;
  exchange->respond(200, kJson, server_info_json(facts, bootstrap_));
}

// The main thread's own counters, by Envoy's names.
void AdminServer::add_own(StatsReport& report) const {
  const auto& store = feed_.store();
  auto latest = store.latest();
  report.gauges["server.live"] = hooks_.ready() ? 1 : 0;
  report.gauges["server.uptime"] =
      std::chrono::duration_cast<std::chrono::seconds>(loop_.now() - started_).count();
  report.gauges["server.concurrency"] = hooks_.concurrency;
  report.gauges["cluster_manager.active_clusters"] =
      latest ? static_cast<std::int64_t>(latest->clusters.size()) : 0;
  report.gauges["listener_manager.total_listeners_active"] =
      latest ? static_cast<std::int64_t>(latest->listeners.size()) : 0;
  if (latest && hooks_.limits) add_cluster_stats(*hooks_.limits, *latest, report);
  const XdsSource* source = hooks_.source ? hooks_.source() : nullptr;
  if (source == nullptr) return;
  report.gauges["control_plane.connected_state"] = source->connected() ? 1 : 0;
  report.counters["control_plane.updates"] = source->updates();
  report.counters["control_plane.rejected_resources"] = source->rejected();
  report.counters["control_plane.connect_failures"] = source->connect_failures();
}

void AdminServer::stats(const ExchangeRef& exchange) {
  std::string format = text_of(*exchange, "format");
  if (format == "prometheus") return prometheus(exchange);
  route::Regex filter;
  if (std::string text = text_of(*exchange, "filter"); !text.empty()) {
    auto regex = route::compile_regex(".*(?:" + text + ").*");
    if (!regex) {
      exchange->respond(400, kText, regex.error().message + "\n");
      return;
    }
    filter = std::move(*regex);
  }
  bool used_only = has(*exchange, "usedonly");
  hooks_.collect([this, exchange, format, filter, used_only](StatsReport report) {
    add_own(report);
    nlohmann::json list = nlohmann::json::array();
    std::string text;
    auto add = [&](const std::string& name, auto value) {
      if (filter && !route::matches_whole(filter, name)) return;
      if (used_only && value == 0) return;
      if (format == "json")
        list.push_back({{"name", name}, {"value", value}});
      else
        text += fmt::format("{}: {}\n", name, value);
    };
    for (const auto& [name, value] : report.counters) add(name, value);
    for (const auto& [name, value] : report.gauges) add(name, value);
    for (const auto& [labels, series] : report.requests) {
      add("istio_requests_total{" + labels + "}", series.requests);
    }
    for (const auto& [labels, series] : report.tcp) {
      add("istio_tcp_connections_opened_total{" + labels + "}", series.opened);
    }
    if (format == "json")
      exchange->respond(200, kJson,
                        nlohmann::json{{"stats", list}}.dump(
                            -1, ' ', false, nlohmann::json::error_handler_t::replace));
    else
      exchange->respond(200, kText, text);
  });
}

void AdminServer::prometheus(const ExchangeRef& exchange) {
  hooks_.collect([exchange](const StatsReport& report) {
    exchange->respond(200, kPrometheus, report.prometheus());
  });
}

void AdminServer::logging(const ExchangeRef& exchange) {
  std::string wanted = text_of(*exchange, "level");
  if (exchange->query().empty()) {
    exchange->respond(200, kText, fmt::format("active loggers:\n  all: {}\n", current_level()));
    return;
  }
  if (exchange->method() != "POST") {
    exchange->respond(405, kText, "Method not allowed, POST required.");
    return;
  }
  if (wanted.empty()) {
    exchange->respond(400, kText, "this proxy has one level for everything: ?level=debug\n");
    return;
  }
  auto level = log::parse_level(wanted);
  if (!level) {
    exchange->respond(400, kText, "error: unknown logger level\n");
    return;
  }
  log::set_level(*level);
  exchange->respond(200, kText, fmt::format("active loggers:\n  all: {}\n", current_level()));
}

void AdminServer::ready(const ExchangeRef& exchange) {
  if (hooks_.draining())
    exchange->respond(503, kText, "DRAINING\n");
  else if (hooks_.ready())
    exchange->respond(200, kText, "LIVE\n");
  else
    exchange->respond(503, kText, "INITIALIZING\n");
}

void AdminServer::quit(const ExchangeRef& exchange) {
  exchange->respond(200, kText, "OK\n");
  // After the answer has left.
  loop_.after(std::chrono::milliseconds(50), hooks_.quit);
}

void AdminServer::drain(const ExchangeRef& exchange) {
  hooks_.drain();
  exchange->respond(200, kText, "OK\n");
}

void AdminServer::upgrade(const ExchangeRef& exchange) {
  const std::string text = text_of(*exchange, "concurrency");
  const auto workers = text.empty() ? std::optional(0U) : parse_int<unsigned>(text);
  if (!workers || *workers > 1024) {
    exchange->respond(400, kText, "concurrency: not a number of workers\n");
    return;
  }
  Status started = hooks_.upgrade
                       ? hooks_.upgrade(*workers)
                       : Status(mizzen::fail(Code::kUnsupported, "this process cannot do that"));
  exchange->respond(started ? 202 : 409, kText,
                    started ? "another process takes over\n" : started.error().message + "\n");
}

void AdminServer::fail(const ExchangeRef& exchange) {
  hooks_.set_failed(true);
  exchange->respond(200, kText, "OK\n");
}

void AdminServer::ok(const ExchangeRef& exchange) {
  hooks_.set_failed(false);
  exchange->respond(200, kText, "OK\n");
}

}  // namespace mizzen::proxy
