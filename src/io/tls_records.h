// Internal to io: an open TLS 1.3 connection without OpenSSL's connection object (RFC 8446 4.6, 5,
// 6): records, alerts, key updates. It takes over when the handshake is done; what an idle
// connection owns is two sets of keys.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "io/stream.h"
#include "io/tls_keys.h"

namespace mizzen::io {

// What a handshake hands over. "Read" and "write" are ours; the counts are of records that the
// handshake's owner has read and written under these secrets.
struct TlsSecrets {
  RecordCipher cipher = RecordCipher::kNone;
  TrafficSecret read;
  TrafficSecret write;
  std::uint64_t records_read = 0;
  std::uint64_t records_written = 0;
};

class TlsRecords {
 public:
  // `input`: bytes taken from the stream underneath that nobody has looked at yet.
  TlsRecords(const TlsSecrets& secrets, std::string input);
  ~TlsRecords();

  // As Stream::read() and write(). kError without a fault() is the stream's underneath.
  IoResult read(Stream& under, std::span<std::byte> buffer);
  IoResult write(Stream& under, std::span<const iovec> pieces);
  // Passes on what the stream had no room for; kOk when nothing is left.
  IoStatus flush(Stream& under);
  // Sends close_notify; as flush().
  IoStatus close(Stream& under);
  // Whether read() has something to give or to tell whatever the stream underneath has.
  bool has_input() const;
  // New keys for what we send; `ask`: the peer is to change its own too. As flush().
  IoStatus update_keys(Stream& under, bool ask);
  std::string_view fault() const { return fault_; }

  // Records under one key before we change it ourselves (RFC 8446 5.5 allows AES-GCM 2^24.5).
  static constexpr std::uint64_t kMostRecords = std::uint64_t{1} << 24;

 private:
  struct Held;
  Held& held();
  void tidy();
  IoStatus send(Stream& under, RecordType type, std::string_view content);
  IoResult hand_out(std::span<std::byte> buffer);
  // Opens the records that `bytes` holds whole, as far as there is room; how much it has used.
  std::size_t open_all(Stream& under, std::span<std::byte> bytes, std::span<std::byte> to,
                       std::size_t* filled);
  void take(Stream& under, RecordKeys::Opened opened, std::span<const std::byte> content);
  void take_alert(std::span<const std::byte> content);
  void take_handshake(Stream& under, std::span<const std::byte> content);
  void break_off(Stream& under, unsigned alert, std::string_view why);

  RecordKeys read_keys_;
  RecordKeys write_keys_;
  std::unique_ptr<Held> held_;
  std::string_view fault_;         // a literal
  std::size_t reported_late_ = 0;  // bytes of the user's that are sealed and not yet passed on
  unsigned idle_records_ = 0;      // in a row that brought no data
  bool ended_ = false;             // close_notify came, or the stream's end
};

}  // namespace mizzen::io
