// The proxy subresource of pods and services: one HTTP request to a port behind.
#include <fmt/core.h>

#include "base/strings.h"
#include "local/apiserver/pod_streams.h"
#include "local/apiserver/streams.h"
#include "local/apiserver/webhook_client.h"
#include "net/http_client.h"

namespace mizzen::local {

namespace {

constexpr std::size_t kMaxAnswer = 32 << 20;

// "[http:|https:]NAME[:PORT]" as the path has it.
struct Behind {
  bool tls = false;
  std::string name;
  std::string port;
};

Behind parse_name(std::string_view text) {
  Behind behind;
  const auto parts = split(text, ':');
  std::size_t at = 0;
  if (parts.size() > 1 && (parts[0] == "http" || parts[0] == "https"))
    behind.tls = parts[at++] == "https";
  behind.name = parts[at++];
  if (at < parts.size()) behind.port = parts[at];
  return behind;
}

Result<EndpointAddress> address_of(const Store& store, const Target& target, const Behind& behind) {
  if (target.type->resource() == "services") {
    Object service = store.get({"services", target.ns, behind.name});
    if (!service) return fail(Code::kNotFound, behind.name);
    for (const auto& port : at_path(*service, {"spec", "ports"})) {
      const auto number = object::int_at(port, {"port"});
      if (behind.port.empty() || behind.port == text_at(port, {"name"}) ||
          behind.port == std::to_string(number)) {
        return pick_endpoint(store, target.ns, behind.name, static_cast<std::uint16_t>(number));
      }
    }
    return fail(Code::kUnavailable, fmt::format("no service port \"{}\" found for service \"{}\"",
                                                behind.port, behind.name));
  }
  Object pod = store.get({"pods", target.ns, behind.name});
  if (!pod) return fail(Code::kNotFound, behind.name);
  const std::string ip = text_at(*pod, {"status", "podIP"});
  if (ip.empty())
    return fail(Code::kUnavailable, fmt::format("pod {} has no address yet", behind.name));
  if (auto port = parse_int<std::uint16_t>(behind.port)) return EndpointAddress{ip, *port};
  for (const auto& container : at_path(*pod, {"spec", "containers"})) {
    for (const auto& port : at_path(container, {"ports"})) {
      if (behind.port.empty() || text_at(port, {"name"}) == behind.port) {
        return EndpointAddress{ip,
                               static_cast<std::uint16_t>(object::int_at(port, {"containerPort"}))};
      }
    }
  }
  return EndpointAddress{ip, 80};
}

bool hop_by_hop(std::string_view name) {
  for (std::string_view each :
       {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer",
        "content-length", "host", "authorization", "proxy-connection"}) {
    if (each == name) return true;
  }
  return false;
}

// What stands behind /proxy in the target, with the query.
std::string rest_of(const net::Exchange& exchange) {
  const std::string_view target = exchange.target();
  const auto at = target.find("/proxy");
  std::string rest(target.substr(at + 6));
  if (!rest.starts_with('/')) rest.insert(rest.begin(), '/');
  return rest;
}

}  // namespace

void serve_proxy(io::Loop& loop, Store& store, PodAccess& pods, const Target& target,
                 std::shared_ptr<net::Exchange> exchange) {
  const Behind behind = parse_name(target.name);
  auto address = address_of(store, target, behind);
  if (!address) return respond(*exchange, from_error(*target.type, behind.name, address.error()));
  net::HttpClientOptions options;
  options.base.tls = behind.tls;
  options.base.host = address->ip;
  options.base.port = address->port;
  if (behind.tls) {
    io::TlsClientOptions tls;
    tls.insecure = true;  // as Kubernetes: the caller asked for this very pod
    auto context = io::make_tls_client_context(tls);
    if (!context)
      return respond(*exchange, status_response(500, "InternalError", context.error().message));
    options.tls = *context;
  }
  options.dial = [&loop, &pods, ip = address->ip, port = address->port](io::ConnectDone done) {
    return dial_pod(loop, &pods, ip, port, std::move(done));
  };
  auto client = std::make_shared<std::unique_ptr<net::HttpClient>>(
      std::make_unique<net::HttpClient>(loop, std::move(options)));
  exchange->read_body(kMaxAnswer, [&loop, exchange, client](Result<std::string> body) {
    if (!body)
      return respond(*exchange,
                     status_response(413, "RequestEntityTooLarge", body.error().message));
    net::Request request;
    request.method = exchange->method();
    request.target = rest_of(*exchange);
    for (const auto& each : exchange->request().headers) {
      if (!hop_by_hop(each.name)) request.headers.emplace_back(each.name, each.value);
    }
    request.body = std::move(*body);
    (*client)->fetch(
        std::move(request),
        [&loop, exchange, client](Result<net::Response> response) {
          loop.dispose(std::move(*client));
          if (!response) {
            return respond(*exchange, status_response(503, "ServiceUnavailable",
                                                      "error trying to reach service: " +
                                                          response.error().message));
          }
          net::HeaderList headers;
          for (const auto& [name, value] : response->headers) {
            if (!hop_by_hop(name)) headers.emplace_back(name, value);
          }
          exchange->respond(response->status, headers, response->body);
        },
        kMaxAnswer);
  });
}

}  // namespace mizzen::local
