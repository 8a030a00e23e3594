// `x explain`: asks the proxies on the way of a request what they would do with it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/dump.h"
#include "cli/explain.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "object/meta.h"

namespace mizzen::cli {
namespace {

const kube::Resource kPods{"", "v1", "pods"};
const kube::Resource kServices{"", "v1", "services"};

struct ExplainArguments {
  std::string source;
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;  // "name: value"
  std::string output = "short";
};

// A request as the first proxy on its way meets it.
struct Journey {
  Json pod;  // the caller's
  std::string host;
  std::uint16_t port = 0;
  bool tls = false;
  std::string path;
  std::string authority;
  Json headers = Json::object();
  std::string destination;  // IP:PORT
  bool from_gateway = false;
};

bool has_proxy(const Json& pod) {
  for (const char* list : {"containers", "initContainers"}) {
    for (const Json& container : at(pod, {"spec", list})) {
      if (text_at(container, {"name"}) == "istio-proxy") return true;
    }
  }
  return false;
}

// A gateway's proxy is started as a router.
bool is_gateway(const Json& pod) {
  for (const Json& container : at(pod, {"spec", "containers"})) {
    if (text_at(container, {"name"}) != "istio-proxy") continue;
    for (const Json& word : at(container, {"args"})) {
      if (word == "router") return true;
    }
  }
  return false;
}

Status read_headers(const ExplainArguments& arguments, Journey& journey) {
  for (const std::string& line : arguments.headers) {
    const std::size_t colon = line.find(':');
    if (colon == line.npos || colon == 0)
      return fail(Code::kInvalid, fmt::format("-H \"{}\": write \"name: value\"", line));
    const std::string name = lower(trim(line.substr(0, colon)));
    const std::string value(trim(std::string_view(line).substr(colon + 1)));
    if (name == "host") {
      journey.authority = value;
    } else {
      journey.headers[name] = value;
    }
  }
  return {};
}

Status read_url(const std::string& url, Journey& journey) {
  const std::string whole = url.find("://") == url.npos ? "http://" + url : url;
  const std::size_t start = whole.find("://") + 3;
  const std::size_t slash = std::min(whole.find('/', start), whole.size());
  MIZZEN_TRY(const net::BaseUrl base, net::parse_base_url(whole.substr(0, slash)));
  journey.host = base.host;
  journey.port = base.port;
  journey.tls = base.tls;
  journey.path = slash == whole.size() ? "/" : whole.substr(slash);
  journey.authority = base.authority();
  return {};
}

// The gateway's own port behind the port that the URL names.
Result<std::string> gateway_port(Session& session, const Journey& journey) {
  const std::string ip = text_at(journey.pod, {"status", "podIP"});
  MIZZEN_TRY(const auto services, session.list(kServices, object::namespace_of(journey.pod), ""));
  const object::StringMap labels = object::labels_of(journey.pod);
  for (const Json& service : services) {
    const object::StringMap selector = object::string_map(&at(service, {"spec", "selector"}));
    bool chosen = !selector.empty();
    for (const auto& [key, value] : selector) {
      const auto found = labels.find(key);
      chosen = chosen && found != labels.end() && found->second == value;
    }
    if (!chosen) continue;
    for (const Json& port : at(service, {"spec", "ports"})) {
      if (port.value("port", 0) != journey.port) continue;
      const Json& target = at(port, {"targetPort"});
      return fmt::format("{}:{}", ip, target.is_number() ? target.get<int>() : journey.port);
    }
  }
  return fmt::format("{}:{}", ip, journey.port);
}

// The address that the caller's resolver gives for the host.
Result<std::string> resolve(Session& session, const Journey& journey) {
  if (io::Address::parse_ip(journey.host, 1)) return journey.host;
  const PodName pod{object::namespace_of(journey.pod), object::name_of(journey.pod)};
  auto answer = session.exec(pod, has_proxy(journey.pod) ? "istio-proxy" : "",
                             {"getent", "ahostsv4", journey.host});
  const std::string text = answer ? *answer : std::string();
  const std::string ip = text.substr(0, text.find_first_of(" \t\n"));
  if (ip.empty())
    return fail(Code::kNotFound,
                fmt::format("{} does not resolve in {}/{}: the request fails before "
                            "it is sent",
                            journey.host, pod.name_space, pod.name));
  return ip;
}

Result<Json> ask(Session& session, const PodName& pod, std::string_view query) {
  MIZZEN_TRY(const std::string text, session.admin_page(pod, fmt::format("/explain?{}", query)));
  Json answer = Json::parse(text, nullptr, false);
  if (!answer.is_object()) return fail(Code::kInvalid, text);
  return answer;
}

std::string request_query(const Journey& journey, const ExplainArguments& arguments) {
  return fmt::format("method={}&authority={}&path={}&headers={}", net::url_encode(arguments.method),
                     net::url_encode(journey.authority), net::url_encode(journey.path),
                     net::url_encode(journey.headers.dump()));
}

std::string principal_of(const Json& pod) {
  return fmt::format("spiffe://cluster.local/ns/{}/sa/{}", object::namespace_of(pod),
                     text_at(pod, {"spec", "serviceAccountName"}));
}

// The endpoint that the answer would choose first, "" when there is none.
std::pair<std::string, bool> first_endpoint(const Json& answer) {
  const Json& clusters = at(answer, {"clusters"});
  if (!clusters.is_array()) return {};
  for (const Json& cluster : clusters) {
    const Json& endpoints = at(cluster, {"endpoints"});
    if (!endpoints.is_array()) continue;
    for (const Json& one : endpoints) {
      if (text_at(one, {"health"}) == "HEALTHY")
        return {text_at(one, {"address"}), one.value("tls", false)};
    }
  }
  return {};
}

// What the callee's sidecar says; null when the endpoint is no pod with one.
Result<Json> ask_callee(Session& session, const Journey& journey, const ExplainArguments& arguments,
                        const std::string& address, bool tls, PodName* callee) {
  const std::string ip = address.substr(0, address.rfind(':'));
  MIZZEN_TRY(const auto pods, session.list(kPods, "", ""));
  for (const Json& pod : pods) {
    if (text_at(pod, {"status", "podIP"}) != ip || text_at(pod, {"status", "phase"}) != "Running")
      continue;
    *callee = {object::namespace_of(pod), object::name_of(pod)};
    if (!has_proxy(pod)) return Json();
    std::string query =
        fmt::format("way=inbound&destination={}&source={}:40000&{}", net::url_encode(address),
                    text_at(journey.pod, {"status", "podIP"}), request_query(journey, arguments));
    if (tls) query += "&tls=true&principal=" + net::url_encode(principal_of(journey.pod));
    return ask(session, *callee, query);
  }
  return Json();
}

std::string title(const PodName& pod, std::string_view what) {
  return fmt::format("{} {}/{}\n", what, pod.name_space, pod.name);
}

Result<std::string> explain(Session& session, const ExplainArguments& arguments) {
  Journey journey;
  MIZZEN_CHECKED(read_url(arguments.url, journey));
  MIZZEN_CHECKED(read_headers(arguments, journey));
  MIZZEN_TRY(const PodName caller, session.find_pod(arguments.source));
  MIZZEN_TRY(journey.pod, session.get(kPods, caller.name_space, caller.name));
  journey.from_gateway = is_gateway(journey.pod);
  if (journey.from_gateway) {
    MIZZEN_TRY(journey.destination, gateway_port(session, journey));
  } else {
    MIZZEN_TRY(const std::string ip, resolve(session, journey));
    journey.destination = fmt::format("{}:{}", ip, journey.port);
  }
  Json whole = {{"request",
                 {{"method", arguments.method},
                  {"url", arguments.url},
                  {"destination", journey.destination}}}};
  std::string out =
      fmt::format("{} {} to {}\n\n", arguments.method, arguments.url, journey.destination);
  int step = 0;
  std::string address = journey.destination;
  bool tls = journey.tls;
  if (has_proxy(journey.pod)) {
    std::string query =
        fmt::format("way={}&destination={}&{}", journey.from_gateway ? "direct" : "outbound",
                    net::url_encode(journey.destination), request_query(journey, arguments));
    if (journey.tls) query += "&tls=true&sni=" + net::url_encode(journey.host);
    MIZZEN_TRY(const Json answer, ask(session, caller, query));
    out += title(caller, journey.from_gateway ? "In the gateway" : "In the caller's sidecar") +
           explain_text(answer, step);
    std::tie(address, tls) = first_endpoint(answer);
    whole["caller"] = answer;
  } else {
    out += title(caller, "No sidecar in") + "  => the connection goes out as it is\n";
  }
  if (!address.empty()) {
    PodName callee;
    MIZZEN_TRY(const Json answer, ask_callee(session, journey, arguments, address, tls, &callee));
    if (answer.is_object()) {
      out += "\n" + title(callee, "In the sidecar of an endpoint,") + explain_text(answer, step);
      whole["callee"] = answer;
    }
  }
  if (arguments.output != "short") return format_as(whole, arguments.output);
  return out;
}

}  // namespace

void add_explain_command(CLI::App& experimental, Application& application) {
  auto arguments = std::make_shared<ExplainArguments>();
  CLI::App* command = experimental.add_subcommand(
      "explain",
      "why a request goes where it goes: POD METHOD URL, asked of the proxies on its way");
  command
      ->add_option("source", arguments->source,
                   "who sends it: POD[.NAMESPACE], deploy/NAME; a gateway: what arrives there")
      ->required();
  command->add_option("method", arguments->method, "GET, POST, ...")->required();
  command->add_option("url", arguments->url, "http://reviews:9080/reviews/0")->required();
  command->add_option("-H,--header", arguments->headers, "\"name: value\"; more than once")
      ->expected(1)
      ->take_all();
  command->add_option("-o,--output", arguments->output, "short, json or yaml");
  command->callback([&application, arguments] {
    auto session = Session::open(application.flags);
    auto text = session ? explain(**session, *arguments) : std::unexpected(session.error());
    if (text) {
      fmt::print("{}", *text);
    } else {
      application.code = complain(text.error());
    }
  });
}

}  // namespace mizzen::cli
