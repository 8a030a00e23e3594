// MySQL's client/server protocol, as far as text queries need it
// (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html): packets, the greeting,
// `mysql_native_password`, results.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mizzen::samples::mysql {

inline constexpr std::uint32_t kConnectWithDb = 0x8;
inline constexpr std::uint32_t kProtocol41 = 0x200;
inline constexpr std::uint32_t kTransactions = 0x2000;
inline constexpr std::uint32_t kSecureConnection = 0x8000;
inline constexpr std::uint32_t kPluginAuth = 0x80000;
inline constexpr std::uint32_t kLengthEncodedAuth = 0x200000;
inline constexpr std::string_view kNativePassword = "mysql_native_password";

enum Command : std::uint8_t { kQuit = 1, kInitDb = 2, kQuery = 3, kFieldList = 4, kPing = 14 };

struct Packet {
  std::uint8_t sequence = 0;
  std::string body;
};
// Takes one whole packet from the front of `bytes`. Errors: kLimit beyond 16 MiB - 1.
Result<std::optional<Packet>> take_packet(std::string& bytes);
std::string packet(std::uint8_t sequence, std::string_view body);

// Reads integers and strings from a packet; after a short read ok() is false and all is empty.
class Reader {
 public:
  explicit Reader(std::string_view body) : left_(body) {}
  std::uint64_t integer(unsigned bytes);  // little endian
  std::uint64_t length();                 // length-encoded integer
  std::string_view bytes(std::size_t count);
  std::string_view text();  // length-encoded string
  std::string_view until_zero();
  std::string_view rest() const { return left_; }
  bool ok() const { return ok_; }

 private:
  std::string_view left_;
  bool ok_ = true;
};

void append_integer(std::string& to, std::uint64_t value, unsigned bytes);
void append_length(std::string& to, std::uint64_t value);
void append_text(std::string& to, std::string_view text);  // length-encoded

struct Greeting {
  std::uint32_t capabilities = 0;
  std::string nonce;  // 20 bytes
  std::string plugin;
};
std::string greeting(std::string_view nonce, std::uint32_t connection_id);
Result<Greeting> parse_greeting(std::string_view body);

struct Login {
  std::uint32_t capabilities = 0;
  std::string user;
  std::string proof;
  std::string database;
  std::string plugin;
};
std::string login(const Login& login);
Result<Login> parse_login(std::string_view body);

// SHA1(password) xor SHA1(nonce + SHA1(SHA1(password))); "" for an empty password.
std::string native_proof(std::string_view password, std::string_view nonce);

std::string ok_packet(std::uint64_t affected_rows);
std::string eof_packet();
std::string error_packet(std::uint16_t code, std::string_view state, std::string_view message);
Error error_of(std::string_view body);  // of a packet that begins with 0xff
std::string text_column(std::string_view table, std::string_view name);

}  // namespace mizzen::samples::mysql
