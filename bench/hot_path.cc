// Drives requests through mizzen-proxy's workers in one process and one thread, client and backend
// included, so that instructions can be counted: the same work gives the same count.
// usage: bench-hot-path hop|sidecars|mesh REQUESTS
//   hop: one plain HTTP/1.1 proxy. sidecars: two with mutual TLS between them.
//   mesh: the same with what Istio's sidecars do besides: access logs, certificates told on.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "api/access_log.h"
#include "base/strings.h"
#include "io/listener.h"
#include "io/loop.h"
#include "pki/certificate.h"
#include "proxy/bootstrap/bootstrap.h"
#include "proxy/feed/store.h"
#include "proxy/worker.h"

namespace mizzen {
namespace {

constexpr std::string_view kRequest =
    "GET /productpage?u=normal HTTP/1.1\r\nhost: reviews.default.svc:9080\r\n"
    "user-agent: bench/1\r\naccept: */*\r\nx-request-id: 5f2b0c66-91c5-4a59-8f8c-3d1b6cd1e9a1\r\n"
    "\r\n";
constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 6\r\n"
    "server: backend\r\n\r\nhello\n";
constexpr int kConnections = 8;

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "bench-hot-path: {}\n", why);
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result) give_up(result.error().message);
  return std::move(*result);
}
void must(const Status& status) {
  if (!status) give_up(status.error().message);
}

class Peer : public io::StreamHandler {
 public:
  explicit Peer(std::unique_ptr<io::Stream> stream) : stream_(std::move(stream)) {
    stream_->set_handler(this);
  }
  void on_readable() override {
    std::array<std::byte, 4096> buffer;
    const io::IoResult got = stream_->read(buffer);
    if (got.status == io::IoStatus::kOk) {
      took({reinterpret_cast<const char*>(buffer.data()), got.bytes});
    }
  }
  void on_writable() override {}
  void on_error(const Error& error) override { give_up(error.message); }
  virtual void took(std::string_view bytes) = 0;

 protected:
  ~Peer() = default;
  std::unique_ptr<io::Stream> stream_;
};

class Backend final : public Peer {
 public:
  using Peer::Peer;
  void took(std::string_view bytes) override {
    if (bytes.ends_with("\r\n\r\n")) stream_->write(kResponse);
  }
};

class Client final : public Peer {
 public:
  Client(std::unique_ptr<io::Stream> stream, int& left) : Peer(std::move(stream)), left_(left) {
    stream_->write(kRequest);
  }
  void took(std::string_view bytes) override {
    if (!bytes.starts_with("HTTP/1.1 200 ")) give_up(std::string(bytes));
    if (--left_ > 0) stream_->write(kRequest);
  }

 private:
  int& left_;
};

// Certificates as a mesh's, for the TLS context of either side.
nlohmann::json tls_common() {
  const WallTime now = system_clock().wall();
  auto root = must(pki::make_root("bench", now, std::chrono::hours(24)));
  auto key = must(pki::PrivateKey::generate_p256());
  pki::IssueOptions options;
  options.names.uris = {"spiffe://cluster.local/ns/bench/sa/bench"};
  options.not_before = now - std::chrono::minutes(1);
  options.not_after = now + std::chrono::hours(12);
  auto leaf = must(pki::issue(key.public_key(), options, root.key, &root.certificate));
  return {{"tls_certificates",
           {{{"certificate_chain", {{"inline_string", leaf.to_pem()}}},
             {"private_key", {{"inline_string", key.to_pem()}}}}}},
          {"validation_context", {{"trusted_ca", {{"inline_string", root.certificate.to_pem()}}}}},
          {"alpn_protocols", {"istio-http/1.1"}}};
}

nlohmann::json transport(std::string_view which, nlohmann::json common) {
  nlohmann::json config = {
      {"@type",
       fmt::format("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{}", which)},
      {"common_tls_context", std::move(common)}};
  if (which == "UpstreamTlsContext") {
    config["sni"] = "bench";
  } else {
    config["require_client_certificate"] = true;
  }
  return {{"name", "envoy.transport_sockets.tls"}, {"typed_config", std::move(config)}};
}

nlohmann::json address(std::uint16_t port) {
  return {{"socket_address", {{"address", "127.0.0.1"}, {"port_value", port}}}};
}

// Istio's line, to a file that keeps nothing.
nlohmann::json access_log() {
  return {{"name", "envoy.access_loggers.file"},
          {"typed_config",
           {{"@type", "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"},
            {"path", "/dev/null"},
            {"log_format", {{"text_format_source", {{"inline_string", api::kIstioAccessLog}}}}}}}};
}

void add_mesh_duties(nlohmann::json& manager) {
  manager["access_log"] = {access_log()};
  manager["forward_client_cert_details"] = "APPEND_FORWARD";
  manager["set_current_client_cert_details"] = {{"subject", true}, {"dns", true}, {"uri", true}};
}

nlohmann::json bootstrap(std::uint16_t to) {
  constexpr std::string_view kFilters = "type.googleapis.com/envoy.extensions.filters.";
  nlohmann::json manager = {
      {"@type",
       fmt::format("{}network.http_connection_manager.v3.HttpConnectionManager", kFilters)},
      {"stat_prefix", "in"},
      {"route_config",
       {{"name", "all"},
        {"virtual_hosts",
         {{{"name", "all"},
           {"domains", {"*"}},
           {"routes", {{{"match", {{"prefix", "/"}}}, {"route", {{"cluster", "up"}}}}}}}}}}},
      {"http_filters",
       {{{"name", "envoy.filters.http.router"},
         {"typed_config", {{"@type", fmt::format("{}http.router.v3.Router", kFilters)}}}}}}};
  nlohmann::json listener = {{"name", "in"},
                             {"address", address(0)},
                             {"filter_chains",
                              {{{"filters",
                                 {{{"name", "envoy.filters.network.http_connection_manager"},
                                   {"typed_config", std::move(manager)}}}}}}}};
  nlohmann::json cluster = {
      {"name", "up"},
      {"type", "STATIC"},
      {"connect_timeout", "60s"},
      {"load_assignment",
       {{"cluster_name", "up"},
        {"endpoints", {{{"lb_endpoints", {{{"endpoint", {{"address", address(to)}}}}}}}}}}}};
  return {{"static_resources", {{"listeners", {listener}}, {"clusters", {cluster}}}}};
}

// A worker with its configuration, listening.
struct Proxy {
  Proxy(io::Loop& loop, const nlohmann::json& config) : store(system_clock()) {
    shared.limits = proxy::make_shared_limits();
    worker = std::make_unique<proxy::Worker>(
        loop, shared, proxy::make_upstream(loop, shared.limits, shared.contexts));
    auto parsed = must(proxy::parse_bootstrap(config.dump()));
    for (const auto& bytes : parsed.clusters) must(store.add_static_cluster(bytes));
    for (const auto& bytes : parsed.listeners) must(store.add_static_listener(bytes));
    auto socket = must(io::listen_socket(io::Address::loopback(0)));
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size);
    port = io::Address::from_sockaddr(reinterpret_cast<sockaddr*>(&bound), size).port();
    std::vector<proxy::ListenSocket> sockets;
    sockets.push_back({"in", "in", std::move(socket)});
    worker->set_config(proxy::make_live_config(store.publish()), std::move(sockets), {"in"});
  }
  proxy::WorkerShared shared;
  proxy::ConfigStore store;
  std::unique_ptr<proxy::Worker> worker;
  std::uint16_t port = 0;
};

nlohmann::json& only_chain(nlohmann::json& config) {
  return config["static_resources"]["listeners"][0]["filter_chains"][0];
}

int run(std::string_view what, int requests) {
  io::EpollLoop loop;
  std::vector<std::unique_ptr<Backend>> backends;
  auto listener = must(io::Listener::listen(
      loop, io::Address::loopback(0), {}, [&](std::unique_ptr<io::Stream> stream) {
        backends.push_back(std::make_unique<Backend>(std::move(stream)));
      }));
  std::uint16_t port = listener->address().port();
  std::vector<std::unique_ptr<Proxy>> proxies;
  if (what != "hop") {
    const nlohmann::json common = tls_common();
    auto server = bootstrap(port);
    only_chain(server)["transport_socket"] = transport("DownstreamTlsContext", common);
    if (what == "mesh") add_mesh_duties(only_chain(server)["filters"][0]["typed_config"]);
    proxies.push_back(std::make_unique<Proxy>(loop, server));
    auto client = bootstrap(proxies.back()->port);
    client["static_resources"]["clusters"][0]["transport_socket"] =
        transport("UpstreamTlsContext", common);
    if (what == "mesh") add_mesh_duties(only_chain(client)["filters"][0]["typed_config"]);
    proxies.push_back(std::make_unique<Proxy>(loop, client));
  } else {
    proxies.push_back(std::make_unique<Proxy>(loop, bootstrap(port)));
  }
  int left = requests;
  std::vector<std::unique_ptr<Client>> clients;
  std::vector<std::unique_ptr<io::Connecting>> connecting;
  for (int i = 0; i < kConnections; ++i) {
    connecting.push_back(io::connect(loop, io::Address::loopback(proxies.back()->port), {},
                                     [&](Result<std::unique_ptr<io::Stream>> stream) {
                                       clients.push_back(
                                           std::make_unique<Client>(must(std::move(stream)), left));
                                     }));
  }
  if (!loop.run_until([&] { return left <= 0; }, std::chrono::minutes(5))) {
    give_up(fmt::format("{} requests were not answered", left));
  }
  return 0;
}

}  // namespace
}  // namespace mizzen

int main(int argc, char** argv) {
  const std::string_view what = argc == 3 ? argv[1] : "";
  const int requests = argc == 3 ? mizzen::parse_int<int>(argv[2]).value_or(0) : 0;
  if ((what != "hop" && what != "sidecars" && what != "mesh") || requests < 1) {
    std::fputs("usage: bench-hot-path hop|sidecars|mesh REQUESTS\n", stderr);
    return 64;
  }
  return mizzen::run(what, requests);
}
