#include "io/tls_schedule.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>

// SHA256_Update() and its like are deprecated, not gone: EVP's way to the same code costs more than
// the hash of a short message.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace mizzen::io {

Sha256::Sha256() { SHA256_Init(&state_); }

void Sha256::add(std::span<const unsigned char> bytes) {
  SHA256_Update(&state_, bytes.data(), bytes.size());
}

Bytes32 Sha256::digest() const {
  SHA256_CTX copy = state_;
  Bytes32 out;
  SHA256_Final(out.data(), &copy);
  return out;
}

Bytes32 hmac_sha256(std::span<const unsigned char> key, std::span<const unsigned char> bytes) {
  std::array<unsigned char, SHA256_CBLOCK> inner{};
  std::array<unsigned char, SHA256_CBLOCK> outer{};
  std::copy_n(key.begin(), std::min(key.size(), inner.size()), inner.begin());
  for (std::size_t i = 0; i < inner.size(); ++i) {
    outer[i] = inner[i] ^ 0x5c;
    inner[i] ^= 0x36;
  }
  Sha256 hash;
  hash.add(inner);
  hash.add(bytes);
  const Bytes32 first = hash.digest();
  Sha256 second;
  second.add(outer);
  second.add(first);
  OPENSSL_cleanse(inner.data(), inner.size());
  OPENSSL_cleanse(outer.data(), outer.size());
  return second.digest();
}

void expand_label(const Bytes32& secret, std::string_view label,
                  std::span<const unsigned char> context, std::span<unsigned char> to) {
  std::array<unsigned char, 80> info;
  std::size_t used = 0;
  const auto put = [&](std::span<const unsigned char> bytes) {
    std::memcpy(info.data() + used, bytes.data(), bytes.size());
    used += bytes.size();
  };
  constexpr std::string_view kPrefix = "tls13 ";
  info[used++] = 0;
  info[used++] = static_cast<unsigned char>(to.size());
  info[used++] = static_cast<unsigned char>(kPrefix.size() + label.size());
  put(raw_bytes(kPrefix));
  put(raw_bytes(label));
  info[used++] = static_cast<unsigned char>(context.size());
  if (!context.empty()) put(context);
  info[used++] = 1;  // HKDF's block counter
  Bytes32 block = hmac_sha256(secret, std::span(info).first(used));
  std::memcpy(to.data(), block.data(), to.size());
  OPENSSL_cleanse(block.data(), block.size());
}

Bytes32 derive_secret(const Bytes32& secret, std::string_view label, const Bytes32& transcript) {
  Bytes32 out;
  expand_label(secret, label, transcript, out);
  return out;
}

}  // namespace mizzen::io

#pragma GCC diagnostic pop
