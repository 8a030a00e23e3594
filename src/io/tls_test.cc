#include "io/tls.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "io/listener.h"
#include "io/resolver.h"
#include "io/sim_loop.h"
#include "io/tls_context.h"
#include "pki/certificate.h"

namespace mizzen::io {
namespace {

using namespace std::chrono_literals;

// Certificates are valid around the simulated clock's start and around today.
const pki::Authority& root() {
  static const pki::Authority kRoot = *pki::make_root(
      "cluster.local", WallTime(std::chrono::sys_days{std::chrono::year{2025} / 1 / 1}),
      std::chrono::hours(24 * 3650));
  return kRoot;
}

TlsIdentity identity(std::string uri, std::vector<std::string> dns = {},
                     const pki::Authority& ca = root()) {
  auto key = *pki::PrivateKey::generate_p256();
  pki::IssueOptions options;
  if (!uri.empty()) options.names.uris = {uri};
  options.names.dns = std::move(dns);
  options.not_before = WallTime(std::chrono::sys_days{std::chrono::year{2025} / 6 / 1});
  options.not_after = options.not_before + std::chrono::hours(24 * 3000);
  auto leaf = *pki::issue(key.public_key(), options, ca.key, &ca.certificate);
  return {leaf.to_pem(), key.to_pem()};
}

TlsServerOptions server_options() {
  TlsServerOptions options;
  options.identity = identity("spiffe://cluster.local/ns/a/sa/server", {"server.test"});
  options.trust_bundle_pem = root().certificate.to_pem();
  options.client_cert = TlsServerOptions::ClientCert::kRequired;
  options.alpn = {"mizzen-h2", "istio"};
  options.sessions = make_server_sessions();
  return options;
}

TlsClientOptions client_options() {
  TlsClientOptions options;
  options.identity = identity("spiffe://cluster.local/ns/a/sa/client");
  options.trust_bundle_pem = root().certificate.to_pem();
  options.alpn = {"istio", "mizzen-h2"};
  options.verify_host = false;
  return options;
}

class End : public StreamHandler {
 public:
  explicit End(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {
    stream_->set_handler(this);
  }
  void send(std::string_view bytes) {
    out_ += bytes;
    on_writable();
  }
  void on_open() override { open_ = true; }
  void on_readable() override {
    std::array<std::byte, 5000> buffer;
    while (true) {
      IoResult got = stream_->read(buffer);
      if (got.status == IoStatus::kOk) {
        in_.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
        continue;
      }
      if (got.status == IoStatus::kEof) eof_ = true;
      if (got.status == IoStatus::kError) error_ = stream_->error();
      return;
    }
  }
  void on_writable() override {
    while (!out_.empty()) {
      std::array<iovec, 3> pieces;
      std::size_t third = out_.size() / 3;
      pieces[0] = {out_.data(), third};
      pieces[1] = {out_.data() + third, third};
      pieces[2] = {out_.data() + 2 * third, out_.size() - 2 * third};
      IoResult put = stream_->write(pieces);
      if (put.status == IoStatus::kError) error_ = stream_->error();
      if (put.status != IoStatus::kOk) return;
      out_.erase(0, put.bytes);
    }
  }
  void on_error(const Error& error) override { error_ = error; }

  std::unique_ptr<Stream> stream_;
  std::string in_, out_;
  std::optional<Error> error_;
  bool open_ = false, eof_ = false;
};

struct Pair {
  Pair(Loop& loop, TlsContextRef server_ctx, TlsContextRef client_ctx, TlsClientTarget target = {},
       MemoryFaults faults = {}) {
    MemoryOptions options;
    options.faults = faults;
    auto [a, b] = memory_pair(loop, options);
    server = std::make_unique<End>(tls_server(loop, std::move(a), std::move(server_ctx)));
    client = std::make_unique<End>(
        tls_client(loop, std::move(b), std::move(client_ctx), std::move(target)));
  }
  std::unique_ptr<End> server, client;
};

TlsContextRef must(Result<TlsContextRef> made) {
  EXPECT_TRUE(made) << made.error().message;
  return made ? *made : nullptr;
}

TEST(Tls, MutualWithSpiffeAndAlpnByServersPreference) {
  SimLoop loop;
  auto server = must(make_tls_server_context(server_options()));
  auto client = must(make_tls_client_context(client_options()));
  Pair pair(loop, server, client, {.sni = "Outbound_.80_._.x"});
  loop.settle();
  ASSERT_TRUE(pair.server->open_) << (pair.server->error_ ? pair.server->error_->message : "");
  ASSERT_TRUE(pair.client->open_);
  const TlsInfo* info = pair.server->stream_->tls();
  EXPECT_EQ(info->alpn, "mizzen-h2");
  EXPECT_EQ(info->sni, "outbound_.80_._.x");
  EXPECT_EQ(info->version, "TLSv1.3");
  ASSERT_TRUE(info->peer);
  EXPECT_EQ(info->peer->uri(), "spiffe://cluster.local/ns/a/sa/client");
  EXPECT_EQ(info->peer->sha256.size(), 64U);
  EXPECT_TRUE(info->peer->pem().starts_with("-----BEGIN CERTIFICATE-----\n"));
  EXPECT_TRUE(info->peer->url_encoded_pem().starts_with("-----BEGIN%20CERTIFICATE-----%0A"));
  EXPECT_EQ(pair.client->stream_->tls()->peer->uri(), "spiffe://cluster.local/ns/a/sa/server");
  EXPECT_EQ(pair.client->stream_->tls()->local->uri(), "spiffe://cluster.local/ns/a/sa/client");
}

TEST(Tls, CarriesBytesBothWaysUnderFaultsAndHalfCloses) {
  auto server = must(make_tls_server_context(server_options()));
  auto client = must(make_tls_client_context(client_options()));
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    SCOPED_TRACE(seed);
    SimLoop loop;
    Pair pair(loop, server, client, {.sni = "x" + std::to_string(seed)},
              {.seed = seed, .max_read = 700, .max_write = 900, .block_percent = 20});
    std::string text(100'000, static_cast<char>('a' + seed));
    pair.client->send(text);
    pair.server->send(text);
    ASSERT_TRUE(
        loop.run_until([&] { return pair.client->in_ == text && pair.server->in_ == text; }, 1h));
    pair.client->stream_->shutdown_write();
    ASSERT_TRUE(loop.run_until([&] { return pair.server->eof_; }, 1min));
    pair.server->send("late");
    ASSERT_TRUE(loop.run_until([&] { return pair.client->in_.ends_with("late"); }, 1min));
    EXPECT_FALSE(pair.client->error_);
    EXPECT_FALSE(pair.server->error_);
  }
}

TEST(Tls, ResumesByTicketAndJudgesAgain) {
  SimLoop loop;
  auto options = server_options();
  auto refuse = std::make_shared<bool>(false);
  options.check = [refuse](const PeerCertificate&) -> Status {
    if (*refuse) return fail(Code::kDenied, "not any more");
    return {};
  };
  auto server = must(make_tls_server_context(options));
  auto client = must(make_tls_client_context(client_options()));
  for (int i = 0; i < 3; ++i) {
    Pair pair(loop, server, client, {.sni = "same"});
    pair.server->send("hello");
    loop.settle();
    ASSERT_TRUE(pair.client->open_ && pair.server->open_);
    EXPECT_EQ(pair.server->stream_->tls()->resumed, i > 0) << i;
    EXPECT_EQ(pair.server->stream_->tls()->peer->uri(), "spiffe://cluster.local/ns/a/sa/client");
    EXPECT_EQ(pair.client->in_, "hello");
  }
  auto swapped = must(make_tls_server_context(options));  // rotation: a new context, the same keys
  Pair resumed(loop, swapped, client, {.sni = "same"});
  loop.settle();
  EXPECT_TRUE(resumed.server->stream_->tls()->resumed);
  *refuse = true;
  Pair refused(loop, server, client, {.sni = "same"});
  loop.settle();
  ASSERT_TRUE(refused.server->error_);
  EXPECT_EQ(refused.server->error_->message, "not any more");
}

TEST(Tls, RefusesStrangersAndTheUnnamed) {
  SimLoop loop;
  auto stranger =
      *pki::make_root("other", WallTime(std::chrono::sys_days{std::chrono::year{2025} / 1 / 1}),
                      std::chrono::hours(24 * 3650));
  auto server = must(make_tls_server_context(server_options()));
  auto options = client_options();
  options.identity = identity("spiffe://cluster.local/ns/a/sa/client", {}, stranger);
  Pair untrusted(loop, server, must(make_tls_client_context(options)));
  loop.settle();
  ASSERT_TRUE(untrusted.server->error_);
  EXPECT_EQ(untrusted.server->error_->code, Code::kDenied);
  EXPECT_TRUE(untrusted.client->error_);  // told by the alert

  options.identity = {};
  Pair unnamed(loop, server, must(make_tls_client_context(options)));
  loop.settle();
  EXPECT_TRUE(unnamed.server->error_);

  auto optional = server_options();
  optional.client_cert = TlsServerOptions::ClientCert::kOptional;
  Pair plain(loop, must(make_tls_server_context(optional)), must(make_tls_client_context(options)));
  loop.settle();
  ASSERT_TRUE(plain.server->open_);
  EXPECT_FALSE(plain.server->stream_->tls()->peer);

  options.trust_bundle_pem = stranger.certificate.to_pem();
  Pair wrong_server(loop, server, must(make_tls_client_context(options)));
  loop.settle();
  ASSERT_TRUE(wrong_server.client->error_);
  EXPECT_EQ(wrong_server.client->error_->code, Code::kDenied);
  EXPECT_EQ(wrong_server.client->error_->side, Side::kUpstream);
}

TEST(Tls, VerifiesTheHostName) {
  SimLoop loop;
  auto options = client_options();
  options.verify_host = true;
  auto client = must(make_tls_client_context(options));
  auto server = must(make_tls_server_context(server_options()));
  Pair right(loop, server, client, {.sni = "server.test"});
  Pair wrong(loop, server, client, {.sni = "other.test"});
  loop.settle();
  EXPECT_TRUE(right.client->open_);
  ASSERT_TRUE(wrong.client->error_);
  EXPECT_NE(wrong.client->error_->message.find("ostname mismatch"), std::string::npos)
      << wrong.client->error_->message;
}

TEST(Tls, RefusesRevokedCertificates) {
  const WallTime from(std::chrono::sys_days{std::chrono::year{2025} / 6 / 1});
  const auto ttl = std::chrono::hours(24 * 3000);
  auto good = client_options();
  auto bad = client_options();
  const auto leaf = *pki::Certificate::from_pem(bad.identity.chain_pem);
  auto options = server_options();
  options.crl_pem = *pki::make_revocation_list(root(), std::span(&leaf, 1), from, ttl);
  auto server = must(make_tls_server_context(options));
  SimLoop loop;
  for (const auto* client : {&good, &bad, &good, &bad}) {
    Pair pair(loop, server, must(make_tls_client_context(*client)));
    loop.settle();
    EXPECT_EQ(pair.server->open_, client == &good);
    if (client == &good) continue;
    ASSERT_TRUE(pair.server->error_);
    EXPECT_EQ(pair.server->error_->message, "certificate: certificate revoked");
  }
  // A client holds it against servers too; a list that is over is as good as none.
  const auto own = *pki::Certificate::from_pem(options.identity.chain_pem);
  good.crl_pem = *pki::make_revocation_list(root(), std::span(&own, 1), from, ttl);
  Pair refused(loop, server, must(make_tls_client_context(good)));
  loop.settle();
  ASSERT_TRUE(refused.client->error_);
  EXPECT_EQ(refused.client->error_->message, "certificate: certificate revoked");
  good.crl_pem = *pki::make_revocation_list(root(), {}, from, std::chrono::hours(1));
  Pair late(loop, server, must(make_tls_client_context(good)));
  loop.settle();
  ASSERT_TRUE(late.client->error_);
  EXPECT_EQ(late.client->error_->message, "certificate: CRL has expired");
  options.crl_pem = "no list";
  auto wrong = make_tls_server_context(options);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, "revocation list: no X509 CRL in PEM");
}

TlsIdentity rsa_identity(std::vector<std::string> dns) {
  auto key = *pki::PrivateKey::generate_rsa(2048);
  pki::IssueOptions options;
  options.names.dns = std::move(dns);
  options.not_before = WallTime(std::chrono::sys_days{std::chrono::year{2025} / 6 / 1});
  options.not_after = options.not_before + std::chrono::hours(24 * 3000);
  auto leaf = *pki::issue(key.public_key(), options, root().key, &root().certificate);
  return {leaf.to_pem(), key.to_pem()};
}

TEST(Tls, ShowsTheCertificateThatTheClientAsksFor) {
  auto options = server_options();
  options.client_cert = TlsServerOptions::ClientCert::kNone;
  options.identity = rsa_identity({"a.test"});
  options.more_identities = {identity("", {"a.test", "*.wild.test"}), identity("", {"b.test"}),
                             rsa_identity({"c.test"})};
  auto server = must(make_tls_server_context(options));
  const auto shown = [&](std::string sni) {
    SimLoop loop;
    auto client = client_options();
    client.max_sessions = 0;
    Pair pair(loop, server, must(make_tls_client_context(client)), {.sni = std::move(sni)});
    loop.settle();
    if (!pair.client->open_) return std::string("refused");
    const auto peer = pair.client->stream_->tls()->peer;
    EXPECT_EQ(pair.server->stream_->tls()->local->sha256, peer->sha256);
    const auto all = {options.identity, options.more_identities[0], options.more_identities[1],
                      options.more_identities[2]};
    int number = 0;
    for (const TlsIdentity& one : all) {
      if (pki::Certificate::from_pem(one.chain_pem)->sha256() == peer->sha256) break;
      ++number;
    }
    return std::to_string(number);
  };
  EXPECT_EQ(shown("a.test"), "1");       // ECDSA ahead of RSA
  EXPECT_EQ(shown("x.wild.test"), "1");  // by wildcard
  EXPECT_EQ(shown("b.test"), "2");
  EXPECT_EQ(shown("c.test"), "3");      // there is only RSA
  EXPECT_EQ(shown("other.test"), "0");  // nobody's: the first
  EXPECT_EQ(shown(""), "1");            // the first of the client's kind
}

TEST(Tls, ChoosesRsaForWhoTakesNothingElse) {
  std::vector<ServerCertificate> choices;
  const auto add = [&](const TlsIdentity& identity, std::string name, bool ecdsa) {
    choices.push_back({*pki::Certificate::from_pem(identity.chain_pem),
                       {},
                       *pki::PrivateKey::from_pem(identity.key_pem),
                       {std::move(name)},
                       ecdsa,
                       nullptr});
  };
  add(identity("", {"a.test"}), "a.test", true);
  add(rsa_identity({"b.test"}), "b.test", false);
  EXPECT_EQ(&choose_certificate(choices, "", false), &choices[1]);
  EXPECT_EQ(&choose_certificate(choices, "", true), &choices[0]);
  EXPECT_EQ(&choose_certificate(choices, "a.test", false), &choices[0]);
  EXPECT_EQ(&choose_certificate(choices, "b.test", true), &choices[1]);
}

TEST(Tls, KnowsTheDigestOfAKey) {
  const TlsIdentity one = identity("", {"a.test"});
  const auto leaf = *pki::Certificate::from_pem(one.chain_pem);
  const std::string digest = parse_peer_certificate(leaf.get())->spki_sha256();
  EXPECT_EQ(digest.size(), 44U);
  EXPECT_NE(digest, parse_peer_certificate(root().certificate.get())->spki_sha256());
}

TEST(Tls, OlderVersionAndPlaintextPeers) {
  SimLoop loop;
  auto options = client_options();
  options.max_version = TlsVersion::k12;
  auto server = must(make_tls_server_context(server_options()));
  auto client = must(make_tls_client_context(options));
  for (int i = 0; i < 2; ++i) {
    Pair pair(loop, server, client, {.sni = "old"});
    pair.client->send("hi");
    loop.settle();
    ASSERT_TRUE(pair.server->open_);
    EXPECT_EQ(pair.server->stream_->tls()->version, "TLSv1.2");
    EXPECT_EQ(pair.server->in_, "hi");
    EXPECT_EQ(pair.server->stream_->tls()->resumed, i > 0) << i;
  }
  auto [a, b] = memory_pair(loop);
  End tls(tls_server(loop, std::move(a), server));
  End plain(std::move(b));
  plain.send("GET / HTTP/1.1\r\n\r\n");
  loop.settle();
  ASSERT_TRUE(tls.error_);
  EXPECT_EQ(tls.error_->code, Code::kProtocol);
}

TEST(Tls, RefusesBadMaterialByName) {
  auto options = server_options();
  options.identity.key_pem = identity("spiffe://x/ns/a/sa/b").key_pem;
  EXPECT_NE(make_tls_server_context(options).error().message.find("private key"),
            std::string::npos);
  options = server_options();
  options.trust_bundle_pem = "nonsense";
  EXPECT_NE(make_tls_server_context(options).error().message.find("trust bundle"),
            std::string::npos);
  // What is revoked of nobody that is trusted would never be looked at.
  options = server_options();
  options.trust_bundle_pem.clear();
  options.accept_untrusted = true;
  options.crl_pem = "list";
  EXPECT_EQ(make_tls_server_context(options).error().message,
            "revocation list: no trust bundle to hold it against");
  auto client = client_options();
  client.trust_bundle_pem.clear();
  client.insecure = true;
  client.crl_pem = "list";
  EXPECT_EQ(make_tls_client_context(client).error().message,
            "revocation list: no trust bundle to hold it against");
}

TEST(Tls, OverSocketsWithManyConnections) {
  EpollLoop loop;
  auto server = must(make_tls_server_context(server_options()));
  auto client = must(make_tls_client_context(client_options()));
  std::vector<std::unique_ptr<End>> servers, clients;
  auto listener = *Listener::listen(loop, Address::loopback(0), {}, [&](auto stream) {
    servers.push_back(std::make_unique<End>(tls_server(loop, std::move(stream), server)));
    servers.back()->send(std::string(300'000, 's'));
  });
  std::vector<std::unique_ptr<Connecting>> attempts;
  for (int i = 0; i < 20; ++i) {
    attempts.push_back(connect(loop, listener->address(), {}, [&](auto stream) {
      ASSERT_TRUE(stream);
      clients.push_back(std::make_unique<End>(tls_client(loop, std::move(*stream), client, {})));
      clients.back()->send(std::string(300'000, 'c'));
    }));
  }
  ASSERT_TRUE(loop.run_until(
      [&] {
        std::size_t done = 0;
        for (auto& end : clients) done += end->in_.size() == 300'000;
        for (auto& end : servers) done += end->in_.size() == 300'000;
        return done == 40;
      },
      20s));
  servers.clear();  // close_notify, then the end
  ASSERT_TRUE(loop.run_until(
      [&] { return std::ranges::all_of(clients, [](auto& end) { return end->eof_; }); }, 5s));
}

// Workers have loops of their own and share contexts.
TEST(Tls, ContextsServeSeveralThreads) {
  auto server = must(make_tls_server_context(server_options()));
  auto client = must(make_tls_client_context(client_options()));
  std::vector<std::thread> threads;
  std::atomic<int> done = 0;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      SimLoop loop;
      for (int n = 0; n < 15; ++n) {
        Pair pair(loop, server, client, {.sni = "shared"});
        pair.client->send("hi");
        loop.settle();
        done += pair.server->in_ == "hi";
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(done, 45);
}

TEST(ClientHello, IsReadFromRealBytesAtEveryCut) {
  SimLoop loop;
  auto [a, b] = memory_pair(loop);
  auto options = client_options();
  End client(tls_client(loop, std::move(a), must(make_tls_client_context(options)),
                        {.sni = "Reviews.Default"}));
  loop.settle();
  std::array<std::byte, 4096> buffer;
  IoResult got = b->peek(buffer);
  ASSERT_GT(got.bytes, 100U);
  for (std::size_t cut = 0; cut < got.bytes; ++cut) {
    ClientHello hello;
    ASSERT_EQ(parse_client_hello(std::span(buffer.data(), cut), &hello), HelloStatus::kNeedMore);
  }
  ClientHello hello;
  ASSERT_EQ(parse_client_hello(std::span(buffer.data(), got.bytes), &hello), HelloStatus::kDone);
  EXPECT_EQ(hello.sni, "reviews.default");
  EXPECT_EQ(hello.alpn, (std::vector<std::string>{"istio", "mizzen-h2"}));
  std::string_view http = "GET / HTTP/1.1";
  EXPECT_EQ(parse_client_hello(std::as_bytes(std::span(http.data(), http.size())), &hello),
            HelloStatus::kNotTls);
}

TEST(Resolver, AnswersLiteralsAndHosts) {
  EpollLoop loop;
  auto resolver = Resolver::make(loop);
  ASSERT_TRUE(resolver) << resolver.error().message;
  std::optional<Result<Resolved>> literal, local, nobody;
  (*resolver)->resolve("10.1.2.3", 80, ResolveFamily::kAny,
                       [&](auto r) { literal = std::move(r); });
  (*resolver)->resolve("localhost", 81, ResolveFamily::kIpv4,
                       [&](auto r) { local = std::move(r); });
  EXPECT_FALSE(literal);
  ASSERT_TRUE(loop.run_until([&] { return literal && local; }, 10s));
  EXPECT_EQ((*literal)->addresses.at(0).to_string(), "10.1.2.3:80");
  ASSERT_TRUE(*local) << local->error().message;
  EXPECT_EQ((*local)->addresses.at(0).to_string(), "127.0.0.1:81");
  ResolverOptions options;
  options.servers = {Address::loopback(1)};  // nobody answers there
  options.timeout = 50ms;
  options.tries = 1;
  auto lonely = Resolver::make(loop, options);
  ASSERT_TRUE(lonely) << lonely.error().message;
  (*lonely)->resolve("name.invalid", 1, ResolveFamily::kAny,
                     [&](auto r) { nobody = std::move(r); });
  ASSERT_TRUE(loop.run_until([&] { return nobody.has_value(); }, 10s));
  EXPECT_FALSE(*nobody);
}

}  // namespace
}  // namespace mizzen::io
