#include "io/tls_resumption.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "base/strings.h"
#include "io/sim_loop.h"
#include "pki/certificate.h"

namespace mizzen::io {
namespace {

using namespace std::chrono_literals;

// One end of a connection that notes what it hears.
class ResumedEnd : public StreamHandler {
 public:
  explicit ResumedEnd(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {
    stream_->set_handler(this);
  }
  void send(std::string_view bytes) {
    out_ += bytes;
    on_writable();
  }
  void on_readable() override {
    std::array<std::byte, 5000> buffer;
    while (true) {
      const IoResult got = stream_->read(buffer);
      if (got.status == IoStatus::kError) error_ = stream_->error().message;
      if (got.status != IoStatus::kOk) return;
      in_.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
    }
  }
  void on_writable() override {
    if (!out_.empty()) out_.erase(0, stream_->write(out_).bytes);
  }
  void on_error(const Error& error) override { error_ = error.message; }

  std::unique_ptr<Stream> stream_;
  std::string in_, out_, error_;
};

// A server and a client with a session of it, and what it takes to connect them again.
struct Resuming {
  Resuming() {
    const WallTime begin(std::chrono::sys_days{std::chrono::year{2025} / 1 / 1});
    const auto root = *pki::make_root("cluster.local", begin, std::chrono::hours(24 * 3650));
    const auto identity = [&](std::string uri) -> TlsIdentity {
      const auto key = *pki::PrivateKey::generate_p256();
      pki::IssueOptions options;
      options.names.uris = {std::move(uri)};
      options.not_before = begin;
      options.not_after = begin + std::chrono::hours(24 * 3000);
      const auto leaf = *pki::issue(key.public_key(), options, root.key, &root.certificate);
      return {leaf.to_pem(), key.to_pem()};
    };
    options.identity = identity("spiffe://cluster.local/ns/a/sa/server");
    options.trust_bundle_pem = root.certificate.to_pem();
    options.client_cert = TlsServerOptions::ClientCert::kRequired;
    options.alpn = {"mizzen-h2", "istio"};
    options.sessions = make_server_sessions();
    server = *make_tls_server_context(options);
    TlsClientOptions theirs;
    theirs.identity = identity("spiffe://cluster.local/ns/a/sa/client");
    theirs.trust_bundle_pem = options.trust_bundle_pem;
    theirs.alpn = {"istio", "mizzen-h2"};
    theirs.verify_host = false;
    client = *make_tls_client_context(theirs);
  }
  // Carries bytes both ways; whether the server saw a resumption.
  bool connect(const TlsContextRef& to, MemoryFaults faults = {}) {
    MemoryOptions between;
    between.faults = faults;
    auto [a, b] = memory_pair(loop, between);
    ResumedEnd near(tls_server(loop, std::move(a), to));
    ResumedEnd far(tls_client(loop, std::move(b), client, {.sni = "Some.Host"}));
    far.send("question");
    near.send("answer");
    loop.settle();
    EXPECT_EQ(near.in_, "question") << near.error_;
    EXPECT_EQ(far.in_, "answer") << far.error_;
    const TlsInfo* info = near.stream_->tls();
    if (info == nullptr) return false;
    EXPECT_EQ(info->alpn, "mizzen-h2");
    EXPECT_EQ(far.stream_->tls()->alpn, "mizzen-h2");
    EXPECT_EQ(info->sni, "some.host");
    EXPECT_EQ(info->cipher, "TLS_AES_128_GCM_SHA256");
    EXPECT_EQ(far.stream_->tls()->cipher, info->cipher);
    EXPECT_TRUE(info->peer && info->peer->uri() == "spiffe://cluster.local/ns/a/sa/client");
    EXPECT_TRUE(info->local && info->local->uri() == "spiffe://cluster.local/ns/a/sa/server");
    EXPECT_EQ(info->resumed, far.stream_->tls()->resumed);
    return info->resumed;
  }
  // The first bytes of a client that wants to resume.
  std::string hello() {
    auto [a, b] = memory_pair(loop);
    ResumedEnd far(tls_client(loop, std::move(b), client, {.sni = "Some.Host"}));
    loop.settle();
    std::array<std::byte, 4096> buffer;
    const IoResult got = a->read(buffer);
    return {reinterpret_cast<const char*>(buffer.data()), got.bytes};
  }
  // Handshakes that OpenSSL was asked for.
  static long by_openssl(const TlsContextRef& context) {
    return SSL_CTX_sess_accept(context->ctx.get());
  }

  SimLoop loop;
  TlsServerOptions options;
  TlsContextRef server, client;
};

TEST(TlsResumption, EachTicketIsGoodForTheNext) {
  Resuming with;
  EXPECT_FALSE(with.connect(with.server));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(with.connect(with.server)) << i;
  EXPECT_EQ(Resuming::by_openssl(with.server), 1);
}

TEST(TlsResumption, WorksWhereverTheBytesAreCut) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    Resuming with;
    with.connect(with.server);
    EXPECT_TRUE(with.connect(with.server,
                             {.seed = seed, .max_read = 90, .max_write = 70, .block_percent = 30}));
    EXPECT_TRUE(with.connect(with.server));
    EXPECT_EQ(Resuming::by_openssl(with.server), 1);
  }
}

// OpenSSL resumes what we have let resume, and the other way round.
TEST(TlsResumption, SharesItsSessionsWithOpenssl) {
  Resuming with;
  auto options = with.options;
  options.curves = "X25519";  // said by hand: left to OpenSSL
  const auto other = *make_tls_server_context(options);
  with.connect(with.server);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(with.connect(with.server)) << i;
    EXPECT_TRUE(with.connect(other)) << i;
  }
  EXPECT_EQ(Resuming::by_openssl(with.server), 1);
  EXPECT_EQ(Resuming::by_openssl(other), 3);
}

TEST(TlsResumption, LeavesAloneWhatIsNotItsOwn) {
  Resuming with;
  with.connect(with.server);
  std::string hello = with.hello();
  const WallTime now = with.loop.wall();
  for (std::size_t cut = 0; cut < hello.size(); ++cut) {
    ASSERT_FALSE(TlsResumption::has_hello(hello.substr(0, cut))) << cut;
  }
  ASSERT_TRUE(TlsResumption::has_hello(hello));
  for (std::size_t i = 0; i < hello.size(); ++i) {
    if (i == 2) continue;  // the record's minor version says nothing
    std::string broken = hello;
    broken[i] = static_cast<char>(broken[i] ^ 0x41);
    const std::string before = broken;
    ASSERT_EQ(TlsResumption::begin(*with.server, broken, now), nullptr) << i;
    ASSERT_EQ(broken, before);
  }
  auto options = with.options;
  options.client_cert = TlsServerOptions::ClientCert::kOptional;  // other peers would be trusted
  std::string copy = hello;
  EXPECT_EQ(TlsResumption::begin(**make_tls_server_context(options), copy, now), nullptr);
  options = with.options;
  options.check = [](const PeerCertificate&) -> Status { return fail(Code::kDenied, "no"); };
  EXPECT_EQ(TlsResumption::begin(**make_tls_server_context(options), copy, now), nullptr);
  EXPECT_EQ(TlsResumption::begin(*with.server, copy, now + std::chrono::hours(24 * 3001)), nullptr);
  copy += "behind";
  EXPECT_NE(TlsResumption::begin(*with.server, copy, now), nullptr);
  EXPECT_EQ(copy, "behind");
}

TEST(TlsResumption, BreaksOffWhenTheClientAnswersWrongly) {
  struct Wrong {
    std::string_view answer;
    std::string_view fault;
  };
  const std::string unsealed = std::string("\x17\x03\x03\x00\x40", 5) + std::string(64, 'x');
  const Wrong wrongs[] = {
      {unsealed, "a record is not authentic"},
      {std::string_view("\x15\x03\x03\x00\x02\x02\x28", 7), "the peer sent an alert"},
      {std::string_view("\x16\x03\x03\x00\x01\x14", 6), "a record that does not belong here"},
      {std::string_view("\x17\x03\x03\x7f\xff", 5), "a record is too long"},
      {std::string_view("\x14\x03\x03\x00\x01\x02", 6), "a record that does not belong here"},
  };
  Resuming with;
  with.connect(with.server);
  const std::string hello = with.hello();
  for (const Wrong& wrong : wrongs) {
    std::string input = hello;
    const auto begun = TlsResumption::begin(*with.server, input, with.loop.wall());
    ASSERT_TRUE(begun);
    input = std::string_view("\x14\x03\x03\x00\x01\x01", 6);  // for old boxes on the way
    EXPECT_EQ(begun->take(input), TlsResumption::Step::kMore);
    input = wrong.answer;
    EXPECT_EQ(begun->take(input), TlsResumption::Step::kFailed);
    EXPECT_EQ(begun->fault(), wrong.fault);
  }
}

TEST(TlsResumption, DerivesWhatTheStandardsExampleDoes) {  // RFC 8448 3
  const Bytes32 zero{};
  const Bytes32 early = hmac_sha256(zero, zero);
  const Bytes32 derived = derive_secret(early, "derived", Sha256().digest());
  EXPECT_EQ(hex(std::as_bytes(std::span(early))),
            "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a");
  EXPECT_EQ(hex(std::as_bytes(std::span(derived))),
            "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba");
}

TEST(TlsResumption, AgreesWithOpensslsOwnKeys) {
  EVP_PKEY* theirs = EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519");
  Bytes32 share;
  std::size_t size = share.size();
  ASSERT_EQ(EVP_PKEY_get_raw_public_key(theirs, share.data(), &size), 1);
  const auto agreed = agree_x25519(share);
  ASSERT_TRUE(agreed);
  EVP_PKEY* ours = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, agreed->share.data(), 32);
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(theirs, nullptr);
  Bytes32 secret{};
  ASSERT_EQ(EVP_PKEY_derive_init(context), 1);
  ASSERT_EQ(EVP_PKEY_derive_set_peer(context, ours), 1);
  ASSERT_EQ(EVP_PKEY_derive(context, secret.data(), &size), 1);
  EXPECT_EQ(secret, agreed->secret);
  EXPECT_NE(agree_x25519(share)->share, agreed->share);
  EXPECT_FALSE(agree_x25519(Bytes32{}));  // a point of small order
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(ours);
  EVP_PKEY_free(theirs);
}

}  // namespace
}  // namespace mizzen::io
