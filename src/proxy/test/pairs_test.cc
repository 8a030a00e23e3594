// Every protocol of a client with every protocol of a server: the same exchanges over all of them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "pki/certificate.h"
#include "pki/key.h"
#include "proxy/data_plane.h"
#include "proxy/test/patience.h"
#include "proxy/test/wire_peers.h"

namespace mizzen::proxy {
namespace {

const pki::Authority& root() {
  static const pki::Authority made =
      *pki::make_root("cluster.local", system_clock().wall(), std::chrono::hours(24));
  return made;
}

std::shared_ptr<const Secret> identity(const std::string& account) {
  auto key = *pki::PrivateKey::generate_p256();
  pki::IssueOptions options;
  options.names.uris = {"spiffe://cluster.local/ns/default/sa/" + account};
  options.names.dns = {"localhost"};
  options.not_before = system_clock().wall() - std::chrono::hours(1);
  options.not_after = system_clock().wall() + std::chrono::hours(1);
  auto leaf = *pki::issue(key.public_key(), options, root().key, &root().certificate);
  auto secret = std::make_shared<Secret>();
  secret->certificate_chain = leaf.to_pem();
  secret->private_key = key.to_pem();
  secret->trusted_ca = root().certificate.to_pem();
  secret->version_hash = fnv1a(secret->certificate_chain);
  return secret;
}

TlsCommon tls_of(const std::shared_ptr<const Secret>& secret, std::vector<std::string> alpn) {
  TlsCommon common;
  common.version_hash = secret->version_hash;
  common.certificate = secret;
  common.validation = secret;
  common.alpn = std::move(alpn);
  return common;
}

enum class Down { kHttp1, kHttp2, kHttp1Tls, kHttp2Tls };
enum class Up { kHttp1, kHttp2, kHttp2Tls, kMizzenHttp1, kMizzenHttp2 };
constexpr Down kDowns[] = {Down::kHttp1, Down::kHttp2, Down::kHttp1Tls, Down::kHttp2Tls};
constexpr Up kUps[] = {Up::kHttp1, Up::kHttp2, Up::kHttp2Tls, Up::kMizzenHttp1, Up::kMizzenHttp2};

std::string name_of(Down down) {
  const char* names[] = {"http1", "http2", "http1-tls", "http2-tls"};
  return names[static_cast<int>(down)];
}
std::string name_of(Up up) {
  const char* names[] = {"http1", "http2", "http2-tls", "mizzen-http1", "mizzen-http2"};
  return names[static_cast<int>(up)];
}

// `ends`: CONNECT is not passed on but ends here.
FilterChain http_chain(bool ends = false) {
  auto routes = std::make_shared<route::Table>();
  route::VirtualHost host;
  host.name = "any";
  host.domains = {"*"};
  for (const bool connect : {true, false}) {
    route::Route route;
    if (connect) route.match.path.kind = route::PathMatcher::Kind::kConnect;
    if (!connect) route.match.path.value = "/";
    route.forward.cluster = "server";
    route.forward.timeout = Duration{0};
    route.forward.terminate_connect = connect && ends;
    host.routes.push_back(route);
  }
  routes->hosts.push_back(std::move(host));
  EXPECT_TRUE(routes->index());
  auto settings = std::make_shared<HttpSettings>();
  settings->table = routes;
  settings->accept_http_10 = true;
  settings->upgrades = {"websocket", "connect"};
  settings->filters.push_back({"router", false, RouterFilter{}});
  FilterChain chain;
  chain.terminal = std::shared_ptr<const HttpSettings>(settings);
  return chain;
}

ClusterEntry cluster_to(const io::Address& address, UpstreamHttp speaks) {
  auto cluster = std::make_shared<Cluster>();
  cluster->name = "server";
  cluster->http = speaks;
  auto endpoints = std::make_shared<Endpoints>();
  Endpoint endpoint;
  endpoint.address = {address.ip(), address.port(), false};
  endpoints->localities.emplace_back().endpoints.push_back(endpoint);
  return {cluster, endpoints};
}

class Pairs : public ::testing::Test {
 protected:
  // A proxy with a listener in the clear and one with TLS, towards `server`.
  void start(std::optional<DataPlane>& plane, const ClusterEntry& server, bool mesh) {
    plane.emplace(loop_, DataPlaneOptions{1, {}, std::chrono::seconds(1)});
    auto snapshot = std::make_shared<Snapshot>();
    for (const bool tls : {false, true}) {
      auto listener = std::make_shared<Listener>();
      listener->name = tls ? "tls" : "plain";
      listener->addresses = {{"127.0.0.1", 0, false}};
      FilterChain chain = http_chain();
      if (tls) {
        auto down = std::make_shared<DownstreamTls>();
        down->common = tls_of(server_identity_, {"h2", "http/1.1"});
        down->require_client_certificate = mesh;
        chain.tls = down;
      }
      listener->chains.push_back(chain);
      snapshot->listeners.push_back(listener);
    }
    snapshot->clusters["server"] = server;
    ASSERT_TRUE(plane->set_snapshot(snapshot));
    ASSERT_TRUE(loop_.run_until([&] { return plane->listening(); }, kPatience));
  }

  ClusterEntry with_tls(ClusterEntry entry, std::vector<std::string> alpn) {
    auto cluster = std::make_shared<Cluster>(*entry.cluster);
    auto tls = std::make_shared<UpstreamTls>();
    tls->common = tls_of(client_identity_, std::move(alpn));
    tls->sni = "localhost";
    cluster->tls = tls;
    entry.cluster = cluster;
    return entry;
  }

  void start_up(Up up) {
    const bool http2 = up != Up::kHttp1 && up != Up::kMizzenHttp1;
    io::TlsContextRef tls;
    if (up == Up::kHttp2Tls) {
      io::TlsServerOptions options;
      options.identity = {server_identity_->certificate_chain, server_identity_->private_key};
      options.alpn = {"h2"};
      tls = *io::make_tls_server_context(options);
    }
    server_.emplace(loop_, http2, tls);
    ClusterEntry entry =
        cluster_to(server_->address(), http2 ? UpstreamHttp::kHttp2 : UpstreamHttp::kHttp1);
    if (up == Up::kHttp2Tls) entry = with_tls(entry, {"h2"});
    if (up == Up::kMizzenHttp1 || up == Up::kMizzenHttp2) {
      start(far_, entry, true);
      entry = with_tls(cluster_to(far_->address_of("tls"), UpstreamHttp::kHttp1), {"istio"});
    }
    start(near_, entry, false);
  }

  std::unique_ptr<WireClient> client(Down down) {
    const bool tls = down == Down::kHttp1Tls || down == Down::kHttp2Tls;
    const bool http2 = down == Down::kHttp2 || down == Down::kHttp2Tls;
    io::TlsContextRef context;
    if (tls) {
      io::TlsClientOptions options;
      options.insecure = true;
      options.alpn = {http2 ? "h2" : "http/1.1"};
      context = *io::make_tls_client_context(options);
    }
    return std::make_unique<WireClient>(loop_, near_->address_of(tls ? "tls" : "plain"), http2,
                                        context);
  }

  static http::RequestHead head(std::string_view method, std::string_view path) {
    http::RequestHead made;
    made.set_method(method);
    made.set_scheme("http");
    made.set_authority("a.test");
    made.set_path(path);
    return made;
  }
  bool until(const std::function<bool()>& done) { return loop_.run_until(done, kPatience); }

  void get(Down down) {
    auto one = client(down);
    auto asked = one->ask(head("GET", "/g"), true);
    EXPECT_TRUE(until([&] { return asked->ended; })) << asked->broken;
    EXPECT_EQ(asked->status, 200) << asked->body;
    EXPECT_EQ(asked->body, "GET /g ");
    EXPECT_EQ(asked->trailers.get_or("x-sum", ""), "none");
  }

  void post(Down down, bool grpc) {
    auto one = client(down);
    http::RequestHead request = head("POST", "/p");
    if (grpc) {
      request.headers.add("content-type", "application/grpc");
      request.headers.add("te", "trailers");
    }
    auto asked = one->ask(request, false);
    const std::string body(100'000, 'x');
    one->codec->send_data(asked->id, body, false);
    http::Headers trailers;
    trailers.add("x-sum", "7");
    one->codec->send_trailers(asked->id, trailers);
    EXPECT_TRUE(until([&] { return asked->ended; })) << asked->broken;
    EXPECT_EQ(asked->status, 200);
    EXPECT_EQ(asked->body.size(), body.size() + 8);
    EXPECT_EQ(asked->trailers.get_or("x-sum", ""), "7");
    if (grpc) {
      EXPECT_EQ(asked->trailers.get_or("grpc-status", ""), "0");
    }
  }

  void tunnel(Down down, bool websocket) {
    auto one = client(down);
    http::RequestHead request = head(websocket ? "GET" : "CONNECT", websocket ? "/w" : "");
    if (websocket) {
      request.set_upgrade("websocket");
      request.headers.add("sec-websocket-version", "13");
    } else {
      request.set_authority("a.test:80");
    }
    // HTTP/2 learns first that the server takes extended CONNECT.
    until([&] { return one->read_bytes > 0 || down == Down::kHttp1 || down == Down::kHttp1Tls; });
    auto asked = one->ask(request, false);
    one->codec->send_data(asked->id, "ping", false);
    EXPECT_TRUE(until([&] { return asked->body == "ping" || !asked->broken.empty(); }));
    EXPECT_EQ(asked->broken, "");
    EXPECT_EQ(asked->status, websocket ? 101 : 200);
    one->codec->send_data(asked->id, "pong", true);
    EXPECT_TRUE(until([&] { return asked->ended; }));
    EXPECT_EQ(asked->body, "pingpong");
  }

  io::EpollLoop loop_;
  std::shared_ptr<const Secret> server_identity_ = identity("server");
  std::shared_ptr<const Secret> client_identity_ = identity("client");
  std::optional<EchoServer> server_;
  std::optional<DataPlane> far_, near_;
};

TEST_F(Pairs, EveryExchangeOverEveryPair) {
  for (const Up up : kUps) {
    near_.reset();
    far_.reset();
    start_up(up);
    for (const Down down : kDowns) {
      SCOPED_TRACE(name_of(down) + " to " + name_of(up));
      get(down);
      post(down, false);
      post(down, true);
      tunnel(down, true);
      tunnel(down, false);
      if (HasFailure()) return;
    }
  }
}

TEST_F(Pairs, AReaderThatWaitsHoldsTheServerBack) {
  for (const Up up : {Up::kHttp2, Up::kHttp2Tls, Up::kMizzenHttp2}) {
    SCOPED_TRACE(name_of(up));
    near_.reset();
    far_.reset();
    start_up(up);
    auto one = client(Down::kHttp2);
    auto asked = one->ask(head("GET", "/large"), true);
    asked->codec = nullptr;  // consumes nothing
    const std::size_t window = http::Limits{}.stream_window;
    ASSERT_TRUE(until([&] { return asked->body.size() >= window; }));
    EXPECT_EQ(asked->body.size(), window);
    EXPECT_LT(server_->written(), 2u << 20);
    asked->codec = one->codec.get();
    one->codec->consumed(asked->id, asked->body.size());
    ASSERT_TRUE(until([&] { return asked->ended; }));
    EXPECT_EQ(asked->body.size(), EchoServer::kLarge);
  }
}

// What the server gets is the request inside of the tunnel.
TEST_F(Pairs, ConnectThatEndsHere) {
  for (const bool inside : {false, true}) {
    for (const bool http2 : {false, true}) {
      SCOPED_TRACE(std::string(inside ? "to a listener" : "to a host") + (http2 ? ", http2" : ""));
      near_.reset();
      server_.emplace(loop_, false);
      near_.emplace(loop_, DataPlaneOptions{1, {}, std::chrono::seconds(1)});
      auto snapshot = std::make_shared<Snapshot>();
      auto listener = std::make_shared<Listener>();
      listener->name = "plain";
      listener->addresses = {{"127.0.0.1", 0, false}};
      listener->chains.push_back(http_chain(true));
      snapshot->listeners.push_back(listener);
      snapshot->clusters["server"] = cluster_to(server_->address(), UpstreamHttp::kHttp1);
      if (inside) {
        auto within = std::make_shared<Listener>();
        within->name = "inside";
        within->bind = false;
        auto tcp = std::make_shared<TcpSettings>();
        tcp->cluster = "host";
        FilterChain chain;
        chain.match.destination_port = 8080;
        chain.terminal = std::shared_ptr<const TcpSettings>(tcp);
        within->chains.push_back(chain);
        snapshot->listeners.push_back(within);
        auto host = std::make_shared<Cluster>(*snapshot->clusters["server"].cluster);
        host->name = "host";
        snapshot->clusters["host"] = {host, snapshot->clusters["server"].endpoints};
        auto endpoints = std::make_shared<Endpoints>();
        Endpoint endpoint;
        endpoint.address = {"inside", 0, false, false, true};
        endpoints->localities.emplace_back().endpoints.push_back(endpoint);
        snapshot->clusters["server"].endpoints = endpoints;
      }
      ASSERT_TRUE(near_->set_snapshot(snapshot));
      ASSERT_TRUE(until([&] { return near_->listening(); }));
      auto one = client(http2 ? Down::kHttp2 : Down::kHttp1);
      http::RequestHead request = head("CONNECT", "");
      request.set_authority("10.1.2.3:8080");
      auto asked = one->ask(request, false);
      one->codec->send_data(asked->id,
                            "GET /inner HTTP/1.1\r\nhost: i\r\nconnection: close\r\n\r\n", false);
      ASSERT_TRUE(until([&] { return asked->ended || !asked->broken.empty(); }));
      EXPECT_EQ(asked->status, 200);
      EXPECT_NE(asked->body.find("GET /inner "), std::string::npos) << asked->body;
    }
  }
}

// The client's proxy opens the tunnel, the server's ends it: mutual TLS and CONNECT between them.
TEST_F(Pairs, HboneBothWays) {
  server_.emplace(loop_, false);
  far_.emplace(loop_, DataPlaneOptions{1, {}, std::chrono::seconds(1)});
  auto inbound = std::make_shared<Snapshot>();
  auto outer = std::make_shared<Listener>();
  outer->name = "hbone";
  outer->addresses = {{"127.0.0.1", 0, false}};
  FilterChain ends = http_chain(true);
  auto down = std::make_shared<DownstreamTls>();
  down->common = tls_of(server_identity_, {"h2"});
  down->require_client_certificate = true;
  ends.tls = down;
  outer->chains.push_back(ends);
  auto inner = std::make_shared<Listener>();
  inner->name = "inside";
  inner->bind = false;
  FilterChain within = http_chain();
  auto settings = std::make_shared<HttpSettings>(
      *std::get<std::shared_ptr<const HttpSettings>>(within.terminal));
  auto table = std::make_shared<route::Table>(*settings->table);
  for (route::Route& route : table->hosts[0].routes) route.forward.cluster = "app";
  settings->table = table;
  settings->forward_client_cert = HttpSettings::ClientCert::kSanitizeSet;
  settings->xfcc_uri = true;
  within.terminal = std::shared_ptr<const HttpSettings>(settings);
  inner->chains.push_back(within);
  inbound->listeners = {outer, inner};
  auto app = std::make_shared<Cluster>();
  app->name = "app";
  inbound->clusters["app"] = cluster_to(server_->address(), UpstreamHttp::kHttp1);
  inbound->clusters["app"].cluster = app;
  auto endpoints = std::make_shared<Endpoints>();
  endpoints->localities.emplace_back().endpoints.emplace_back().address = {"inside", 0, false,
                                                                           false, true};
  inbound->clusters["server"] = {cluster_to(server_->address(), UpstreamHttp::kHttp1).cluster,
                                 endpoints};
  ASSERT_TRUE(far_->set_snapshot(inbound));
  ASSERT_TRUE(until([&] { return far_->listening(); }));

  near_.emplace(loop_, DataPlaneOptions{1, {}, std::chrono::seconds(1)});
  auto outbound = std::make_shared<Snapshot>();
  auto listener = std::make_shared<Listener>();
  listener->name = "plain";
  listener->addresses = {{"127.0.0.1", 0, false}};
  listener->chains.push_back(http_chain());
  outbound->listeners.push_back(listener);
  auto tunnelled = std::make_shared<Endpoints>();
  Endpoint endpoint;
  endpoint.address = {"127.0.0.1", server_->address().port(), false};
  endpoint.tunnel_port = far_->address_of("hbone").port();
  tunnelled->localities.emplace_back().endpoints.push_back(endpoint);
  ClusterEntry entry = cluster_to(server_->address(), UpstreamHttp::kHttp1);
  outbound->clusters["server"] = {entry.cluster, tunnelled};
  ClusterEntry tunnels = with_tls(entry, {"h2"});
  auto named = std::make_shared<Cluster>(*tunnels.cluster);
  named->name = kHboneCluster;
  outbound->clusters[std::string(kHboneCluster)] = {named, nullptr};
  ASSERT_TRUE(near_->set_snapshot(outbound));
  ASSERT_TRUE(until([&] { return near_->listening(); }));
  for (const Down way : {Down::kHttp1, Down::kHttp2}) {
    get(way);
    post(way, false);
    tunnel(way, true);
  }
}

// A server that writes down what comes first.
TEST_F(Pairs, TheServerIsToldOfTheClientByAProxyHeader) {
  std::unique_ptr<io::Stream> accepted;
  auto raw = *io::Listener::listen(loop_, io::Address::loopback(0), {},
                                   [&](auto stream) { accepted = std::move(stream); });
  near_.emplace(loop_, DataPlaneOptions{1, {}, std::chrono::seconds(1)});
  auto snapshot = std::make_shared<Snapshot>();
  auto listener = std::make_shared<Listener>();
  listener->name = "plain";
  listener->addresses = {{"127.0.0.1", 0, false}};
  listener->chains.push_back(http_chain());
  snapshot->listeners.push_back(listener);
  ClusterEntry entry = cluster_to(raw->address(), UpstreamHttp::kHttp1);
  auto cluster = std::make_shared<Cluster>(*entry.cluster);
  cluster->proxy_header = ProxyHeaderVersion::kV1;
  snapshot->clusters["server"] = {cluster, entry.endpoints};
  ASSERT_TRUE(near_->set_snapshot(snapshot));
  ASSERT_TRUE(until([&] { return near_->listening(); }));
  auto one = client(Down::kHttp1);
  auto asked = one->ask(head("GET", "/g"), true);
  ASSERT_TRUE(until([&] { return accepted != nullptr; }));
  std::string got;
  ASSERT_TRUE(until([&] {
    std::array<std::byte, 4096> buffer;
    got.append(reinterpret_cast<const char*>(buffer.data()), accepted->read(buffer).bytes);
    return got.find("\r\n\r\n") != std::string::npos;
  }));
  const std::string wanted =
      fmt::format("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nGET /g HTTP/1.1\r\n",
                  one->stream->local().port(), near_->address_of("plain").port());
  EXPECT_TRUE(got.starts_with(wanted)) << got;
}

TEST_F(Pairs, Http10GetsItsAnswerFromEveryUpstream) {
  for (const Up up : kUps) {
    SCOPED_TRACE(name_of(up));
    near_.reset();
    far_.reset();
    start_up(up);
    std::unique_ptr<io::Stream> stream;
    auto dial = io::connect(loop_, near_->address_of("plain"), {},
                            [&](auto made) { stream = std::move(*made); });
    ASSERT_TRUE(until([&] { return stream != nullptr; }));
    stream->write("GET /old HTTP/1.0\r\nHost: a.test\r\n\r\n");
    std::string got;
    ASSERT_TRUE(until([&] {
      std::array<std::byte, 4096> buffer;
      const io::IoResult read = stream->read(buffer);
      got.append(reinterpret_cast<const char*>(buffer.data()), read.bytes);
      return read.status == io::IoStatus::kEof;
    }));
    EXPECT_TRUE(got.starts_with("HTTP/1.1 200 OK\r\n")) << got;
    EXPECT_TRUE(got.ends_with("\r\n\r\nGET /old ")) << got;
    EXPECT_EQ(got.find("transfer-encoding"), std::string::npos) << got;
  }
}

}  // namespace
}  // namespace mizzen::proxy
