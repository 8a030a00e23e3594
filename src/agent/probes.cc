#include "agent/probes.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "net/grpc.h"
#include "net/http_client.h"

namespace mizzen::agent {
namespace {

using nlohmann::json;

constexpr std::string_view kHealthCheck = "/grpc.health.v1.Health/Check";
constexpr std::size_t kMaxBody = 64 * 1024;

std::string text_of(const json& object, const char* key, std::string otherwise = {}) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

Result<std::uint16_t> port_of(const json& action) {
  auto found = action.find("port");
  if (found != action.end() && found->is_number_integer()) {
    auto port = found->get<std::int64_t>();
    if (port > 0 && port < 65536) return static_cast<std::uint16_t>(port);
  }
  if (found != action.end() && found->is_string()) {
    if (auto port = parse_int<std::uint16_t>(found->get_ref<const std::string&>())) return *port;
  }
  return fail(Code::kInvalid, "port: must be a number of 1 to 65535");
}

Result<Probe> parse_probe(const json& spec) {
  Probe probe;
  if (!spec.is_object()) return fail(Code::kInvalid, "must be an object");
  const json* action = nullptr;
  if (auto http = spec.find("httpGet"); http != spec.end()) {
    action = &*http;
    probe.path = text_of(*action, "path", "/");
    if (!probe.path.starts_with('/')) probe.path.insert(0, 1, '/');
    probe.https = lower(text_of(*action, "scheme")) == "https";
    probe.host = text_of(*action, "host");
    auto headers = action->find("httpHeaders");
    if (headers != action->end() && headers->is_array()) {
      for (const auto& header : *headers) {
        if (!header.is_object()) continue;
        std::string name = lower(text_of(header, "name"));
        if (name == "host")
          probe.host = text_of(header, "value");
        else
          probe.headers.emplace_back(std::move(name), text_of(header, "value"));
      }
    }
  } else if (auto tcp = spec.find("tcpSocket"); tcp != spec.end()) {
    action = &*tcp;
    probe.kind = Probe::Kind::kTcp;
  } else if (auto grpc = spec.find("grpc"); grpc != spec.end()) {
    action = &*grpc;
    probe.kind = Probe::Kind::kGrpc;
    probe.service = text_of(*action, "service");
  }
  if (!action || !action->is_object()) {
    return fail(Code::kInvalid, "neither httpGet, tcpSocket nor grpc is there");
  }
  MIZZEN_TRY(probe.port, port_of(*action));
  auto timeout = spec.find("timeoutSeconds");
  if (timeout != spec.end() && timeout->is_number() && timeout->get<double>() > 0) {
    probe.timeout = std::chrono::milliseconds(
        static_cast<std::int64_t>(std::min(timeout->get<double>(), 3600.0) * 1000));
  }
  return probe;
}

// What a probe in flight holds; it lets go of itself when it is over.
struct Flight : std::enable_shared_from_this<Flight> {
  std::unique_ptr<net::HttpClient> http;
  std::unique_ptr<net::GrpcClient> grpc;
  std::unique_ptr<io::Connecting> connecting;
  std::function<void(int, std::string)> done;

  void finish(io::Loop& loop, int status, std::string reason) {
    auto call = std::move(done);
    loop.dispose(std::move(grpc));
    loop.dispose(std::move(http));
    loop.dispose(std::move(connecting));
    call(status, std::move(reason));
  }
};

net::HttpClientOptions client_options(const Probe& probe) {
  net::HttpClientOptions options;
  options.base.host = "127.0.0.1";
  options.base.port = probe.port;
  options.connect.timeout = probe.timeout;
  return options;
}

void run_http(io::Loop& loop, const Probe& probe, const std::shared_ptr<Flight>& flight) {
  auto options = client_options(probe);
  options.version = net::HttpVersion::kHttp1;
  if (probe.https) {
    io::TlsClientOptions tls;
    tls.insecure = true;
    tls.verify_host = false;
    auto context = io::make_tls_client_context(tls);
    if (!context) {
      loop.defer([&loop, flight] { flight->finish(loop, 500, "no TLS"); });
      return;
    }
    options.base.tls = true;
    options.tls = *context;
  }
  flight->http = std::make_unique<net::HttpClient>(loop, std::move(options));
  net::Request request;
  request.target = probe.path;
  request.headers.assign(probe.headers.begin(), probe.headers.end());
  if (!probe.host.empty()) request.headers.emplace_back("host", probe.host);
  request.headers.emplace_back("connection", "close");
  request.timeout = probe.timeout;
  flight->http->fetch(
      std::move(request),
      [&loop, flight](Result<net::Response> response) {
        if (response)
          flight->finish(loop, response->status, "");
        else
          flight->finish(loop, 500, response.error().message);
      },
      kMaxBody);
}

void run_tcp(io::Loop& loop, const Probe& probe, const std::shared_ptr<Flight>& flight) {
  io::ConnectOptions options;
  options.timeout = probe.timeout;
  flight->connecting = io::connect(loop, io::Address::loopback(probe.port), options,
                                   [&loop, flight](Result<std::unique_ptr<io::Stream>> stream) {
                                     if (stream)
                                       flight->finish(loop, 200, "");
                                     else
                                       flight->finish(loop, 500, stream.error().message);
                                   });
}

void run_grpc(io::Loop& loop, const Probe& probe, const std::shared_ptr<Flight>& flight) {
  auto options = client_options(probe);
  options.version = net::HttpVersion::kHttp2;
  flight->http = std::make_unique<net::HttpClient>(loop, std::move(options));
  flight->grpc = std::make_unique<net::GrpcClient>(*flight->http);
  // grpc.health.v1.HealthCheckRequest{service = 1}; the name's length fits one byte in practice.
  std::string request;
  if (!probe.service.empty() && probe.service.size() < 128) {
    request = "\x0a" + std::string(1, static_cast<char>(probe.service.size())) + probe.service;
  }
  flight->grpc->unary(kHealthCheck, {}, request, probe.timeout,
                      [&loop, flight](const http::GrpcStatus& status, const std::string& response) {
                        // HealthCheckResponse{status = 1}: SERVING is 1.
                        static constexpr std::string_view kServing("\x08\x01", 2);
                        if (!status.ok())
                          flight->finish(loop, 500, status.message);
                        else if (response != kServing)
                          flight->finish(loop, 500, "not serving");
                        else
                          flight->finish(loop, 200, "");
                      });
}

}  // namespace

Result<std::map<std::string, Probe>> parse_probes(std::string_view text) {
  std::map<std::string, Probe> probes;
  if (trim(text).empty()) return probes;
  json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return fail(Code::kInvalid, "ISTIO_KUBE_APP_PROBERS: not a JSON object");
  for (const auto& [path, spec] : object.items()) {
    auto probe = parse_probe(spec);
    if (!probe) return std::unexpected(probe.error().in("ISTIO_KUBE_APP_PROBERS['" + path + "']"));
    probes.emplace(path, std::move(*probe));
  }
  return probes;
}

void run_probe(io::Loop& loop, const Probe& probe,
               std::function<void(int status, std::string reason)> done) {
  auto flight = std::make_shared<Flight>();
  flight->done = std::move(done);
  switch (probe.kind) {
    case Probe::Kind::kHttp:
      return run_http(loop, probe, flight);
    case Probe::Kind::kTcp:
      return run_tcp(loop, probe, flight);
    case Probe::Kind::kGrpc:
      return run_grpc(loop, probe, flight);
  }
}

}  // namespace mizzen::agent
