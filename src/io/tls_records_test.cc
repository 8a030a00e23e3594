#include "io/tls_records.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <array>
#include <random>

#include "io/sim_loop.h"
#include "io/tls_context.h"
#include "io/tls_stream.h"
#include "pki/certificate.h"

namespace mizzen::io {
namespace {

using namespace std::chrono_literals;

TrafficSecret secret_of(unsigned char first, std::size_t size) {
  TrafficSecret secret;
  secret.size = size;
  for (std::size_t i = 0; i < size; ++i) secret.bytes[i] = static_cast<unsigned char>(first + i);
  return secret;
}

// Two ends under the same secrets, over a pair of memory streams.
struct RecordPair {
  explicit RecordPair(RecordCipher cipher = RecordCipher::kAes128Gcm, MemoryFaults faults = {}) {
    MemoryOptions options;
    options.faults = faults;
    std::tie(a, b) = memory_pair(loop, options);
    const std::size_t size = cipher == RecordCipher::kAes256Gcm ? 48 : 32;
    TlsSecrets secrets{cipher, secret_of(1, size), secret_of(99, size), 3, 5};
    near = std::make_unique<TlsRecords>(secrets, "");
    std::swap(secrets.read, secrets.write);
    std::swap(secrets.records_read, secrets.records_written);
    far = std::make_unique<TlsRecords>(secrets, "");
  }
  // Sends all of `text` from near to far; what has come.
  std::string carry(const std::string& text, std::size_t buffer_size = 100'000) {
    std::string left = text;
    std::string came;
    for (int turn = 0; turn < 100'000 && (came.size() < text.size() || !left.empty()); ++turn) {
      if (!left.empty()) {
        const iovec pieces[2] = {{left.data(), left.size() / 3},
                                 {left.data() + left.size() / 3, left.size() - left.size() / 3}};
        left.erase(0, near->write(*a, pieces).bytes);
      }
      near->flush(*a);
      came += receive(buffer_size);
    }
    return came;
  }
  std::string receive(std::size_t buffer_size = 100'000) {
    std::vector<std::byte> buffer(buffer_size);
    last = far->read(*b, buffer);
    return {reinterpret_cast<char*>(buffer.data()), last.bytes};
  }
  // Sends one record of near's making, of any type.
  void send_raw(RecordKeys& keys, RecordType type, std::string_view content) {
    std::vector<std::byte> record(content.size() + kRecordOverhead);
    ASSERT_GT(keys.seal(type, reinterpret_cast<const std::byte*>(content.data()), content.size(),
                        record.data()),
              0U);
    a->write({reinterpret_cast<char*>(record.data()), record.size()});
  }
  SimLoop loop;
  std::unique_ptr<Stream> a, b;
  std::unique_ptr<TlsRecords> near, far;
  IoResult last;
};

// The keys with which a RecordPair's far end reads.
RecordKeys peer_keys() { return {RecordCipher::kAes128Gcm, secret_of(99, 32), 5, true}; }

TEST(TlsRecords, CarryEveryLengthUnderEveryCipher) {
  for (auto cipher :
       {RecordCipher::kAes128Gcm, RecordCipher::kAes256Gcm, RecordCipher::kChacha20Poly1305}) {
    RecordPair pair(cipher);
    for (std::size_t size : {1, 2, 15, 16, 17, 1000, 16383, 16384, 16385, 70'000, 200'000}) {
      const std::string text(size, static_cast<char>('a' + size % 26));
      ASSERT_EQ(pair.carry(text), text) << size;
      ASSERT_EQ(pair.carry(text, 700), text) << size << ", into a small buffer";
    }
  }
}

TEST(TlsRecords, FailWithoutTheirCipher) {
  std::array<std::byte, 64> bytes{};
  RecordKeys none(RecordCipher::kNone, secret_of(1, 32), 0, true);
  EXPECT_EQ(none.seal(RecordType::kData, bytes.data(), 4, bytes.data()), 0U);
  EXPECT_FALSE(none.open(bytes, bytes.data()));
  const std::array<unsigned char, 32> key{};
  const Aead unknown("NOBODYS-CIPHER");
  EXPECT_FALSE(AeadContext(unknown).start(true, key, std::span(key).first(12)));
}

TEST(TlsRecords, KeysChangeWhileBytesAreCutAnyhow) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    RecordPair pair(RecordCipher::kAes128Gcm,
                    {.seed = seed, .max_read = 900, .max_write = 700, .block_percent = 30});
    std::mt19937 random(static_cast<unsigned>(seed));
    for (int i = 0; i < 20; ++i) {
      const std::string text(random() % 40'000 + 1, static_cast<char>('a' + i));
      ASSERT_EQ(pair.carry(text, 1 + random() % 30'000), text);
      if (random() % 2 == 0) pair.near->update_keys(*pair.a, random() % 2 == 0);
      if (random() % 2 == 0) std::swap(pair.near, pair.far), std::swap(pair.a, pair.b);
    }
  }
}

TEST(TlsRecords, EndInGoodOrder) {
  RecordPair pair;
  EXPECT_EQ(pair.carry("last words"), "last words");
  EXPECT_EQ(pair.near->close(*pair.a), IoStatus::kOk);
  pair.receive();
  EXPECT_EQ(pair.last.status, IoStatus::kEof);
  EXPECT_TRUE(pair.far->has_input());
  // The other half is still open.
  EXPECT_EQ(pair.far->write(*pair.b, std::array{iovec{const_cast<char*>("ok"), 2}}).bytes, 2U);
}

struct BadInput {
  const char* name;
  void (*send)(RecordPair&, RecordKeys&);
};

TEST(TlsRecords, BreakOffWhatIsNotInOrder) {
  const BadInput inputs[] = {
      {"not authentic",
       [](RecordPair& pair, RecordKeys&) {
         pair.a->write(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
       }},
      {"of another number",
       [](RecordPair& pair, RecordKeys&) {
         RecordKeys keys(RecordCipher::kAes128Gcm, secret_of(99, 32), 6, true);
         pair.send_raw(keys, RecordType::kData, "hello");
       }},
      {"too long", [](RecordPair& pair,
                      RecordKeys&) { pair.a->write(std::string_view("\x17\x03\x03\x42\x00", 5)); }},
      {"too much content",
       [](RecordPair& pair, RecordKeys& keys) {
         pair.send_raw(keys, RecordType::kData, std::string(16385, 'x'));
       }},
      {"not protected",
       [](RecordPair& pair, RecordKeys&) {
         pair.a->write(std::string_view("\x15\x03\x03\x00\x02\x01\x00", 7));
       }},
      {"too short to be a record",
       [](RecordPair& pair, RecordKeys&) {
         pair.a->write(std::string_view("\x17\x03\x03\x00\x01x", 6));
       }},
      {"a Finished",
       [](RecordPair& pair, RecordKeys& keys) {
         pair.send_raw(keys, RecordType::kHandshake, std::string_view("\x14\x00\x00\x00", 4));
       }},
      {"an update with a third meaning",
       [](RecordPair& pair, RecordKeys& keys) {
         pair.send_raw(keys, RecordType::kHandshake, std::string_view("\x18\x00\x00\x01\x02", 5));
       }},
      {"bytes behind an update",
       [](RecordPair& pair, RecordKeys& keys) {
         pair.send_raw(keys, RecordType::kHandshake,
                       std::string_view("\x18\x00\x00\x01\x00\x04", 6));
       }},
      {"data inside a message",
       [](RecordPair& pair, RecordKeys& keys) {
         pair.send_raw(keys, RecordType::kHandshake, std::string_view("\x04\x00\x00", 3));
         pair.send_raw(keys, RecordType::kData, "hello");
       }},
      {"a message without end",
       [](RecordPair& pair, RecordKeys& keys) {
         pair.send_raw(keys, RecordType::kHandshake, std::string_view("\x04\xff\xff\xff", 4));
       }},
      {"a flood of empty records",
       [](RecordPair& pair, RecordKeys& keys) {
         for (int i = 0; i < 40; ++i) pair.send_raw(keys, RecordType::kData, "");
       }},
      {"a fatal alert",
       [](RecordPair& pair, RecordKeys& keys) {
         pair.send_raw(keys, RecordType::kAlert, std::string_view("\x02\x28", 2));
       }},
  };
  for (const BadInput& input : inputs) {
    SCOPED_TRACE(input.name);
    RecordPair pair;
    RecordKeys keys = peer_keys();
    input.send(pair, keys);
    EXPECT_EQ(pair.receive(), "");
    EXPECT_EQ(pair.last.status, IoStatus::kError);
    EXPECT_FALSE(pair.far->fault().empty());
    pair.receive();
    EXPECT_EQ(pair.last.status, IoStatus::kError);
  }
}

TEST(TlsRecords, ReadOverTicketsInAnyPieces) {
  RecordPair pair;
  RecordKeys keys = peer_keys();
  const std::string ticket = std::string("\x04\x00\x00\x40", 4) + std::string(64, 't');
  pair.send_raw(keys, RecordType::kHandshake, ticket + ticket.substr(0, 30));
  pair.send_raw(keys, RecordType::kHandshake, ticket.substr(30));
  pair.send_raw(keys, RecordType::kData, "data");
  EXPECT_EQ(pair.receive(), "data");
}

// --- Against OpenSSL's own records ---------------------------------------------------------------

const pki::Authority& authority() {
  static const pki::Authority kRoot = *pki::make_root(
      "cluster.local", WallTime(std::chrono::sys_days{std::chrono::year{2025} / 1 / 1}),
      std::chrono::hours(24 * 3650));
  return kRoot;
}

TlsIdentity identity() {
  static const TlsIdentity kIdentity = [] {
    auto key = *pki::PrivateKey::generate_p256();
    pki::IssueOptions options;
    options.names.uris = {"spiffe://cluster.local/ns/a/sa/x"};
    options.not_before = WallTime(std::chrono::sys_days{std::chrono::year{2025} / 6 / 1});
    options.not_after = options.not_before + std::chrono::hours(24 * 3000);
    auto leaf = *pki::issue(key.public_key(), options, authority().key, &authority().certificate);
    return TlsIdentity{leaf.to_pem(), key.to_pem()};
  }();
  return kIdentity;
}

// One of our streams with its user.
class Ours : public StreamHandler {
 public:
  explicit Ours(std::unique_ptr<Stream> made) : stream(std::move(made)) {
    stream->set_handler(this);
  }
  void on_readable() override {
    std::array<std::byte, 3000> buffer;
    for (;;) {
      IoResult got = stream->read(buffer);
      came.append(reinterpret_cast<char*>(buffer.data()), got.bytes);
      if (got.status == IoStatus::kEof) ended = true;
      if (got.status == IoStatus::kError) broken = true;
      if (got.status != IoStatus::kOk) return;
    }
  }
  void on_writable() override {
    while (!left.empty()) {
      IoResult put = stream->write(left);
      if (put.bytes == 0) return;
      left.erase(0, put.bytes);
    }
  }
  void on_error(const Error&) override { broken = true; }
  void send(std::string text) {
    left += text;
    on_writable();
  }
  bool handed_over() const { return dynamic_cast<TlsStream&>(*stream).handed_over(); }
  std::unique_ptr<Stream> stream;
  std::string came, left;
  bool ended = false, broken = false;
};

// The other end: an SSL on memory BIOs.
class Theirs : public StreamHandler {
 public:
  Theirs(std::unique_ptr<Stream> made, bool server, int version, const char* suites)
      : stream(std::move(made)), ctx(SSL_CTX_new(TLS_method())) {
    SSL_CTX_set_max_proto_version(ctx.get(), version);
    if (suites != nullptr) SSL_CTX_set_ciphersuites(ctx.get(), suites);
    auto chain = pki::parse_bundle(identity().chain_pem);
    SSL_CTX_use_certificate(ctx.get(), chain->front().get());
    auto key = pki::PrivateKey::from_pem(identity().key_pem);
    SSL_CTX_use_PrivateKey(ctx.get(), key->get());
    ssl.reset(SSL_new(ctx.get()));
    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl.get(), in, out);
    server ? SSL_set_accept_state(ssl.get()) : SSL_set_connect_state(ssl.get());
    stream->set_handler(this);
    pump();
  }
  void on_readable() override { pump(); }
  void on_writable() override { pump(); }
  void on_error(const Error&) override { broken = true; }
  void pump() {
    std::array<std::byte, 20'000> buffer;
    IoResult got;
    while ((got = stream->read(buffer)).status == IoStatus::kOk) {
      BIO_write(in, buffer.data(), static_cast<int>(got.bytes));
    }
    SSL_do_handshake(ssl.get());
    std::size_t size = 0;
    while (SSL_read_ex(ssl.get(), buffer.data(), buffer.size(), &size) == 1) {
      came.append(reinterpret_cast<char*>(buffer.data()), size);
    }
    if (SSL_get_error(ssl.get(), 0) == SSL_ERROR_SSL) broken = true;
    push();
  }
  void push() {
    char* bytes = nullptr;
    while (long size = BIO_get_mem_data(out, &bytes)) {
      IoResult put = stream->write({bytes, static_cast<std::size_t>(size)});
      if (put.bytes == 0) return;
      std::string gone(put.bytes, ' ');
      BIO_read(out, gone.data(), static_cast<int>(put.bytes));
    }
  }
  void send(const std::string& text) {
    ASSERT_EQ(SSL_write(ssl.get(), text.data(), static_cast<int>(text.size())),
              static_cast<int>(text.size()));
    push();
  }
  std::unique_ptr<Stream> stream;
  SslCtxPtr ctx;
  SslPtr ssl;
  BIO* in;
  BIO* out;
  std::string came;
  bool broken = false;
};

struct Interop {
  explicit Interop(bool we_serve, int version = TLS1_3_VERSION, const char* suites = nullptr,
                   MemoryFaults faults = {}) {
    MemoryOptions options;
    options.faults = faults;
    auto [a, b] = memory_pair(loop, options);
    if (we_serve) {
      TlsServerOptions server;
      server.identity = identity();
      server.trust_bundle_pem = authority().certificate.to_pem();
      server.client_cert = TlsServerOptions::ClientCert::kRequired;
      server.sessions = make_server_sessions();
      ours =
          std::make_unique<Ours>(tls_server(loop, std::move(a), *make_tls_server_context(server)));
    } else {
      TlsClientOptions client;
      client.identity = identity();
      client.trust_bundle_pem = authority().certificate.to_pem();
      client.verify_host = false;
      ours = std::make_unique<Ours>(
          tls_client(loop, std::move(a), *make_tls_client_context(client), {.sni = "x"}));
    }
    theirs = std::make_unique<Theirs>(std::move(b), !we_serve, version, suites);
  }
  void expect_traffic(const std::string& text) {
    if (!open) {  // a change of keys that is still to be sent looks like a handshake, too
      ASSERT_TRUE(loop.run_until([&] { return SSL_is_init_finished(theirs->ssl.get()) == 1; }, 1h));
      open = true;
    }
    ours->came.clear();
    theirs->came.clear();
    ours->send(text);
    theirs->send(text);
    EXPECT_TRUE(loop.run_until([&] { return ours->came == text && theirs->came == text; }, 1h))
        << ours->came.size() << " and " << theirs->came.size() << " of " << text.size();
  }
  SimLoop loop;
  bool open = false;
  std::unique_ptr<Ours> ours;
  std::unique_ptr<Theirs> theirs;
};

TEST(TlsHandOver, SpeaksWithOpensslUnderEverySuite) {
  for (const char* suite :
       {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
    for (bool we_serve : {true, false}) {
      SCOPED_TRACE(std::string(suite) + (we_serve ? ", server" : ", client"));
      Interop pair(we_serve, TLS1_3_VERSION, suite);
      pair.loop.settle();
      EXPECT_EQ(pair.ours->handed_over(), we_serve);
      pair.expect_traffic("hello");
      EXPECT_TRUE(pair.ours->handed_over());
      pair.expect_traffic(std::string(100'000, 'x'));
      EXPECT_EQ(pair.ours->stream->tls()->cipher, suite);
      EXPECT_EQ(pair.ours->stream->tls()->peer->uri(), "spiffe://cluster.local/ns/a/sa/x");
    }
  }
}

TEST(TlsHandOver, KeysChangeAtEitherEnd) {
  for (bool we_serve : {true, false}) {
    for (int kind : {SSL_KEY_UPDATE_REQUESTED, SSL_KEY_UPDATE_NOT_REQUESTED}) {
      SCOPED_TRACE(testing::Message() << we_serve << ' ' << kind);
      Interop pair(we_serve);
      pair.expect_traffic("before");
      for (int i = 0; i < 3; ++i) {
        ASSERT_EQ(SSL_key_update(pair.theirs->ssl.get(), kind), 1);
        pair.expect_traffic("after theirs");
        dynamic_cast<TlsStream&>(*pair.ours->stream).update_keys(i == 1);
        pair.expect_traffic(std::string(50'000, 'y'));
      }
      EXPECT_FALSE(pair.ours->broken || pair.theirs->broken);
    }
  }
}

// A client that has not handed over yet stays with OpenSSL when the keys change meanwhile.
TEST(TlsHandOver, AnEarlyChangeOfKeysKeepsOpenssl) {
  Interop pair(false);
  pair.loop.settle();
  pair.open = true;
  ASSERT_EQ(SSL_key_update(pair.theirs->ssl.get(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
  pair.expect_traffic("hello");
  pair.expect_traffic("again");
  EXPECT_FALSE(pair.ours->handed_over());
}

TEST(TlsHandOver, BytesAreCutAnyhow) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    Interop pair(seed % 2 == 0, TLS1_3_VERSION, nullptr,
                 {.seed = seed, .max_read = 300, .max_write = 400, .block_percent = 20});
    ASSERT_TRUE(
        pair.loop.run_until([&] { return SSL_is_init_finished(pair.theirs->ssl.get()) == 1; }, 1h));
    pair.expect_traffic("hello");
    pair.expect_traffic(std::string(60'000, 'z'));
    pair.ours->stream->shutdown_write();
    ASSERT_TRUE(pair.loop.run_until(
        [&] {
          pair.theirs->pump();
          return (SSL_get_shutdown(pair.theirs->ssl.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
        },
        1h));
    SSL_shutdown(pair.theirs->ssl.get());
    ASSERT_TRUE(pair.loop.run_until(
        [&] {
          pair.theirs->push();
          return pair.ours->ended;
        },
        1h));
  }
}

TEST(TlsHandOver, OlderVersionsStayWithOpenssl) {
  for (bool we_serve : {true, false}) {
    Interop pair(we_serve, TLS1_2_VERSION);
    pair.expect_traffic("hello");
    pair.expect_traffic(std::string(100'000, 'x'));
    EXPECT_FALSE(pair.ours->handed_over());
  }
}

TEST(TlsHandOver, TellsTheEndWhenItIsDestroyed) {
  Interop pair(true);
  pair.expect_traffic("hello");
  pair.ours.reset();
  pair.loop.settle();
  pair.theirs->pump();
  EXPECT_NE(SSL_get_shutdown(pair.theirs->ssl.get()) & SSL_RECEIVED_SHUTDOWN, 0);
}

}  // namespace
}  // namespace mizzen::io
