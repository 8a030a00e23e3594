#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>

#include "cli/commands.h"
#include "cli/dump.h"
#include "cli/proxy_tables.h"
#include "cli/table.h"
#include "object/yaml.h"

namespace mizzen::cli {
namespace {

enum class Section { kAll, kListener, kRoute, kCluster, kEndpoint, kSecret, kBootstrap };

struct ProxyConfigArguments {
  std::string proxy;
  std::string file;  // a config_dump to read instead of asking a proxy
  std::string output = "short";
  int port = 0;
  TableFilter filter;
};

Json array_of(const std::vector<Json>& items) {
  Json out = Json::array();
  for (const Json& item : items) out.push_back(with_json_names(item));
  return out;
}

Result<Json> page(Session& session, const PodName& pod, std::string_view path) {
  MIZZEN_TRY(std::string text, session.admin_page(pod, path));
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return fail(Code::kProtocol, fmt::format("{} is not JSON", path));
  return json;
}

Result<std::string> endpoints(Session& session, const PodName& pod,
                              const ProxyConfigArguments& arguments) {
  MIZZEN_TRY(Json clusters, page(session, pod, "/clusters?format=json"));
  if (arguments.output == "short") return endpoint_table(clusters, arguments.filter);
  Json chosen = Json::array();
  for (const Json& cluster : at(clusters, {"cluster_statuses"})) {
    bool wanted =
        arguments.filter.cluster.empty() || text_at(cluster, {"name"}) == arguments.filter.cluster;
    if (wanted) chosen.push_back(cluster);
  }
  return format_as(with_json_names(chosen), arguments.output);
}

// What a dump alone can tell; `hosts` is the table of endpoints, for kAll.
Result<std::string> show_dump(const std::string& text, std::string_view hosts, Section section,
                              const ProxyConfigArguments& arguments) {
  MIZZEN_TRY(Dump dump, Dump::parse(text));
  bool brief = arguments.output == "short";
  const TableFilter& filter = arguments.filter;
  switch (section) {
    case Section::kListener: {
      auto found = filter_listeners(dump.listeners(), filter);
      return brief ? listener_table(found) : format_as(array_of(found), arguments.output);
    }
    case Section::kRoute: {
      auto found = filter_routes(dump.routes(), filter);
      return brief ? route_table(found) : format_as(array_of(found), arguments.output);
    }
    case Section::kCluster: {
      auto found = filter_clusters(dump.clusters(), filter);
      return brief ? cluster_table(found) : format_as(array_of(found), arguments.output);
    }
    case Section::kSecret:
      return brief ? secret_table(dump.secrets())
                   : format_as(array_of(dump.secrets()), arguments.output);
    case Section::kBootstrap:
      return format_as(with_json_names(dump.bootstrap()),
                       brief ? "json" : std::string_view(arguments.output));
    case Section::kAll: {
      if (!brief) return format_as(Json::parse(text, nullptr, false), arguments.output);
      return cluster_table(filter_clusters(dump.clusters(), filter)) + "\n" +
             listener_table(filter_listeners(dump.listeners(), filter)) + "\n" +
             route_table(filter_routes(dump.routes(), filter)) + "\n" + std::string(hosts) + "\n" +
             secret_table(dump.secrets());
    }
    case Section::kEndpoint:
      break;
  }
  return std::string();
}

Result<std::string> show(Session& session, const PodName& pod, Section section,
                         const ProxyConfigArguments& arguments) {
  if (section == Section::kEndpoint) return endpoints(session, pod, arguments);
  MIZZEN_TRY(std::string text, session.admin_page(pod, "/config_dump"));
  std::string hosts;
  if (section == Section::kAll && arguments.output == "short") {
    MIZZEN_TRY(hosts, endpoints(session, pod, arguments));
  }
  return show_dump(text, hosts, section, arguments);
}

int show_file(Section section, const ProxyConfigArguments& arguments) {
  if (section == Section::kEndpoint) {
    return complain({.message = "endpoints are asked of a running proxy: leave --file out"},
                    kUsage);
  }
  std::ifstream in(arguments.file, std::ios::binary);
  if (!in) return complain({.message = "cannot read " + arguments.file});
  auto text =
      show_dump(std::string(std::istreambuf_iterator<char>(in), {}), "", section, arguments);
  if (!text) return complain(text.error(), kBadData);
  fmt::print("{}", *text);
  return 0;
}

int run_proxy_config(const Application& application, Section section,
                     ProxyConfigArguments arguments) {
  if (arguments.output != "short" && arguments.output != "json" && arguments.output != "yaml") {
    return complain({.message = fmt::format("-o {}: write short, json or yaml", arguments.output)},
                    kUsage);
  }
  if (arguments.port != 0) arguments.filter.port = arguments.port;
  if (!arguments.file.empty()) return show_file(section, arguments);
  if (arguments.proxy.empty()) {
    return complain({.message = "say which proxy: POD[.NAMESPACE], deploy/NAME, or --file"},
                    kUsage);
  }
  auto session = Session::open(application.flags);
  if (!session) return complain(session.error());
  auto pod = (*session)->find_pod(arguments.proxy);
  if (!pod) return complain(pod.error());
  auto text = show(**session, *pod, section, arguments);
  if (!text) return complain(text.error());
  fmt::print("{}", *text);
  return 0;
}

void add_section(CLI::App& parent, Application& application, const char* name,
                 std::vector<std::string> aliases, const char* says, Section section) {
  auto arguments = std::make_shared<ProxyConfigArguments>();
  CLI::App* command = parent.add_subcommand(name, says);
  for (const std::string& alias : aliases) command->alias(alias);
  command->add_option("proxy", arguments->proxy, "POD[.NAMESPACE], deploy/NAME, ...");
  command->add_option("-f,--file", arguments->file, "a saved config_dump instead of a proxy");
  command->add_option("-o,--output", arguments->output, "short, json or yaml");
  TableFilter& filter = arguments->filter;
  auto is = [section](Section only) { return section == only || section == Section::kAll; };
  if (section != Section::kSecret && section != Section::kBootstrap && section != Section::kRoute) {
    command->add_option("--port", arguments->port, "only this port");
  }
  if (is(Section::kListener)) command->add_option("--type", filter.type, "HTTP or TCP");
  if (is(Section::kListener) || is(Section::kEndpoint)) {
    command->add_option("--address", filter.address, "only this address");
  }
  if (is(Section::kRoute))
    command->add_option("--name", filter.name, "only this route configuration");
  if (is(Section::kCluster)) {
    command->add_option("--fqdn", filter.fqdn, "only this service");
    command->add_option("--subset", filter.subset, "only this subset");
    command->add_option("--direction", filter.direction, "inbound or outbound");
  }
  if (is(Section::kEndpoint)) {
    command->add_option("--cluster", filter.cluster, "only this cluster");
    command->add_option("--status", filter.status, "only endpoints of this health");
  }
  command->callback([&application, section, arguments] {
    application.code = run_proxy_config(application, section, *arguments);
  });
}

// What a proxy has of one type: SYNCED, STALE (sent and not yet taken), NOT SENT, or refused.
std::string sync_state(const Json& proxy, const char* key) {
  std::string sent = text_at(proxy, {(std::string(key) + "_sent").c_str()});
  std::string acked = text_at(proxy, {(std::string(key) + "_acked").c_str()});
  if (sent.empty()) return "NOT SENT";
  return sent == acked ? "SYNCED" : "STALE";
}

// "Clusters Match" and the like for one proxy, as istioctl has it.
std::string match_report(const Json& proxy) {
  std::string out;
  constexpr std::pair<const char*, const char*> kTypes[] = {{"Clusters", "cluster"},
                                                            {"Listeners", "listener"},
                                                            {"Endpoints", "endpoint"},
                                                            {"Routes", "route"}};
  for (auto [title, key] : kTypes) {
    std::string state = sync_state(proxy, key);
    out += fmt::format("{} {}\n", title, state == "SYNCED" ? "Match" : state);
  }
  return out;
}

Result<std::string> proxy_status(Session& session, const std::string& output,
                                 const std::string& only) {
  MIZZEN_TRY(PodName istiod, session.control_plane_pod());
  MIZZEN_TRY(std::string text, session.control_page(istiod, "/debug/syncz"));
  Json proxies = Json::parse(text, nullptr, false);
  if (!proxies.is_array())
    return fail(Code::kProtocol, "the control plane's /debug/syncz is not a list");
  if (!only.empty()) {
    MIZZEN_TRY(PodName pod, session.find_pod(only));
    std::string id = pod.name + "." + pod.name_space;
    std::erase_if(proxies.get_ref<Json::array_t&>(),
                  [&](const Json& proxy) { return text_at(proxy, {"proxy"}) != id; });
    if (proxies.empty())
      return fail(Code::kNotFound, id + " is not connected to the control plane");
    if (output == "short") return match_report(proxies[0]);
  }
  if (output != "short") return format_as(proxies, output);
  std::vector<std::vector<std::string>> rows;
  for (const Json& proxy : proxies) {
    rows.push_back({text_at(proxy, {"proxy"}), text_at(proxy, {"cluster_id"}),
                    sync_state(proxy, "cluster"), sync_state(proxy, "listener"),
                    sync_state(proxy, "endpoint"), sync_state(proxy, "route"), istiod.name,
                    text_at(proxy, {"istio_version"})});
  }
  std::ranges::sort(rows);
  Table table({"NAME", "CLUSTER", "CDS", "LDS", "EDS", "RDS", "ISTIOD", "VERSION"});
  for (auto& row : rows) table.add(std::move(row));
  return table.to_string();
}

}  // namespace

Result<std::string> format_as(const Json& json, std::string_view output) {
  if (output == "json") return json.dump(4) + "\n";
  if (output == "yaml") return object::to_yaml(json);
  return fail(Code::kInvalid, fmt::format("-o {}: write json or yaml", output));
}

void add_proxy_commands(CLI::App& app, Application& application) {
  CLI::App* config = app.add_subcommand("proxy-config", "what a proxy is configured to do");
  config->alias("pc");
  config->require_subcommand(1);
  add_section(*config, application, "all", {}, "everything", Section::kAll);
  add_section(*config, application, "bootstrap", {"b"}, "how the proxy started",
              Section::kBootstrap);
  add_section(*config, application, "cluster", {"clusters", "c"}, "services and their versions",
              Section::kCluster);
  add_section(*config, application, "endpoint", {"endpoints", "ep"}, "addresses of the clusters",
              Section::kEndpoint);
  add_section(*config, application, "listener", {"listeners", "l"}, "ports and what happens there",
              Section::kListener);
  add_section(*config, application, "route", {"routes", "r"}, "hosts and routes", Section::kRoute);
  add_section(*config, application, "secret", {"secrets", "s"}, "certificates", Section::kSecret);
  add_proxy_state_commands(*config, application);

  CLI::App* status = app.add_subcommand("proxy-status", "whether each proxy has what it should");
  status->alias("ps");
  auto output = std::make_shared<std::string>("short");
  status->add_option("-o,--output", *output, "short, json or yaml");
  auto only = std::make_shared<std::string>();
  status->add_option("proxy", *only, "one proxy only: POD[.NAMESPACE], deploy/NAME, ...");
  status->callback([&application, output, only] {
    auto session = Session::open(application.flags);
    if (!session) {
      application.code = complain(session.error());
      return;
    }
    auto text = proxy_status(**session, *output, *only);
    if (text) {
      fmt::print("{}", *text);
    } else {
      application.code = complain(text.error());
    }
  });
}

}  // namespace mizzen::cli
