// Internal to io: one direction of TLS 1.3 record protection (RFC 8446 5.2, 7.2, 7.3).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "io/aead.h"

namespace mizzen::io {

// RFC 8446 B.4.
enum class RecordCipher : std::uint8_t { kNone, kAes128Gcm, kAes256Gcm, kChacha20Poly1305 };

// Of a cipher suite's number (0x1301 and so on); kNone for one that is not ours.
RecordCipher record_cipher(std::uint16_t suite);

// A traffic secret, as long as the suite's hash.
struct TrafficSecret {
  std::array<unsigned char, 48> bytes{};
  std::size_t size = 0;  // 0: not known
};

// Types of records (RFC 8446 5.1).
enum class RecordType : std::uint8_t { kAlert = 21, kHandshake = 22, kData = 23 };

inline constexpr std::size_t kRecordHeader = 5;
inline constexpr std::size_t kMostContent = 16 * 1024;
// What a sealed record has beside its content: header, inner type, tag.
inline constexpr std::size_t kRecordOverhead = kRecordHeader + 1 + kRecordTag;
inline constexpr std::size_t kMostRecord = kRecordHeader + kMostContent + 256;

struct CipherSlot;

// Keys, nonce and record number. The expanded key lives in a slot that the thread's most recently
// used directions share, so that an idle connection owns nothing but these bytes. One thread.
class RecordKeys {
 public:
  // `sequence`: records that were protected by this secret already.
  RecordKeys(RecordCipher cipher, const TrafficSecret& secret, std::uint64_t sequence, bool seals);
  RecordKeys(const RecordKeys&) = delete;
  ~RecordKeys();

  // Writes one record of `size` content bytes to `record`, which has room for size +
  // kRecordOverhead; `content` may stand in its place already (record + kRecordHeader). Returns the
  // record's size; 0 when the cipher failed.
  std::size_t seal(RecordType type, const std::byte* content, std::size_t size, std::byte* record);
  struct Opened {
    std::size_t size = 0;  // of the content
    std::uint8_t type = 0;
  };
  // Opens a whole record into `to`, which has room for record.size() - kRecordHeader - kRecordTag
  // bytes and may be the record's own place. Nothing when the record is not authentic.
  std::optional<Opened> open(std::span<const std::byte> record, std::byte* to);
  // The next generation of keys (KeyUpdate).
  void update();
  std::uint64_t sequence() const { return sequence_; }

 private:
  friend class CipherCache;
  void derive();
  AeadContext* ready();

  TrafficSecret secret_;
  std::array<unsigned char, 32> key_{};
  std::array<unsigned char, 12> iv_{};
  RecordCipher cipher_;
  const bool seals_;
  std::uint64_t sequence_;
  CipherSlot* slot_ = nullptr;
};

}  // namespace mizzen::io
