#include "io/tls_records.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

namespace mizzen::io {
namespace {

constexpr std::size_t kBatch = 4;  // records that go out in one write
constexpr std::size_t kMostHandshake = 64 * 1024;
constexpr unsigned kMostIdleRecords = 32;  // as OpenSSL
constexpr std::byte kKeyUpdate{24};
constexpr std::byte kNewSessionTicket{4};

// RFC 8446 6.
constexpr unsigned kUnexpectedMessage = 10;
constexpr unsigned kBadRecordMac = 20;
constexpr unsigned kRecordOverflow = 22;
constexpr unsigned kDecodeError = 50;

using Buffer = std::array<std::byte, 64 * 1024 + kBatch * kRecordOverhead>;

// Room for records on their way, of this thread; streams may stand upon each other.
class Scratch {
 public:
  Scratch() {
    auto& spare = buffers();
    if (spare.empty()) {
      buffer_ = std::make_unique_for_overwrite<Buffer>();
    } else {
      buffer_ = std::move(spare.back());
      spare.pop_back();
    }
  }
  Scratch(const Scratch&) = delete;
  ~Scratch() { buffers().push_back(std::move(buffer_)); }
  Buffer& operator*() { return *buffer_; }

 private:
  static std::vector<std::unique_ptr<Buffer>>& buffers() {
    thread_local std::vector<std::unique_ptr<Buffer>> spare;
    return spare;
  }
  std::unique_ptr<Buffer> buffer_;
};

std::size_t body_size(std::span<const std::byte> header) {
  return static_cast<std::size_t>(header[3]) << 8 | static_cast<std::size_t>(header[4]);
}

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Walks over the bytes of several pieces.
class RecordCursor {
 public:
  explicit RecordCursor(std::span<const iovec> pieces) : pieces_(pieces) { skip(0); }
  void skip(std::size_t bytes) {
    offset_ += bytes;
    while (!pieces_.empty() && offset_ >= pieces_.front().iov_len) {
      offset_ -= pieces_.front().iov_len;
      pieces_ = pieces_.subspan(1);
    }
  }
  bool at_end() const { return pieces_.empty(); }
  // The next bytes, at most `most`: in their own place where they lie together, else copied to
  // `room`.
  std::span<const std::byte> next(std::size_t most, std::byte* room) {
    const std::byte* here = static_cast<const std::byte*>(pieces_.front().iov_base) + offset_;
    std::size_t size = std::min(pieces_.front().iov_len - offset_, most);
    if (size == most || pieces_.size() == 1) {
      skip(size);
      return {here, size};
    }
    for (size = 0; size < most && !at_end();) {
      const std::size_t part = std::min(pieces_.front().iov_len - offset_, most - size);
      std::memcpy(room + size, static_cast<const std::byte*>(pieces_.front().iov_base) + offset_,
                  part);
      size += part;
      skip(part);
    }
    return {room, size};
  }

 private:
  std::span<const iovec> pieces_;
  std::size_t offset_ = 0;
};

}  // namespace

// What there is only while something is under way.
struct TlsRecords::Held {
  std::string input;      // read from below, not opened yet
  std::string content;    // opened, its reader had no room
  std::string handshake;  // the beginning of a message
  std::string output;     // sealed, not passed on

  bool empty() const {
    return input.empty() && content.empty() && handshake.empty() && output.empty();
  }
};

TlsRecords::TlsRecords(const TlsSecrets& secrets, std::string input)
    : read_keys_(secrets.cipher, secrets.read, secrets.records_read, false),
      write_keys_(secrets.cipher, secrets.write, secrets.records_written, true) {
  if (!input.empty()) held().input = std::move(input);
}

TlsRecords::~TlsRecords() = default;

TlsRecords::Held& TlsRecords::held() {
  if (!held_) held_ = std::make_unique<Held>();
  return *held_;
}

void TlsRecords::tidy() {
  if (held_ && held_->empty()) held_.reset();
}

bool TlsRecords::has_input() const {
  if (ended_ || !fault_.empty()) return true;
  if (!held_) return false;
  if (!held_->content.empty()) return true;
  const std::string& input = held_->input;
  return input.size() >= kRecordHeader &&
         input.size() >= kRecordHeader + body_size(std::as_bytes(std::span(input)));
}

// --- Out -----------------------------------------------------------------------------------------

IoStatus TlsRecords::flush(Stream& under) {
  if (!held_ || held_->output.empty()) return IoStatus::kOk;
  std::string& output = held_->output;
  const IoResult put = under.write(output);
  if (put.status == IoStatus::kError) return put.status;
  output.erase(0, put.bytes);
  if (!output.empty()) return IoStatus::kWouldBlock;
  tidy();
  return IoStatus::kOk;
}

// One small record of our own, behind what waits already.
IoStatus TlsRecords::send(Stream& under, RecordType type, std::string_view content) {
  std::array<std::byte, 64> record;
  const std::size_t size = write_keys_.seal(
      type, reinterpret_cast<const std::byte*>(content.data()), content.size(), record.data());
  held().output.append(text(std::span(record).first(size)));
  return flush(under);
}

IoStatus TlsRecords::close(Stream& under) {
  constexpr std::string_view kCloseNotify("\x01\x00", 2);
  return send(under, RecordType::kAlert, kCloseNotify);
}

IoStatus TlsRecords::update_keys(Stream& under, bool ask) {
  const char message[5] = {static_cast<char>(kKeyUpdate), 0, 0, 1, ask ? '\1' : '\0'};
  const IoStatus status = send(under, RecordType::kHandshake, {message, sizeof message});
  write_keys_.update();
  return status;
}

IoResult TlsRecords::write(Stream& under, std::span<const iovec> pieces) {
  if (!fault_.empty()) return {0, IoStatus::kError};
  if (const IoStatus status = flush(under); status != IoStatus::kOk) return {0, status};
  // These bytes are offered again; they have gone meanwhile.
  std::size_t taken = std::exchange(reported_late_, 0);
  RecordCursor cursor(pieces);
  cursor.skip(taken);
  Scratch scratch;
  std::byte* const room = (*scratch).data();
  while (!cursor.at_end()) {
    if (write_keys_.sequence() >= kMostRecords) update_keys(under, false);
    std::array<std::size_t, kBatch> ends;      // of the sealed records
    std::array<std::size_t, kBatch> contents;  // of each
    std::size_t count = 0;
    std::size_t sealed = 0;
    for (; count < kBatch && !cursor.at_end(); ++count) {
      std::byte* const record = room + sealed;
      const auto content = cursor.next(kMostContent, record + kRecordHeader);
      const std::size_t size =
          write_keys_.seal(RecordType::kData, content.data(), content.size(), record);
      if (size == 0) {
        fault_ = "the cipher failed";
        return {0, IoStatus::kError};
      }
      sealed += size;
      ends[count] = sealed;
      contents[count] = content.size();
    }
    std::size_t sent = 0;
    if (!held_ || held_->output.empty()) {  // a key update may wait
      const IoResult put = under.write(text({room, sealed}));
      if (put.status == IoStatus::kError) return {0, put.status};
      sent = put.bytes;
    }
    std::size_t late = 0;
    for (std::size_t i = 0; i < count; ++i) (ends[i] <= sent ? taken : late) += contents[i];
    if (sent == sealed) continue;
    held().output.append(text({room + sent, sealed - sent}));
    reported_late_ = late;
    return {taken, taken > 0 ? IoStatus::kOk : IoStatus::kWouldBlock};
  }
  return {taken, IoStatus::kOk};
}

// --- In ------------------------------------------------------------------------------------------

IoResult TlsRecords::hand_out(std::span<std::byte> buffer) {
  std::string& content = held_->content;
  const std::size_t size = std::min(buffer.size(), content.size());
  std::memcpy(buffer.data(), content.data(), size);
  content.erase(0, size);
  if (content.empty()) std::string().swap(content);
  tidy();
  return {size, IoStatus::kOk};
}

IoResult TlsRecords::read(Stream& under, std::span<std::byte> buffer) {
  if (held_ && !held_->content.empty()) return hand_out(buffer);
  Scratch scratch;
  while (true) {
    if (!fault_.empty()) return {0, IoStatus::kError};
    if (ended_) return {0, IoStatus::kEof};
    std::size_t have = 0;
    if (held_ && !held_->input.empty()) {
      have = held_->input.size();
      std::memcpy((*scratch).data(), held_->input.data(), have);
      std::string().swap(held_->input);
      tidy();
    }
    // What is opened must find room, one record apart.
    const std::size_t most = std::clamp(buffer.size(), kMostRecord, (*scratch).size());
    IoResult got{0, IoStatus::kWouldBlock};
    if (have < most) got = under.read(std::span(*scratch).subspan(have, most - have));
    const auto bytes = std::span(*scratch).first(have + got.bytes);
    std::size_t filled = 0;
    const std::size_t used = open_all(under, bytes, buffer, &filled);
    if (used < bytes.size() && !ended_) held().input.assign(text(bytes.subspan(used)));
    if (filled > 0) return {filled, IoStatus::kOk};
    if (held_ && !held_->content.empty()) return hand_out(buffer);
    if (!fault_.empty() || ended_) continue;
    if (got.status == IoStatus::kEof) ended_ = true;  // as OpenSSL's IGNORE_UNEXPECTED_EOF
    if (got.status == IoStatus::kError) return got;
    if (got.status == IoStatus::kWouldBlock && used == 0) return got;
  }
}

std::size_t TlsRecords::open_all(Stream& under, std::span<std::byte> bytes, std::span<std::byte> to,
                                 std::size_t* filled) {
  std::size_t used = 0;
  while (fault_.empty() && !ended_ && bytes.size() - used >= kRecordHeader) {
    const auto rest = bytes.subspan(used);
    const std::size_t size = body_size(rest);
    if (rest[0] != static_cast<std::byte>(RecordType::kData)) {
      break_off(under, kUnexpectedMessage, "a record that is not protected");
      break;
    }
    if (size > kMostRecord - kRecordHeader) {
      break_off(under, kRecordOverflow, "a record is too long");
      break;
    }
    if (rest.size() < kRecordHeader + size) break;
    const auto record = rest.first(kRecordHeader + size);
    const bool fits = to.size() - *filled + kRecordTag >= size;
    if (!fits && *filled > 0) break;  // the next read() has room
    std::byte* const place = fits ? to.data() + *filled : record.data() + kRecordHeader;
    const auto opened = read_keys_.open(record, place);
    used += record.size();
    if (!opened) {
      break_off(under, kBadRecordMac, "a record is not authentic");
      break;
    }
    if (opened->size > kMostContent) {
      break_off(under, kRecordOverflow, "a record is too long");
      break;
    }
    const bool data = opened->type == static_cast<std::uint8_t>(RecordType::kData);
    const bool between = !held_ || held_->handshake.empty();
    if (!data || opened->size == 0 || !between) {
      take(under, *opened, {place, opened->size});
      continue;
    }
    idle_records_ = 0;
    if (fits) {
      *filled += opened->size;
      continue;
    }
    held().content.assign(text({place, opened->size}));
    break;
  }
  return used;
}

// All that is not data.
void TlsRecords::take(Stream& under, RecordKeys::Opened opened,
                      std::span<const std::byte> content) {
  if (++idle_records_ > kMostIdleRecords) {
    return break_off(under, kUnexpectedMessage, "too many records without data");
  }
  const auto type = static_cast<RecordType>(opened.type);
  const bool inside_message = held_ && !held_->handshake.empty();
  if (type == RecordType::kAlert && !inside_message) return take_alert(content);
  if (type == RecordType::kHandshake && !content.empty()) return take_handshake(under, content);
  if (type == RecordType::kData && !inside_message) return;  // empty
  break_off(under, kUnexpectedMessage, "a record of a type that does not belong here");
}

void TlsRecords::take_alert(std::span<const std::byte> content) {
  constexpr std::byte kClose{0};
  constexpr std::byte kUserCanceled{90};
  if (content.size() == 2 && content[1] == kClose) {
    ended_ = true;
  } else if (content.size() != 2 || content[1] != kUserCanceled) {
    fault_ = "the peer sent a fatal alert";
  }
}

void TlsRecords::take_handshake(Stream& under, std::span<const std::byte> content) {
  constexpr std::size_t kHeader = 4;
  std::string& kept = held().handshake;
  kept.append(text(content));
  while (kept.size() >= kHeader) {
    const auto bytes = std::as_bytes(std::span(kept));
    const std::size_t size = static_cast<std::size_t>(bytes[1]) << 16 |
                             static_cast<std::size_t>(bytes[2]) << 8 |
                             static_cast<std::size_t>(bytes[3]);
    if (size > kMostHandshake) return break_off(under, kDecodeError, "a message is too long");
    if (bytes[0] != kNewSessionTicket && bytes[0] != kKeyUpdate) {
      return break_off(under, kUnexpectedMessage, "an unexpected handshake message");
    }
    if (kept.size() < kHeader + size) break;
    if (bytes[0] == kKeyUpdate) {
      const std::byte asks = size == 1 ? bytes[kHeader] : std::byte{0xff};
      if (asks > std::byte{1}) return break_off(under, kDecodeError, "an invalid key update");
      if (kept.size() != kHeader + size) {
        return break_off(under, kUnexpectedMessage, "bytes behind a key update");
      }
      read_keys_.update();
      // One answer is enough for all that were asked for meanwhile (RFC 8446 4.6.3).
      if (asks == std::byte{1} && held_->output.empty()) update_keys(under, false);
    }
    // A ticket that comes this late is not kept: the connection has brought one before.
    kept.erase(0, kHeader + size);
  }
  if (kept.empty()) std::string().swap(kept);
  tidy();
}

void TlsRecords::break_off(Stream& under, unsigned alert, std::string_view why) {
  fault_ = why;
  const char message[2] = {2, static_cast<char>(alert)};
  send(under, RecordType::kAlert, {message, sizeof message});
}

}  // namespace mizzen::io
