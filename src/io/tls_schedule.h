// Internal to io: what TLS 1.3 derives with SHA-256 (RFC 5869, RFC 8446 7.1). The functions of
// OpenSSL's EVP look for an algorithm and allocate at each step, which costs ten times the hash.
#pragma once

#include <openssl/sha.h>

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace mizzen::io {

// A hash, a secret or a PSK.
using Bytes32 = std::array<unsigned char, 32>;

inline std::span<const unsigned char> raw_bytes(std::string_view text) {
  return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

// A hash that goes on: copies branch off.
class Sha256 {
 public:
  Sha256();
  void add(std::span<const unsigned char> bytes);
  void add(std::string_view bytes) { add(raw_bytes(bytes)); }
  Bytes32 digest() const;  // of what was added so far

 private:
  SHA256_CTX state_;
};

// HMAC with a key of at most 64 bytes; HKDF-Extract is this with the salt as key.
Bytes32 hmac_sha256(std::span<const unsigned char> key, std::span<const unsigned char> bytes);
// HKDF-Expand-Label: fills `to`, at most 32 bytes. `label` without "tls13 ", at most 20 bytes;
// `context` at most 32.
void expand_label(const Bytes32& secret, std::string_view label,
                  std::span<const unsigned char> context, std::span<unsigned char> to);
// Derive-Secret.
Bytes32 derive_secret(const Bytes32& secret, std::string_view label, const Bytes32& transcript);

}  // namespace mizzen::io
