// HTTP over TLS: protocol by ALPN, identities, rotation, and orderly ends.
#include <gtest/gtest.h>

#include <array>

#include "net/grpc.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "pki/certificate.h"

namespace mizzen::net {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

const pki::Authority& root() {
  static const pki::Authority kRoot =
      *pki::make_root("cluster.local", system_clock().wall(), hours(24));
  return kRoot;
}

io::TlsIdentity identity(const std::string& account) {
  auto key = *pki::PrivateKey::generate_p256();
  pki::IssueOptions options;
  options.names.uris = {"spiffe://cluster.local/ns/a/sa/" + account};
  options.names.dns = {"server.test"};
  options.not_before = system_clock().wall() - hours(1);
  options.not_after = system_clock().wall() + hours(1);
  return {(*pki::issue(key.public_key(), options, root().key, &root().certificate)).to_pem(),
          key.to_pem()};
}

io::TlsContextRef server_context(const std::string& account) {
  io::TlsServerOptions options;
  options.identity = identity(account);
  options.trust_bundle_pem = root().certificate.to_pem();
  options.client_cert = io::TlsServerOptions::ClientCert::kOptional;
  options.alpn = {"h2", "http/1.1"};
  options.sessions = io::make_server_sessions();
  return *io::make_tls_server_context(options);
}

io::TlsContextRef client_context(bool with_identity) {
  io::TlsClientOptions options;
  if (with_identity) options.identity = identity("client");
  options.trust_bundle_pem = root().certificate.to_pem();
  return *io::make_tls_client_context(options);
}

void who(const std::shared_ptr<Exchange>& exchange) {
  const io::TlsInfo* tls = exchange->tls();
  std::string peer = tls != nullptr && tls->peer ? std::string(tls->peer->uri()) : "nobody";
  exchange->respond(200, {{"x-local", std::string(tls->local->uri())}},
                    std::string(http::to_string(exchange->request().protocol)) + " " + peer + " " +
                        std::string(exchange->request().scheme));
}

HttpClientOptions to(const io::Address& address, HttpVersion version, io::TlsContextRef tls) {
  HttpClientOptions options;
  options.base = *parse_base_url("https://" + address.to_string());
  options.version = version;
  options.tls = std::move(tls);
  options.tls_host = "server.test";
  return options;
}

Result<Response> fetch(io::Loop& loop, HttpClient& client) {
  std::optional<Result<Response>> got;
  client.fetch({}, [&](auto response) { got = std::move(response); });
  EXPECT_TRUE(loop.run_until([&] { return got.has_value(); }, seconds(10)));
  return got ? std::move(*got) : fail(Code::kTimeout, "no answer");
}

TEST(HttpsServer, SpeaksWhatAlpnAgreesOn) {
  io::EpollLoop loop;
  HttpServerOptions options;
  options.tls = server_context("server");
  HttpServer server(loop, options, who);
  auto address = *server.listen(io::Address::loopback(0));
  for (auto [version, expected] :
       {std::pair{HttpVersion::kAuto, "HTTP/2"}, std::pair{HttpVersion::kHttp1, "HTTP/1.1"},
        std::pair{HttpVersion::kHttp2, "HTTP/2"}}) {
    HttpClient client(loop, to(address, version, client_context(true)));
    for (int i = 0; i < 3; ++i) {
      auto response = fetch(loop, client);
      ASSERT_TRUE(response) << response.error().message;
      EXPECT_EQ(response->body,
                std::string(expected) + " spiffe://cluster.local/ns/a/sa/client https");
    }
  }
  HttpClient unnamed(loop, to(address, HttpVersion::kAuto, client_context(false)));
  EXPECT_EQ(fetch(loop, unnamed)->body, "HTTP/2 nobody https");
}

TEST(HttpsServer, RotationActsOnNewConnections) {
  io::EpollLoop loop;
  HttpServerOptions options;
  options.tls = server_context("old");
  HttpServer server(loop, options, who);
  auto address = *server.listen(io::Address::loopback(0));
  HttpClient client(loop, to(address, HttpVersion::kAuto, client_context(true)));
  EXPECT_EQ(fetch(loop, client)->header("x-local"), "spiffe://cluster.local/ns/a/sa/old");
  server.set_tls(server_context("new"));
  EXPECT_EQ(fetch(loop, client)->header("x-local"), "spiffe://cluster.local/ns/a/sa/old");
  client.close_idle();
  EXPECT_EQ(fetch(loop, client)->header("x-local"), "spiffe://cluster.local/ns/a/sa/new");
}

TEST(HttpsClient, SaysWhyItRefused) {
  io::EpollLoop loop;
  HttpServerOptions options;
  options.tls = server_context("server");
  HttpServer server(loop, options, who);
  auto address = *server.listen(io::Address::loopback(0));
  auto settings = to(address, HttpVersion::kAuto, client_context(true));
  settings.tls_host = "other.test";
  HttpClient client(loop, settings);
  auto response = fetch(loop, client);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, Code::kDenied);
  EXPECT_NE(response.error().message.find("ostname mismatch"), std::string::npos)
      << response.error().message;
}

TEST(HttpsGrpc, CallsOverMutualTls) {
  io::EpollLoop loop;
  GrpcServer grpc;
  grpc.unary("/t.T/Who", [](std::string, std::shared_ptr<GrpcStream> call, auto done) {
    done({}, std::string(call->exchange().tls()->peer->uri()));
  });
  HttpServerOptions options;
  options.tls = server_context("server");
  HttpServer server(loop, options, [&](auto exchange) { EXPECT_TRUE(grpc.handle(exchange)); });
  auto address = *server.listen(io::Address::loopback(0));
  HttpClient http(loop, to(address, HttpVersion::kHttp2, client_context(true)));
  GrpcClient client(http);
  std::string answer;
  client.unary("/t.T/Who", {}, "", seconds(5), [&](http::GrpcStatus status, std::string response) {
    EXPECT_TRUE(status.ok()) << status.message;
    answer = response;
  });
  ASSERT_TRUE(loop.run_until([&] { return !answer.empty(); }, seconds(10)));
  EXPECT_EQ(answer, "spiffe://cluster.local/ns/a/sa/client");
}

}  // namespace
}  // namespace mizzen::net
