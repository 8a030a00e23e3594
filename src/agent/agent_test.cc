#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <filesystem>
#include <fstream>

#include "agent/ads_relay.h"
#include "agent/identity.h"
#include "agent/sds_server.h"
#include "agent/status_server.h"
#include "api/names.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "istio/ca.pb.h"
#include "net/grpc.h"
#include "net/http_server.h"
#include "pki/certificate.h"

namespace mizzen::agent {
namespace {

constexpr Duration kLimit = std::chrono::seconds(10);
constexpr const char* kUri = "spiffe://cluster.local/ns/default/sa/reviews";

struct Directory {
  std::filesystem::path path;
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "agent-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return path / name;
  }
};

// A certificate authority that signs what it is asked for, for `ttl`.
struct Authority {
  pki::Authority root;
  net::GrpcServer grpc;
  std::unique_ptr<net::HttpServer> http;
  std::uint16_t port = 0;
  Duration ttl = std::chrono::hours(1);
  std::string token;
  int asked = 0;
  bool refuse = false;

  explicit Authority(io::Loop& loop)
      : root(*pki::make_root("test", loop.wall(), std::chrono::hours(24))) {
    grpc.unary(std::string(api::kCreateCertificateMethod),
               [this, &loop](std::string bytes, std::shared_ptr<net::GrpcStream> call,
                             net::GrpcServer::UnaryDone done) {
                 ++asked;
                 token = call->exchange().header("authorization");
                 if (refuse) return done({http::GrpcCode::kUnauthenticated, "who?"}, "");
                 istio::v1::auth::IstioCertificateRequest request;
                 EXPECT_TRUE(request.ParseFromString(bytes));
                 auto csr = pki::parse_request(request.csr());
                 ASSERT_TRUE(csr);
                 pki::IssueOptions options;
                 options.names = csr->names;
                 options.not_before = loop.wall() - std::chrono::minutes(1);
                 options.not_after = loop.wall() + ttl;
                 auto leaf = pki::issue(csr->key, options, root.key, &root.certificate);
                 ASSERT_TRUE(leaf);
                 istio::v1::auth::IstioCertificateResponse response;
                 response.add_cert_chain(leaf->to_pem());
                 response.add_cert_chain(root.certificate.to_pem());
                 done({}, response.SerializeAsString());
               });
    http = std::make_unique<net::HttpServer>(loop, net::HttpServerOptions{},
                                             [this](std::shared_ptr<net::Exchange> exchange) {
                                               if (!grpc.handle(exchange))
                                                 exchange->respond(404, {}, "");
                                             });
    port = http->listen(io::Address::loopback(0))->port();
  }
};

IdentitySettings settings_for(const Authority& authority, const Directory& directory) {
  IdentitySettings settings;
  settings.uri = kUri;
  settings.ca_host = "127.0.0.1";
  settings.ca_port = authority.port;
  settings.tls = false;
  settings.root_file = directory.write("root.pem", authority.root.certificate.to_pem());
  settings.token_file = directory.write("token", "a-token\n");
  return settings;
}

TEST(Identity, IsAskedForWithTheToken) {
  io::EpollLoop loop;
  Authority authority(loop);
  Directory directory;
  std::vector<Identity> got;
  IdentitySource source(loop, settings_for(authority, directory),
                        [&](const Identity& identity) { got.push_back(identity); });
  source.start();
  ASSERT_TRUE(loop.run_until([&] { return got.size() == 1; }, kLimit)) << source.last_error();
  EXPECT_EQ(authority.token, "Bearer a-token");
  auto leaf = pki::Certificate::from_pem(got[0].chain_pem);
  ASSERT_TRUE(leaf);
  EXPECT_EQ(leaf->names().uris, std::vector<std::string>{kUri});
  EXPECT_TRUE(leaf->signed_by(authority.root.certificate));
  // The root of the chain and that of the file are the same one.
  EXPECT_EQ(pki::parse_bundle(got[0].roots_pem)->size(), 1U);
  EXPECT_TRUE(got[0].key_pem.starts_with("-----BEGIN"));
}

TEST(Identity, IsRenewedAtHalfItsLife) {
  io::EpollLoop loop;
  Authority authority(loop);
  authority.ttl = std::chrono::seconds(1);
  Directory directory;
  std::vector<Identity> got;
  IdentitySource source(loop, settings_for(authority, directory),
                        [&](const Identity& identity) { got.push_back(identity); });
  source.start();
  ASSERT_TRUE(loop.run_until([&] { return got.size() >= 2; }, kLimit));
  EXPECT_NE(got[0].key_pem, got[1].key_pem);
}

TEST(Identity, ARefusalIsTriedAgain) {
  io::EpollLoop loop;
  Authority authority(loop);
  authority.refuse = true;
  Directory directory;
  bool got = false;
  IdentitySource source(loop, settings_for(authority, directory),
                        [&](const Identity&) { got = true; });
  source.start();
  ASSERT_TRUE(loop.run_until([&] { return authority.asked >= 2; }, kLimit));
  EXPECT_EQ(source.last_error(), "UNAUTHENTICATED: who?");
  authority.refuse = false;
  ASSERT_TRUE(loop.run_until([&] { return got; }, kLimit));
}

TEST(Sds, GivesSecretsAndTheirRenewals) {
  io::EpollLoop loop;
  net::GrpcServer grpc;
  SdsServer secrets(grpc);
  net::HttpServer server(loop, {}, [&](std::shared_ptr<net::Exchange> exchange) {
    if (!grpc.handle(exchange)) exchange->respond(404, {}, "");
  });
  net::HttpClientOptions options;
  options.base.host = "127.0.0.1";
  options.base.port = server.listen(io::Address::loopback(0))->port();
  options.version = net::HttpVersion::kHttp2;
  net::HttpClient http(loop, std::move(options));
  net::GrpcClient client(http);
  std::vector<envoy::service::discovery::v3::DiscoveryResponse> got;
  net::GrpcCallbacks callbacks;
  callbacks.on_message = [&](std::string_view bytes) {
    EXPECT_TRUE(got.emplace_back().ParseFromString(std::string(bytes)));
  };
  auto call = client.stream(api::kSotwSdsMethod, {}, std::move(callbacks));
  envoy::service::discovery::v3::DiscoveryRequest request;
  request.set_type_url(std::string(api::kSecretType));
  request.add_resource_names("default");
  call->send(request.SerializeAsString());
  loop.run_once(std::chrono::milliseconds(10));
  secrets.set_identity({"chain 1", "key 1", "roots", {}, {}});
  ASSERT_TRUE(loop.run_until([&] { return got.size() == 1; }, kLimit));
  request.set_response_nonce(got[0].nonce());
  request.set_version_info(got[0].version_info());
  call->send(request.SerializeAsString());
  secrets.set_identity({"chain 2", "key 2", "roots", {}, {}});
  ASSERT_TRUE(loop.run_until([&] { return got.size() == 2; }, kLimit));
  envoy::extensions::transport_sockets::tls::v3::Secret secret;
  ASSERT_EQ(got[1].resources_size(), 1);
  ASSERT_TRUE(got[1].resources(0).UnpackTo(&secret));
  EXPECT_EQ(secret.tls_certificate().certificate_chain().inline_bytes(), "chain 2");
}

TEST(AdsRelay, CarriesMessagesBothWaysWithItsHeaders) {
  io::EpollLoop loop;
  std::string authorization;
  std::vector<std::string> upstream_got;
  std::shared_ptr<net::GrpcStream> upstream;
  net::GrpcServer control;
  control.streaming(std::string(api::kDeltaAdsMethod),
                    [&](std::shared_ptr<net::GrpcStream> stream) {
                      authorization = stream->exchange().header("authorization");
                      upstream = stream;
                      stream->on_message([&](std::string_view message) {
                        upstream_got.emplace_back(message);
                        upstream->send("answer to " + std::string(message));
                      });
                    });
  net::HttpServer control_http(loop, {}, [&](std::shared_ptr<net::Exchange> exchange) {
    if (!control.handle(exchange)) exchange->respond(404, {}, "");
  });
  auto control_port = control_http.listen(io::Address::loopback(0))->port();

  net::GrpcServer local;
  AdsRelay relay(local, loop, [&]() -> Result<AdsRelay::Upstream> {
    net::HttpClientOptions options;
    options.base.host = "127.0.0.1";
    options.base.port = control_port;
    options.version = net::HttpVersion::kHttp2;
    return AdsRelay::Upstream{std::make_unique<net::HttpClient>(loop, std::move(options)),
                              {{"authorization", "Bearer t"}}};
  });
  net::HttpServer local_http(loop, {}, [&](std::shared_ptr<net::Exchange> exchange) {
    if (!local.handle(exchange)) exchange->respond(404, {}, "");
  });
  Directory directory;
  std::string socket = directory.path / "XDS";
  ASSERT_TRUE(local_http.listen(io::Address::unix_path(socket)));

  net::HttpClientOptions options;
  options.base.host = "localhost";
  options.base.unix_path = socket;
  options.version = net::HttpVersion::kHttp2;
  net::HttpClient http(loop, std::move(options));
  net::GrpcClient client(http);
  std::vector<std::string> got;
  net::GrpcCallbacks callbacks;
  callbacks.on_message = [&](std::string_view bytes) { got.emplace_back(bytes); };
  auto call = client.stream(api::kDeltaAdsMethod, {}, std::move(callbacks));
  call->send("one");
  ASSERT_TRUE(loop.run_until([&] { return got.size() == 1; }, kLimit));
  call->send("two");
  ASSERT_TRUE(loop.run_until([&] { return got.size() == 2; }, kLimit));
  EXPECT_EQ(got[1], "answer to two");
  EXPECT_EQ(authorization, "Bearer t");
}

TEST(Probes, AreParsed) {
  auto probes = parse_probes(R"({
    "/app-health/a/readyz": {"httpGet": {"path": "/status/200", "port": 8080, "scheme": "HTTP",
                             "httpHeaders": [{"name": "Host", "value": "h"},
                                             {"name": "X-A", "value": "1"}]},
                             "timeoutSeconds": 3},
    "/app-health/b/livez": {"tcpSocket": {"port": "90"}},
    "/app-health/c/startupz": {"grpc": {"port": 91, "service": "s"}}})");
  ASSERT_TRUE(probes) << probes.error().message;
  const Probe& http = probes->at("/app-health/a/readyz");
  EXPECT_EQ(http.path, "/status/200");
  EXPECT_EQ(http.host, "h");
  EXPECT_EQ(http.headers.at(0).first, "x-a");
  EXPECT_EQ(http.timeout, std::chrono::seconds(3));
  EXPECT_EQ(probes->at("/app-health/b/livez").port, 90);
  EXPECT_EQ(probes->at("/app-health/c/startupz").kind, Probe::Kind::kGrpc);
  EXPECT_TRUE(parse_probes("")->empty());
  for (const char* bad : {"[]", "{", R"({"/a": {}})", R"({"/a": {"httpGet": {"port": 0}}})",
                          R"({"/a": {"httpGet": {"port": "web"}}})", R"({"/a": 1})"}) {
    EXPECT_FALSE(parse_probes(bad)) << bad;
  }
}

TEST(AppMetrics, AreParsed) {
  EXPECT_FALSE(*parse_app_metrics(""));
  EXPECT_FALSE(*parse_app_metrics(R"({"scrape":"false","port":"1"})"));
  auto made = parse_app_metrics(R"({"scrape":"true","path":"/m","port":"9080"})");
  ASSERT_TRUE(made && *made);
  EXPECT_EQ((*made)->port, 9080);
  EXPECT_EQ((*made)->path, "/m");
  EXPECT_FALSE(parse_app_metrics(R"({"scrape":"true","port":"x"})"));
}

// Port 0 would not be told: one that was free just now.
std::uint16_t free_port() {
  auto free = io::listen_socket(io::Address::loopback(0));
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  getsockname(free->get(), reinterpret_cast<sockaddr*>(&storage), &length);
  return io::Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length).port();
}

struct Page {
  int status = 0;
  std::string body;
};

Page get(io::Loop& loop, std::uint16_t port, const std::string& target,
         const std::string& method = "GET", const std::string& host = "127.0.0.1") {
  net::HttpClientOptions options;
  options.base.host = host;
  options.base.port = port;
  net::HttpClient client(loop, std::move(options));
  std::optional<Page> page;
  net::Request request;
  request.method = method;
  request.target = target;
  client.fetch(std::move(request), [&](Result<net::Response> response) {
    page = response ? Page{response->status, response->body} : Page{-1, response.error().message};
  });
  loop.run_until([&] { return page.has_value(); }, kLimit);
  return page.value_or(Page{});
}

// An address of this machine that is not loopback, if it has one.
std::optional<io::Address> own_address() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return std::nullopt;
  std::optional<io::Address> found;
  for (const ifaddrs* one = all; one != nullptr && !found; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    const auto address = io::Address::from_sockaddr(one->ifa_addr, sizeof(sockaddr_in));
    if (!address.is_loopback()) found = address;
  }
  freeifaddrs(all);
  return found;
}

TEST(StatusServer, OnlyThePodItselfMayEndIt) {
  const auto own = own_address();
  if (!own) GTEST_SKIP() << "this machine has no address but loopback";
  io::EpollLoop loop;
  bool quit = false;
  StatusOptions options;
  options.quit = [&] { quit = true; };
  StatusServer server(loop, std::move(options));
  const std::uint16_t port = free_port();
  ASSERT_TRUE(server.listen({io::Address::any(port)}));
  std::string host = own->to_string();
  host.resize(host.rfind(':'));
  EXPECT_EQ(get(loop, port, "/quitquitquit", "POST", host).status, 403);
  EXPECT_FALSE(quit);
  EXPECT_EQ(get(loop, port, "/quitquitquit", "POST").status, 200);
}

TEST(StatusServer, Pages) {
  io::EpollLoop loop;
  net::HttpServer application(loop, {}, [](std::shared_ptr<net::Exchange> exchange) {
    if (exchange->path() == "/metrics")
      exchange->respond(200, {}, "app_metric 1");
    else
      exchange->respond(exchange->path() == "/ok" ? 200 : 418, {}, "");
  });
  auto app_port = application.listen(io::Address::loopback(0))->port();
  bool quit = false;
  std::optional<std::string> not_ready = "waiting for the first configuration";
  StatusOptions options;
  options.not_ready = [&] { return not_ready; };
  options.metrics = [](std::function<void(std::string)> done) { done("own_metric 2\n"); };
  options.quit = [&] { quit = true; };
  options.app_metrics = AppMetrics{app_port, "/metrics"};
  Probe probe;
  probe.port = app_port;
  probe.path = "/ok";
  options.probes["/app-health/a/readyz"] = probe;
  probe.path = "/bad";
  options.probes["/app-health/a/livez"] = probe;
  probe.kind = Probe::Kind::kTcp;
  options.probes["/app-health/a/startupz"] = probe;
  StatusServer server(loop, std::move(options));
  const std::uint16_t port = free_port();
  ASSERT_TRUE(server.listen({io::Address::loopback(port)}));

  EXPECT_EQ(get(loop, port, "/healthz/ready").status, 503);
  not_ready.reset();
  EXPECT_EQ(get(loop, port, "/healthz/ready").status, 200);
  EXPECT_EQ(get(loop, port, "/stats/prometheus").body, "own_metric 2\napp_metric 1\n");
  EXPECT_EQ(get(loop, port, "/app-health/a/readyz").status, 200);
  EXPECT_EQ(get(loop, port, "/app-health/a/livez").status, 418);
  EXPECT_EQ(get(loop, port, "/app-health/a/startupz").status, 200);
  EXPECT_EQ(get(loop, port, "/app-health/b/readyz").status, 404);
  EXPECT_EQ(get(loop, port, "/quitquitquit").status, 405);
  EXPECT_EQ(get(loop, port, "/quitquitquit", "POST").status, 200);
  EXPECT_TRUE(loop.run_until([&] { return quit; }, kLimit));
  server.set_draining();
  EXPECT_EQ(get(loop, port, "/healthz/ready").status, 503);
}

}  // namespace
}  // namespace mizzen::agent
