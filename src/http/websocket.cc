#include "http/websocket.h"

#include <array>
#include <bit>
#include <cstring>
#include <random>

#include "base/strings.h"

namespace mizzen::http::websocket {

namespace {

// SHA-1 (RFC 3174), for the handshake alone; no secrecy rests on it.
class Sha1 {
 public:
  static std::string of(std::string_view text) {
    Sha1 hash;
    std::string padded(text);
    padded.push_back(static_cast<char>(0x80));
    while (padded.size() % 64 != 56) padded.push_back('\0');
    const std::uint64_t bits = text.size() * 8;
    for (int shift = 56; shift >= 0; shift -= 8) {
      padded.push_back(static_cast<char>(bits >> shift));
    }
    for (std::size_t at = 0; at < padded.size(); at += 64) hash.block(padded.data() + at);
    std::string digest;
    for (std::uint32_t word : hash.state_) {
      for (int shift = 24; shift >= 0; shift -= 8)
        digest.push_back(static_cast<char>(word >> shift));
    }
    return digest;
  }

 private:
  void block(const char* bytes) {
    std::array<std::uint32_t, 80> w;
    for (std::size_t i = 0; i < 16; ++i) {
      w[i] = 0;
      for (std::size_t j = 0; j < 4; ++j) {
        w[i] = (w[i] << 8) | static_cast<unsigned char>(bytes[i * 4 + j]);
      }
    }
    for (std::size_t i = 16; i < 80; ++i) {
      w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    auto [a, b, c, d, e] = state_;
    for (std::size_t i = 0; i < 80; ++i) {
      std::uint32_t f;
      std::uint32_t k;
      if (i < 20) {
        f = (b & c) | (~b & d);
        k = 0x5a827999;
      } else if (i < 40) {
        f = b ^ c ^ d;
        k = 0x6ed9eba1;
      } else if (i < 60) {
        f = (b & c) | (b & d) | (c & d);
        k = 0x8f1bbcdc;
      } else {
        f = b ^ c ^ d;
        k = 0xca62c1d6;
      }
      const std::uint32_t next = std::rotl(a, 5) + f + e + k + w[i];
      e = d;
      d = c;
      c = std::rotl(b, 30);
      b = a;
      a = next;
    }
    state_[0] += a;
    state_[1] += b;
    state_[2] += c;
    state_[3] += d;
    state_[4] += e;
  }

  std::array<std::uint32_t, 5> state_{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
};

std::uint32_t random_word() {
  thread_local std::random_device device;
  return device();
}

void mask(char* bytes, std::size_t size, std::array<char, 4> key) {
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(bytes[i] ^ key[i % 4]);
}

bool is_control(Opcode opcode) { return static_cast<int>(opcode) >= 8; }

}  // namespace

std::string accept_key(std::string_view key) {
  return base64_encode(Sha1::of(std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
}

std::string make_key() {
  std::string bytes;
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t word = random_word();
    bytes.append(reinterpret_cast<const char*>(&word), 4);
  }
  return base64_encode(bytes);
}

void append_frame(std::string& to, Role role, Opcode opcode, std::string_view payload) {
  const int masked = role == Role::kClient ? 0x80 : 0;
  to.push_back(static_cast<char>(0x80 | static_cast<int>(opcode)));
  int length_bytes = 0;
  if (payload.size() < 126) {
    to.push_back(static_cast<char>(masked | static_cast<int>(payload.size())));
  } else if (payload.size() < 65536) {
    to.push_back(static_cast<char>(masked | 126));
    length_bytes = 2;
  } else {
    to.push_back(static_cast<char>(masked | 127));
    length_bytes = 8;
  }
  for (int i = length_bytes - 1; i >= 0; --i) {
    to.push_back(static_cast<char>(static_cast<std::uint64_t>(payload.size()) >> (8 * i)));
  }
  if (masked == 0) {
    to.append(payload);
    return;
  }
  const auto key = std::bit_cast<std::array<char, 4>>(random_word());
  to.append(key.data(), key.size());
  const std::size_t begin = to.size();
  to.append(payload);
  mask(to.data() + begin, payload.size(), key);
}

void append_close(std::string& to, Role role, std::uint16_t code, std::string_view reason) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code)};
  payload.append(reason.substr(0, 123));
  append_frame(to, role, Opcode::kClose, payload);
}

CloseReason parse_close(std::string_view payload) {
  if (payload.size() < 2) return {};
  const auto code = static_cast<std::uint16_t>((static_cast<unsigned char>(payload[0]) << 8) |
                                               static_cast<unsigned char>(payload[1]));
  return {code, payload.substr(2)};
}

struct Reader::Frame {
  Opcode opcode;
  bool last;
  std::string_view payload;  // unmasked, within input_
};

Status Reader::fail_with(std::uint16_t code, std::string_view message) {
  close_code_ = code;
  return fail(code == 1009 ? Code::kLimit : Code::kProtocol, std::string(message));
}

Result<std::optional<Reader::Frame>> Reader::next_frame() {
  const std::string_view rest = std::string_view(input_).substr(at_);
  if (rest.size() < 2) return std::nullopt;
  const auto first = static_cast<unsigned char>(rest[0]);
  const auto second = static_cast<unsigned char>(rest[1]);
  const auto opcode = static_cast<Opcode>(first & 0x0f);
  const auto refuse = [this](std::uint16_t code, std::string_view message) {
    return std::unexpected(fail_with(code, message).error());
  };
  if ((first & 0x70) != 0) return refuse(1002, "reserved bits are set");
  if ((first & 0x0f) > 10 || ((first & 0x0f) > 2 && (first & 0x0f) < 8)) {
    return refuse(1002, "unknown opcode");
  }
  if (((second & 0x80) != 0) != (role_ == Role::kServer)) {
    return refuse(1002, role_ == Role::kServer ? "frame without mask" : "masked frame");
  }
  std::uint64_t length = second & 0x7f;
  const std::size_t length_bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
  if (is_control(opcode) && (length_bytes != 0 || (first & 0x80) == 0)) {
    return refuse(1002, "control frame is too long or fragmented");
  }
  const std::size_t head = 2 + length_bytes + (role_ == Role::kServer ? 4 : 0);
  if (rest.size() < head) return std::nullopt;
  if (length_bytes > 0) {
    length = 0;
    for (std::size_t i = 0; i < length_bytes; ++i) {
      length = (length << 8) | static_cast<unsigned char>(rest[2 + i]);
    }
    if (length < (length_bytes == 2 ? 126U : 65536U)) return refuse(1002, "length is not minimal");
  }
  if (length > max_ || message_.size() + length > max_) return refuse(1009, "message is too large");
  if (rest.size() - head < length) return std::nullopt;
  char* payload = input_.data() + at_ + head;
  if (role_ == Role::kServer) {
    std::array<char, 4> key;
    std::memcpy(key.data(), payload - 4, 4);
    mask(payload, static_cast<std::size_t>(length), key);
  }
  at_ += head + static_cast<std::size_t>(length);
  return Frame{opcode, (first & 0x80) != 0, {payload, static_cast<std::size_t>(length)}};
}

Status Reader::take(const Frame& frame,
                    const std::function<void(Opcode, std::string_view)>& on_message) {
  if (is_control(frame.opcode)) {
    if (frame.opcode == Opcode::kClose && frame.payload.size() == 1) {
      return fail_with(1002, "close frame of one byte");
    }
    on_message(frame.opcode, frame.payload);
    return {};
  }
  if ((frame.opcode == Opcode::kContinuation) != fragmented_.has_value()) {
    return fail_with(1002, "continuation without start, or start within a message");
  }
  const Opcode opcode = fragmented_.value_or(frame.opcode);
  if (!frame.last) {
    fragmented_ = opcode;
    message_.append(frame.payload);
    return {};
  }
  std::string_view whole = frame.payload;
  if (fragmented_) {
    message_.append(frame.payload);
    whole = message_;
    fragmented_.reset();
  }
  if (opcode == Opcode::kText && !is_utf8(whole)) return fail_with(1007, "text is not UTF-8");
  on_message(opcode, whole);
  message_.clear();
  return {};
}

Status Reader::feed(std::string_view bytes,
                    const std::function<void(Opcode, std::string_view)>& on_message) {
  input_.append(bytes);
  while (true) {
    MIZZEN_TRY(auto frame, next_frame());
    if (!frame) break;
    MIZZEN_CHECKED(take(*frame, on_message));
  }
  input_.erase(0, at_);
  at_ = 0;
  return {};
}

}  // namespace mizzen::http::websocket
