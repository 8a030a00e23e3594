// Towards peers of the mesh, with mutual TLS: who is one of us, what is spoken then, who is
// refused.
#include <gtest/gtest.h>

#include "pki/certificate.h"
#include "pki/key.h"
#include "proxy/upstream/upstream_bench.h"

namespace mizzen::proxy {
namespace {

using std::chrono::hours;

const pki::Authority& root() {
  static const pki::Authority kRoot =
      *pki::make_root("cluster.local", system_clock().wall(), hours(24));
  return kRoot;
}

std::shared_ptr<Secret> identity(const std::string& account, std::uint64_t version) {
  auto key = *pki::PrivateKey::generate_p256();
  pki::IssueOptions options;
  options.names.uris = {"spiffe://cluster.local/ns/a/sa/" + account};
  options.not_before = system_clock().wall() - hours(1);
  options.not_after = system_clock().wall() + hours(1);
  auto secret = std::make_shared<Secret>();
  secret->certificate_chain =
      (*pki::issue(key.public_key(), options, root().key, &root().certificate)).to_pem();
  secret->private_key = key.to_pem();
  secret->version_hash = version;
  return secret;
}

net::HttpServerOptions tls_server(std::vector<std::string> alpn) {
  auto secret = identity("server", 1);
  io::TlsServerOptions options;
  options.identity = {secret->certificate_chain, secret->private_key};
  options.trust_bundle_pem = root().certificate.to_pem();
  options.client_cert = io::TlsServerOptions::ClientCert::kRequired;
  options.alpn = std::move(alpn);
  options.sessions = io::make_server_sessions();
  net::HttpServerOptions server;
  server.tls = *io::make_tls_server_context(options);
  return server;
}

class MeshTest : public UpstreamTest {
 protected:
  MeshTest() {
    mesh_ = true;
    auto tls = std::make_shared<UpstreamTls>();
    tls->sni = "outbound_.80_._.c.test";
    tls->common.alpn = {"istio-peer-exchange", "istio"};
    tls->common.certificate = identity("client", 1);
    auto trust = std::make_shared<Secret>();
    trust->trusted_ca = root().certificate.to_pem();
    tls->common.validation = trust;
    route::StringMatcher san;
    san.value = "spiffe://cluster.local/ns/a/sa/server";
    tls->common.san = {san};
    tls->common.version_hash = 7;
    tls_ = tls;
    cluster_->socket_matches = {{"tlsMode-istio", {{"tlsMode", "istio"}}, tls},
                                {"disabled", {}, nullptr}};
    upstream_->set_own_metadata("bWV0YQ==", "node~1");
  }
  std::shared_ptr<UpstreamTls> tls_;
};

TEST_F(MeshTest, TwoMizzensShareOneConnection) {
  Server a(loop_, "a", tls_server({"mizzen-h2", "istio-http/1.1"}));
  a.hold = true;
  hosts({a.address});
  std::vector<std::unique_ptr<Request>> all;
  for (int i = 0; i < 20; ++i) all.push_back(send());
  until([&] { return a.held.size() == 20; });
  EXPECT_EQ(a.server.connections(), 1u);
  EXPECT_EQ(a.held[0]->request().headers.get_or(kPeerMetadataHeader, ""), "bWV0YQ==");
  EXPECT_FALSE(a.held[1]->request().headers.has(kPeerMetadataHeader));
  EXPECT_EQ(a.held[1]->request().headers.get_or(kOriginalProtocolHeader, ""), "1.1");
  EXPECT_EQ(a.held[0]->tls()->alpn, "mizzen-h2");
  EXPECT_EQ(a.held[0]->tls()->sni, "outbound_.80_._.c.test");
  a.answer_all();
  until([&] { return std::ranges::all_of(all, [](auto& one) { return one->over; }); });
  EXPECT_TRUE(all[0]->info.mutual_tls);
  EXPECT_EQ(all[0]->info.peer->uri(), "spiffe://cluster.local/ns/a/sa/server");
  EXPECT_TRUE(all[0]->head.headers.empty());
}

TEST_F(MeshTest, AForeignProxyGetsHttp1) {
  Server a(loop_, "a", tls_server({"istio-http/1.1", "istio"}));
  a.hold = true;
  hosts({a.address});
  std::vector<std::unique_ptr<Request>> all;
  for (int i = 0; i < 5; ++i) all.push_back(send());
  until([&] { return a.held.size() == 5; });
  EXPECT_EQ(a.server.connections(), 5u);
  EXPECT_EQ(a.held[0]->tls()->alpn, "istio-http/1.1");
  EXPECT_FALSE(a.held[0]->request().headers.has(kOriginalProtocolHeader));
}

TEST_F(MeshTest, Http1LimitsKeepHttp1) {
  Server a(loop_, "a", tls_server({"mizzen-h2", "istio-http/1.1"}));
  cluster_->http1_limits = true;
  hosts({a.address});
  auto request = ask();
  EXPECT_EQ(request->info.protocol, http::Protocol::kHttp11);
}

TEST_F(MeshTest, AnotherIdentityIsRefused) {
  Server a(loop_, "a", tls_server({"mizzen-h2"}));
  tls_->common.san[0].value = "spiffe://cluster.local/ns/a/sa/other";
  tls_->common.version_hash = 8;
  hosts({a.address});
  auto request = ask();
  ASSERT_TRUE(request->failure);
  EXPECT_EQ(request->failure->fault, UpstreamFault::kConnectFailure);
  EXPECT_TRUE(request->failure->transport_reason.starts_with("TLS_error:|"));
  EXPECT_EQ(a.requests, 0);
}

TEST_F(MeshTest, WithoutTheLabelItIsPlaintext) {
  Server a(loop_, "a");
  mesh_ = false;
  hosts({a.address});
  EXPECT_EQ(ask()->body, "a");
}

}  // namespace
}  // namespace mizzen::proxy
