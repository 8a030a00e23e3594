#include "io/tls_resumption.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/strings.h"
#include "pki/openssl.h"

namespace mizzen::io {
namespace {

constexpr std::uint16_t kSuite = 0x1301;  // TLS_AES_128_GCM_SHA256, which our servers prefer
constexpr std::uint16_t kX25519 = 0x001d;
constexpr unsigned kMostIgnored = 4;
constexpr std::size_t kMessageHead = 4;
constexpr std::size_t kFinished = kMessageHead + 32;

// Types of messages (RFC 8446 4) and of extensions (4.2).
enum MessageType : char {
  kClientHello = 1,
  kServerHello = 2,
  kTicketMessage = 4,
  kEncryptedExtensions = 8,
  kFinishedMessage = 20
};
enum ExtensionType : std::uint16_t {
  kServerName = 0,
  kMaxFragment = 1,
  kAlpn = 16,
  kPreSharedKey = 41,
  kEarlyData = 42,
  kVersions = 43,
  kCookie = 44,
  kPskModes = 45,
  kKeyShare = 51
};
// Alerts (6.2).
constexpr unsigned char kAlertUnexpected = 10;
constexpr unsigned char kAlertBadMac = 20;
constexpr unsigned char kAlertDecryptError = 51;

// Reads big-endian fields; `ok` turns false at the first that is not there.
struct Fields {
  std::string_view rest;
  bool ok = true;

  std::string_view take(std::size_t bytes) {
    if (bytes > rest.size()) {
      ok = false;
      rest = {};
      return {};
    }
    const std::string_view out = rest.substr(0, bytes);
    rest.remove_prefix(bytes);
    return out;
  }
  std::size_t number(std::size_t bytes) {
    std::size_t value = 0;
    for (char c : take(bytes)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  Fields vector(std::size_t length_bytes) { return {take(number(length_bytes)), ok}; }
  bool done() const { return ok && rest.empty(); }
};

std::string_view text_of(std::span<const unsigned char> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void put_number(std::string& to, std::size_t value, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) to += static_cast<char>(value >> (8 * i) & 0xff);
}

// Fills in the length of what stands behind its own field, which begins at `at`.
void close_vector(std::string& in, std::size_t at, unsigned length_bytes) {
  const std::size_t size = in.size() - at - length_bytes;
  for (unsigned i = 0; i < length_bytes; ++i) {
    in[at + i] = static_cast<char>(size >> (8 * (length_bytes - 1 - i)) & 0xff);
  }
}

// The length of the first record's body, if its header is there and may begin a handshake.
std::optional<std::size_t> hello_record(std::string_view input) {
  if (input.size() < kRecordHeader || input[0] != 22 || input[1] != 3) return std::nullopt;
  return static_cast<std::size_t>(static_cast<unsigned char>(input[3])) << 8 |
         static_cast<unsigned char>(input[4]);
}

void put_sealed(std::string& to, RecordKeys& keys, std::string_view content) {
  const std::size_t at = to.size();
  to.resize(at + content.size() + kRecordOverhead);
  const std::size_t size =
      keys.seal(RecordType::kHandshake, reinterpret_cast<const std::byte*>(content.data()),
                content.size(), reinterpret_cast<std::byte*>(to.data() + at));
  to.resize(at + size);
}

// The message in a record of its own.
std::string server_hello(std::string_view session_id, std::span<const unsigned char> random,
                         const Bytes32& share) {
  std::string out("\x16\x03\x03\0\0\x02\0\0\0\x03\x03", 11);
  out += text_of(random);
  put_number(out, session_id.size(), 1);
  out += session_id;
  put_number(out, kSuite, 2);
  // No compression; extensions: the version, the first PSK, the key share.
  out +=
      std::string_view("\0\0\x34\0\x2b\0\x02\x03\x04\0\x29\0\x02\0\0\0\x33\0\x24\0\x1d\0\x20", 23);
  out += text_of(share);
  close_vector(out, 3, 2);
  close_vector(out, 6, 3);
  return out;
}

std::string encrypted_extensions(std::string_view alpn) {
  std::string out("\x08\0\0\0\0\0", 6);
  if (!alpn.empty()) {
    put_number(out, kAlpn, 2);
    put_number(out, alpn.size() + 3, 2);
    put_number(out, alpn.size() + 1, 2);
    put_number(out, alpn.size(), 1);
    out += alpn;
  }
  close_vector(out, 4, 2);
  close_vector(out, 1, 3);
  return out;
}

TrafficSecret traffic_secret(const Bytes32& secret) {
  TrafficSecret out;
  std::ranges::copy(secret, out.bytes.begin());
  out.size = secret.size();
  return out;
}

Bytes32 finished_by(const Bytes32& secret, const Bytes32& transcript) {
  Bytes32 key;
  expand_label(secret, "finished", {}, key);
  return hmac_sha256(key, transcript);
}

}  // namespace

// Views of the message.
struct TlsResumption::Hello {
  std::string_view message;
  std::string_view session_id;
  std::string_view share;     // X25519's
  std::string_view identity;  // the first
  std::string_view binder;    // its
  std::size_t binders_at = 0;
  std::string_view alpn;  // the list, each with its length
  std::string sni;
  bool suite = false, version = false, mode = false;

  bool read_suites(Fields list) {
    while (list.ok && !list.rest.empty()) suite |= list.number(2) == kSuite;
    return list.ok && suite;
  }
  bool read_name(Fields body) {
    Fields list = body.vector(2);
    const bool host = list.number(1) == 0;
    const std::string_view name = list.vector(2).rest;
    sni = lower(name);
    return host && list.done() && body.done() && !name.empty() && !name.contains('\0');
  }
  bool read_shares(Fields body) {
    Fields list = body.vector(2);
    while (list.ok && !list.rest.empty()) {
      const std::size_t group = list.number(2);
      const Fields key = list.vector(2);
      if (group == kX25519) share = key.rest;
    }
    return list.ok && body.done() && share.size() == 32;
  }
  bool read_keys(Fields body) {
    Fields identities = body.vector(2);
    identity = identities.vector(2).rest;
    identities.take(4);  // the ticket's age: for early data only
    binders_at = static_cast<std::size_t>(body.rest.data() - message.data());
    Fields binders = body.vector(2);
    binder = binders.vector(1).rest;
    return identities.ok && binders.ok && body.done() && identity.size() == 32 &&
           binder.size() == 32;
  }
  bool read(std::size_t type, Fields body) {
    switch (type) {
      case kServerName:
        return read_name(body);
      case kAlpn:
        alpn = body.vector(2).rest;
        return body.done() && !alpn.empty();
      case kVersions: {
        Fields list = body.vector(1);
        while (list.ok && !list.rest.empty()) version |= list.number(2) == 0x0304;
        return version && list.ok && body.done();
      }
      case kPskModes:
        mode = body.vector(1).rest.contains('\1');
        return mode;
      case kKeyShare:
        return read_shares(body);
      case kPreSharedKey:
        return read_keys(body);
      case kMaxFragment:
      case kEarlyData:
      case kCookie:
        return false;
      default:
        return true;
    }
  }
};

bool TlsResumption::parse(std::string_view message, Hello& hello) {
  hello.message = message;
  Fields fields{message};
  fields.take(kMessageHead);
  const bool version = fields.number(2) == 0x0303;
  fields.take(32);
  hello.session_id = fields.vector(1).rest;
  const bool suite = hello.read_suites(fields.vector(2));
  const bool plain = fields.vector(1).rest == std::string_view("\0", 1);
  Fields extensions = fields.vector(2);
  if (!version || !suite || !plain || !fields.done() || hello.session_id.size() > 32) return false;
  std::uint64_t seen = 0;
  std::size_t last = 0;
  while (extensions.ok && !extensions.rest.empty()) {
    last = extensions.number(2);
    const Fields body = extensions.vector(2);
    if (!extensions.ok || !hello.read(last, body)) return false;
    if (last >= 64) continue;
    if ((seen >> last & 1) != 0) return false;
    seen |= std::uint64_t{1} << last;
  }
  return extensions.ok && last == kPreSharedKey && hello.version && hello.mode &&
         !hello.share.empty();
}

bool TlsResumption::has_hello(std::string_view input) {
  if (!input.empty() && input[0] != 22) return true;
  const auto size = hello_record(input);
  if (!size) return input.size() >= kRecordHeader;
  return *size > kMostContent || input.size() >= kRecordHeader + *size;
}

std::unique_ptr<TlsResumption> TlsResumption::begin(const TlsContext& context, std::string& input,
                                                    WallTime now) {
  if (!context.resumes_x25519) return nullptr;
  const auto size = hello_record(input);
  if (!size || input.size() < kRecordHeader + *size || *size < kMessageHead) return nullptr;
  const std::string_view message = std::string_view(input).substr(kRecordHeader, *size);
  Fields head{message.substr(1)};
  if (message[0] != kClientHello || head.number(3) != *size - kMessageHead) return nullptr;
  Hello hello;
  if (!parse(message, hello)) return nullptr;
  auto session = context.server_sessions->find(hello.identity);
  const bool ours = session && !session->openssl && session->secret_size == 32;
  if (!ours || session->scope != context.scope) return nullptr;
  if (session->peer) {
    if (!context.any_chain && session->peer->not_after < now) return nullptr;
    if (!context.judge(*session->peer)) return nullptr;
  }
  std::unique_ptr<TlsResumption> made(new TlsResumption);
  if (!made->answer(context, hello, *session)) return nullptr;
  input.erase(0, kRecordHeader + *size);
  return made;
}

TlsResumption::~TlsResumption() { OPENSSL_cleanse(&secrets_, sizeof secrets_); }

bool TlsResumption::answer(const TlsContext& context, const Hello& hello,
                           const ServerSession& session) {
  const Bytes32 kZero{};
  const auto secret = std::span<const unsigned char>(session.secret).first(32);
  const Bytes32 empty_hash = Sha256().digest();
  const Secret32 early(hmac_sha256(kZero, secret));
  Sha256 transcript;
  transcript.add(hello.message.substr(0, hello.binders_at));
  const Bytes32 binder =
      finished_by(derive_secret(early, "res binder", empty_hash), transcript.digest());
  if (CRYPTO_memcmp(binder.data(), hello.binder.data(), binder.size()) != 0) return false;
  transcript.add(hello.message.substr(hello.binders_at));
  const auto agreed = agree_x25519(raw_bytes(hello.share));
  std::array<unsigned char, 32> random;
  if (!agreed || RAND_bytes_ex(pki::tls_library(), random.data(), random.size(), 0) != 1) {
    return false;
  }

  output_.reserve(512);
  output_ = server_hello(hello.session_id, random, agreed->share);
  transcript.add(std::string_view(output_).substr(kRecordHeader));
  // The change of ciphers that old boxes on the way wait for (D.4).
  if (!hello.session_id.empty()) output_ += std::string_view("\x14\x03\x03\0\x01\x01", 6);

  const Secret32 handshake(
      hmac_sha256(derive_secret(early, "derived", empty_hash), agreed->secret));
  Bytes32 hash = transcript.digest();
  const Bytes32 theirs = derive_secret(handshake, "c hs traffic", hash);
  const Bytes32 ours = derive_secret(handshake, "s hs traffic", hash);
  const RecordCipher cipher = record_cipher(kSuite);
  read_keys_ = std::make_unique<RecordKeys>(cipher, traffic_secret(theirs), 0, false);
  write_keys_ = std::make_unique<RecordKeys>(cipher, traffic_secret(ours), 0, true);

  info_ = std::make_unique<TlsInfo>();
  info_->sni = hello.sni;
  info_->version = "TLSv1.3";
  info_->cipher = "TLS_AES_128_GCM_SHA256";
  info_->resumed = true;
  info_->peer = session.peer;
  info_->local = context.local;
  info_->alpn = context.choose_alpn(hello.alpn);
  std::string inside = encrypted_extensions(info_->alpn);
  transcript.add(inside);
  const Bytes32 verify = finished_by(ours, transcript.digest());
  const std::size_t finished_at = inside.size();
  inside += std::string_view("\x14\0\0\x20", 4);
  inside += text_of(verify);
  transcript.add(std::string_view(inside).substr(finished_at));
  put_sealed(output_, *write_keys_, inside);

  hash = transcript.digest();
  const Secret32 master(hmac_sha256(derive_secret(handshake, "derived", empty_hash), kZero));
  expected_ = finished_by(theirs, hash);
  secrets_.cipher = cipher;
  secrets_.read = traffic_secret(derive_secret(master, "c ap traffic", hash));
  secrets_.write = traffic_secret(derive_secret(master, "s ap traffic", hash));
  transcript.add(std::string_view("\x14\0\0\x20", 4));
  transcript.add(expected_);
  sessions_ = context.server_sessions;
  put_ticket(derive_secret(master, "res master", transcript.digest()), session);
  return true;
}

// What the client's Finished will be is known, so that the ticket may go at once (4.6.1).
void TlsResumption::put_ticket(const Bytes32& master, const ServerSession& session) {
  std::array<unsigned char, 4> blur;  // of the ticket's age, which we do not look at
  if (RAND_bytes_ex(pki::tls_library(), next_.id.data(), next_.id.size(), 0) != 1 ||
      RAND_bytes_ex(pki::tls_library(), blur.data(), blur.size(), 0) != 1) {
    sessions_ = nullptr;
    return;
  }
  const unsigned char nonce[1] = {0};
  expand_label(master, "resumption", nonce, std::span(next_.secret).first(32));
  next_.secret_size = 32;
  next_.suite = kSuite;
  next_.scope = session.scope;
  next_.ends = session.ends;
  next_.peer = session.peer;
  std::string ticket("\x04\0\0\0", 4);
  put_number(ticket, static_cast<std::size_t>(session.ends - std::time(nullptr)), 4);
  ticket += text_of(blur);
  ticket += std::string_view("\x01\0\0\x20", 4);
  ticket += text_of(next_.id);
  put_number(ticket, 0, 2);
  close_vector(ticket, 1, 3);
  RecordKeys keys(secrets_.cipher, secrets_.write, 0, true);
  put_sealed(output_, keys, ticket);
  secrets_.records_written = 1;
}

TlsResumption::Step TlsResumption::fail(unsigned char alert, std::string_view why) {
  const std::array content = {std::byte{2}, static_cast<std::byte>(alert)};
  std::array<std::byte, 2 + kRecordOverhead> record;
  const std::size_t size =
      write_keys_->seal(RecordType::kAlert, content.data(), content.size(), record.data());
  output_.append(reinterpret_cast<const char*>(record.data()), size);
  fault_ = why;
  return Step::kFailed;
}

TlsResumption::Step TlsResumption::take(std::string& input) {
  if (finished_.size() == kFinished) return Step::kDone;
  while (input.size() >= kRecordHeader) {
    const std::size_t size = static_cast<std::size_t>(static_cast<unsigned char>(input[3])) << 8 |
                             static_cast<unsigned char>(input[4]);
    if (size > kMostRecord - kRecordHeader) {
      return fail(kAlertUnexpected, "a record is too long");
    }
    if (input.size() < kRecordHeader + size) return Step::kMore;
    const std::string record = input.substr(0, kRecordHeader + size);
    input.erase(0, record.size());
    if (record[0] == 20 && size == 1 && record[5] == 1 && ++ignored_ <= kMostIgnored) continue;
    if (record[0] == 21) {
      fault_ = "the peer sent an alert";
      return Step::kFailed;
    }
    if (record[0] != 23) return fail(kAlertUnexpected, "a record that does not belong here");
    std::string content(record.size(), '\0');
    const auto opened = read_keys_->open(std::as_bytes(std::span(record)),
                                         reinterpret_cast<std::byte*>(content.data()));
    if (!opened) return fail(kAlertBadMac, "a record is not authentic");
    if (opened->type == static_cast<std::uint8_t>(RecordType::kAlert)) {
      fault_ = "the peer sent an alert";
      return Step::kFailed;
    }
    finished_ += std::string_view(content).substr(0, opened->size);
    if (opened->type != static_cast<std::uint8_t>(RecordType::kHandshake) || opened->size == 0 ||
        finished_.size() > kFinished || finished_[0] != kFinishedMessage) {
      return fail(kAlertUnexpected, "something else than Finished");
    }
    if (finished_.size() < kFinished) continue;
    if (!finished_.starts_with(std::string_view("\x14\0\0\x20", 4)) ||
        CRYPTO_memcmp(finished_.data() + kMessageHead, expected_.data(), expected_.size()) != 0) {
      return fail(kAlertDecryptError, "the peer's Finished is wrong");
    }
    if (sessions_) sessions_->put(next_);
    return Step::kDone;
  }
  return Step::kMore;
}

}  // namespace mizzen::io
