#include "samples/stores/mysql_wire.h"

#include <fmt/format.h>
#include <openssl/sha.h>

namespace mizzen::samples::mysql {
namespace {

constexpr std::size_t kLongestPacket = 0xffffff - 1;
constexpr std::uint8_t kUtf8 = 33;
constexpr std::uint16_t kAutocommit = 2;
constexpr std::uint8_t kVarString = 253;
constexpr std::size_t kNonce = 20;

std::string sha1(std::string_view text) {
  std::string out(SHA_DIGEST_LENGTH, '\0');
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

}  // namespace

Result<std::optional<Packet>> take_packet(std::string& bytes) {
  if (bytes.size() < 4) return std::nullopt;
  Reader head(bytes);
  std::size_t length = head.integer(3);
  if (length > kLongestPacket) {
    return fail(Code::kLimit, "a packet of MySQL with more than 16 MiB - 1 bytes");
  }
  if (bytes.size() < 4 + length) return std::nullopt;
  Packet out{static_cast<std::uint8_t>(bytes[3]), bytes.substr(4, length)};
  bytes.erase(0, 4 + length);
  return out;
}

std::string packet(std::uint8_t sequence, std::string_view body) {
  std::string out;
  append_integer(out, body.size(), 3);
  append_integer(out, sequence, 1);
  return out.append(body);
}

std::uint64_t Reader::integer(unsigned count) {
  std::string_view from = bytes(count);
  std::uint64_t value = 0;
  for (std::size_t i = from.size(); i > 0; --i) {
    value = value << 8 | static_cast<unsigned char>(from[i - 1]);
  }
  return value;
}

std::uint64_t Reader::length() {
  std::uint64_t first = integer(1);
  if (first < 0xfb) return first;
  if (first == 0xfc) return integer(2);
  if (first == 0xfd) return integer(3);
  if (first == 0xfe) return integer(8);
  ok_ = false;
  return 0;
}

std::string_view Reader::bytes(std::size_t count) {
  if (count > left_.size()) {
    ok_ = false;
    left_ = {};
    return {};
  }
  std::string_view out = left_.substr(0, count);
  left_.remove_prefix(count);
  return out;
}

std::string_view Reader::text() { return bytes(length()); }

std::string_view Reader::until_zero() {
  std::size_t end = left_.find('\0');
  if (end == left_.npos) {
    ok_ = false;
    return {};
  }
  std::string_view out = bytes(end);
  bytes(1);
  return out;
}

void append_integer(std::string& to, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) to.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

void append_length(std::string& to, std::uint64_t value) {
  if (value < 0xfb) return append_integer(to, value, 1);
  unsigned width = value <= 0xffff ? 2 : value <= 0xffffff ? 3 : 8;
  append_integer(to, width == 2 ? 0xfc : width == 3 ? 0xfd : 0xfe, 1);
  append_integer(to, value, width);
}

void append_text(std::string& to, std::string_view text) {
  append_length(to, text.size());
  to.append(text);
}

std::string greeting(std::string_view nonce, std::uint32_t connection_id) {
  std::uint32_t capabilities =
      kConnectWithDb | kProtocol41 | kTransactions | kSecureConnection | kPluginAuth;
  std::string out = "\x0a";
  out.append("8.0.0-mizzen").push_back('\0');
  append_integer(out, connection_id, 4);
  out.append(nonce.substr(0, 8)).push_back('\0');
  append_integer(out, capabilities & 0xffff, 2);
  append_integer(out, kUtf8, 1);
  append_integer(out, kAutocommit, 2);
  append_integer(out, capabilities >> 16, 2);
  append_integer(out, kNonce + 1, 1);
  out.append(10, '\0').append(nonce.substr(8)).push_back('\0');
  out.append(kNativePassword).push_back('\0');
  return out;
}

Result<Greeting> parse_greeting(std::string_view body) {
  if (!body.empty() && static_cast<unsigned char>(body.front()) == 0xff) {
    return std::unexpected(error_of(body));
  }
  Reader reader(body);
  if (reader.integer(1) != 10) return fail(Code::kProtocol, "what greets is not MySQL");
  reader.until_zero();
  reader.bytes(4);
  Greeting out;
  out.nonce = reader.bytes(8);
  reader.bytes(1);
  out.capabilities = static_cast<std::uint32_t>(reader.integer(2));
  reader.bytes(3);
  out.capabilities |= static_cast<std::uint32_t>(reader.integer(2)) << 16;
  reader.bytes(11);
  out.nonce += reader.bytes(kNonce - 8);
  reader.bytes(1);
  if ((out.capabilities & kPluginAuth) != 0) out.plugin = reader.until_zero();
  if (!reader.ok()) return fail(Code::kProtocol, "MySQL's greeting is cut off");
  return out;
}

std::string login(const Login& login) {
  std::string out;
  append_integer(out, login.capabilities, 4);
  append_integer(out, kLongestPacket, 4);
  append_integer(out, kUtf8, 1);
  out.append(23, '\0').append(login.user).push_back('\0');
  append_text(out, login.proof);
  if ((login.capabilities & kConnectWithDb) != 0) out.append(login.database).push_back('\0');
  out.append(login.plugin).push_back('\0');
  return out;
}

Result<Login> parse_login(std::string_view body) {
  Reader reader(body);
  Login out;
  out.capabilities = static_cast<std::uint32_t>(reader.integer(4));
  if ((out.capabilities & kProtocol41) == 0 || (out.capabilities & kSecureConnection) == 0) {
    return fail(Code::kUnsupported, "clients older than MySQL 4.1 are not served");
  }
  reader.bytes(28);
  out.user = reader.until_zero();
  bool long_proof = (out.capabilities & kLengthEncodedAuth) != 0;
  out.proof = reader.bytes(long_proof ? reader.length() : reader.integer(1));
  if ((out.capabilities & kConnectWithDb) != 0) out.database = reader.until_zero();
  if ((out.capabilities & kPluginAuth) != 0) out.plugin = reader.until_zero();
  if (!reader.ok()) return fail(Code::kProtocol, "a login that is cut off");
  return out;
}

std::string native_proof(std::string_view password, std::string_view nonce) {
  if (password.empty()) return "";
  std::string once = sha1(password);
  std::string mask = sha1(std::string(nonce) + sha1(once));
  for (std::size_t i = 0; i < once.size(); ++i) once[i] = static_cast<char>(once[i] ^ mask[i]);
  return once;
}

std::string ok_packet(std::uint64_t affected_rows) {
  std::string out(1, '\0');
  append_length(out, affected_rows);
  append_length(out, 0);
  append_integer(out, kAutocommit, 2);
  append_integer(out, 0, 2);
  return out;
}

std::string eof_packet() {
  std::string out = "\xfe";
  append_integer(out, 0, 2);
  append_integer(out, kAutocommit, 2);
  return out;
}

std::string error_packet(std::uint16_t code, std::string_view state, std::string_view message) {
  std::string out = "\xff";
  append_integer(out, code, 2);
  return out.append("#").append(state.substr(0, 5)).append(message);
}

Error error_of(std::string_view body) {
  Reader reader(body);
  reader.bytes(1);
  std::uint64_t code = reader.integer(2);
  std::string_view message = reader.rest();
  if (message.starts_with('#') && message.size() >= 6) message.remove_prefix(6);
  return {.code = Code::kInvalid, .message = fmt::format("MySQL error {}: {}", code, message)};
}

std::string text_column(std::string_view table, std::string_view name) {
  std::string out;
  for (std::string_view text :
       {std::string_view("def"), std::string_view(""), table, table, name, name}) {
    append_text(out, text);
  }
  append_integer(out, 0x0c, 1);
  append_integer(out, kUtf8, 2);
  append_integer(out, 1024, 4);
  append_integer(out, kVarString, 1);
  append_integer(out, 0, 2);
  append_integer(out, 0, 1);
  append_integer(out, 0, 2);
  return out;
}

}  // namespace mizzen::samples::mysql
