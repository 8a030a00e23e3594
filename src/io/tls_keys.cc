#include "io/tls_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "io/tls_schedule.h"

namespace mizzen::io {

// An expanded key, in a ring by time of use; `owner` is null for one that is free.
struct CipherSlot {
  std::optional<AeadContext> context;
  RecordKeys* owner = nullptr;
  CipherSlot* next = nullptr;
  CipherSlot* previous = nullptr;
};

// The slots of one thread. Whoever was not heard of for the longest loses its slot.
class CipherCache {
 public:
  static constexpr std::size_t kMost = 512;  // about 1 KB each

  CipherCache() { ring_.next = ring_.previous = &ring_; }
  CipherCache(const CipherCache&) = delete;
  ~CipherCache() {
    while (ring_.next != &ring_) {
      CipherSlot* slot = ring_.next;
      take_out(*slot);
      if (slot->owner != nullptr) slot->owner->slot_ = nullptr;
      delete slot;
    }
  }
  CipherSlot* acquire(RecordKeys& owner) {
    CipherSlot* slot = ring_.previous;
    if (slot == &ring_ || (slot->owner != nullptr && count_ < kMost)) {
      slot = new CipherSlot;
      ++count_;
    } else {
      take_out(*slot);
      if (slot->owner != nullptr) slot->owner->slot_ = nullptr;
    }
    slot->owner = &owner;
    put_in(*slot, *ring_.next);
    return slot;
  }
  void touch(CipherSlot& slot) {
    if (ring_.next == &slot) return;
    take_out(slot);
    put_in(slot, *ring_.next);
  }
  void release(CipherSlot& slot) {
    slot.owner = nullptr;
    take_out(slot);
    put_in(slot, ring_);  // the next to be taken
  }

 private:
  static void take_out(CipherSlot& slot) {
    slot.previous->next = slot.next;
    slot.next->previous = slot.previous;
  }
  static void put_in(CipherSlot& slot, CipherSlot& before) {
    slot.next = &before;
    slot.previous = before.previous;
    before.previous->next = &slot;
    before.previous = &slot;
  }

  CipherSlot ring_;
  std::size_t count_ = 0;
};

namespace {

CipherCache& cache() {
  thread_local CipherCache slots;
  return slots;
}

const Aead* implementation(RecordCipher cipher) {
  static const Aead kAes128("AES-128-GCM");
  static const Aead kAes256("AES-256-GCM");
  static const Aead kChacha("ChaCha20-Poly1305");
  switch (cipher) {
    case RecordCipher::kAes128Gcm:
      return &kAes128;
    case RecordCipher::kAes256Gcm:
      return &kAes256;
    case RecordCipher::kChacha20Poly1305:
      return &kChacha;
    case RecordCipher::kNone:
      break;
  }
  return nullptr;
}

std::size_t key_size(RecordCipher cipher) { return cipher == RecordCipher::kAes128Gcm ? 16 : 32; }

// HKDF-Expand-Label with an empty context (RFC 8446 7.1); never more than one block of the hash.
void expand(const TrafficSecret& secret, std::string_view label, unsigned char* to,
            std::size_t size) {
  if (secret.size == 32) {
    Bytes32 short_secret;
    std::memcpy(short_secret.data(), secret.bytes.data(), short_secret.size());
    expand_label(short_secret, label, {}, {to, size});
    OPENSSL_cleanse(short_secret.data(), short_secret.size());
    return;
  }
  std::array<unsigned char, 64> info;
  std::size_t used = 0;
  info[used++] = 0;
  info[used++] = static_cast<unsigned char>(size);
  constexpr std::string_view kPrefix = "tls13 ";
  info[used++] = static_cast<unsigned char>(kPrefix.size() + label.size());
  for (std::string_view part : {kPrefix, label}) {
    std::memcpy(info.data() + used, part.data(), part.size());
    used += part.size();
  }
  info[used++] = 0;  // the context's length
  info[used++] = 1;  // HKDF's block counter
  std::array<unsigned char, EVP_MAX_MD_SIZE> block{};
  unsigned block_size = 0;
  HMAC(EVP_sha384(), secret.bytes.data(), static_cast<int>(secret.size), info.data(), used,
       block.data(), &block_size);
  std::memcpy(to, block.data(), size);
  OPENSSL_cleanse(block.data(), block.size());
}

// So much is copied, so that the content and its type are ciphered in one call.
constexpr std::size_t kCopied = 2048;

const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}
unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

}  // namespace

RecordCipher record_cipher(std::uint16_t suite) {
  switch (suite) {
    case 0x1301:
      return RecordCipher::kAes128Gcm;
    case 0x1302:
      return RecordCipher::kAes256Gcm;
    case 0x1303:
      return RecordCipher::kChacha20Poly1305;
    default:
      return RecordCipher::kNone;
  }
}

RecordKeys::RecordKeys(RecordCipher cipher, const TrafficSecret& secret, std::uint64_t sequence,
                       bool seals)
    : secret_(secret), cipher_(cipher), seals_(seals), sequence_(sequence) {
  derive();
}

RecordKeys::~RecordKeys() {
  if (slot_ != nullptr) cache().release(*slot_);
  OPENSSL_cleanse(secret_.bytes.data(), secret_.bytes.size());
  OPENSSL_cleanse(key_.data(), key_.size());
}

void RecordKeys::derive() {
  expand(secret_, "key", key_.data(), key_size(cipher_));
  expand(secret_, "iv", iv_.data(), iv_.size());
}

void RecordKeys::update() {
  TrafficSecret next;
  next.size = secret_.size;
  expand(secret_, "traffic upd", next.bytes.data(), next.size);
  secret_ = next;
  OPENSSL_cleanse(next.bytes.data(), next.bytes.size());
  sequence_ = 0;
  derive();
  if (slot_ != nullptr) cache().release(*std::exchange(slot_, nullptr));
}

// What seals or opens the next record: has the expanded key, and the record's nonce; null when the
// cipher failed.
AeadContext* RecordKeys::ready() {
  std::array<unsigned char, 12> nonce = iv_;
  for (unsigned i = 0; i < 8; ++i) {
    nonce[11 - i] ^= static_cast<unsigned char>(sequence_ >> (8 * i));
  }
  ++sequence_;
  std::span<const unsigned char> key;
  if (slot_ == nullptr) {
    const Aead* cipher = implementation(cipher_);
    if (cipher == nullptr) return nullptr;
    slot_ = cache().acquire(*this);
    if (!slot_->context || &slot_->context->cipher() != cipher) slot_->context.emplace(*cipher);
    key = std::span(key_).first(key_size(cipher_));
  } else {
    cache().touch(*slot_);
  }
  return slot_->context->start(seals_, key, nonce) ? &*slot_->context : nullptr;
}

std::size_t RecordKeys::seal(RecordType type, const std::byte* content, std::size_t size,
                             std::byte* record) {
  const std::size_t inner = size + 1;
  const std::size_t length = inner + kRecordTag;
  record[0] = static_cast<std::byte>(RecordType::kData);
  record[1] = record[2] = std::byte{3};
  record[3] = static_cast<std::byte>(length >> 8);
  record[4] = static_cast<std::byte>(length & 0xff);
  AeadContext* context = ready();
  if (context == nullptr) return 0;
  std::byte* const body = record + kRecordHeader;
  bool sealed = context->authenticate({raw(record), kRecordHeader});
  if (content != body && size <= kCopied) {
    if (size > 0) std::memcpy(body, content, size);
  } else if (content != body) {
    sealed = sealed && context->apply(raw(body), raw(content), size);
    content = nullptr;
  }
  body[size] = static_cast<std::byte>(type);
  std::byte* const rest = content == nullptr ? body + size : body;
  std::byte* const tag = body + inner;
  sealed = sealed && context->apply(raw(rest), raw(rest), static_cast<std::size_t>(tag - rest)) &&
           context->tag(raw(tag));
  return sealed ? kRecordHeader + length : 0;
}

std::optional<RecordKeys::Opened> RecordKeys::open(std::span<const std::byte> record,
                                                   std::byte* to) {
  if (record.size() <= kRecordHeader + kRecordTag) return std::nullopt;
  const std::size_t inner = record.size() - kRecordHeader - kRecordTag;
  const std::byte* const body = record.data() + kRecordHeader;
  AeadContext* context = ready();
  if (context == nullptr) return std::nullopt;
  std::array<unsigned char, kRecordTag> tag;  // `to` may cover it
  std::memcpy(tag.data(), body + inner, tag.size());
  const bool opened = context->authenticate({raw(record.data()), kRecordHeader}) &&
                      context->apply(raw(to), raw(body), inner) && context->verify(tag.data());
  if (!opened) return std::nullopt;
  // Content, its type, padding of zeros (RFC 8446 5.4).
  std::size_t size = inner;
  while (size > 0 && to[size - 1] == std::byte{0}) --size;
  if (size == 0) return Opened{0, 0};
  return Opened{size - 1, static_cast<std::uint8_t>(to[size - 1])};
}

}  // namespace mizzen::io
