// Tokens. The first byte chooses: a token as it comes; claims that are signed and read back; a
// signed token of which the next bytes damage one place: it is refused, or says what was signed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "pki/jwt.h"
#include "pki/key.h"

namespace {

using namespace mizzen::pki;

const PrivateKey& key_of(unsigned char choice) {
  static const PrivateKey kEc = *PrivateKey::generate_p256();
  static const PrivateKey kRsa = *PrivateKey::generate_rsa(2048);
  return (choice & 0x10) != 0 ? kRsa : kEc;
}

void damage(std::string_view input, const PrivateKey& key) {
  if (input.size() < 4) return;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(input[i]); };
  const std::string claims(input.substr(4));
  std::string token = *sign_jwt(claims, "k", key);
  const std::size_t at = (byte(0) << 8 | byte(1)) % token.size();
  if ((byte(2) & 1) != 0) {
    token.insert(at, 1, static_cast<char>(byte(3)));
  } else if ((byte(2) & 2) != 0) {
    token.erase(at, byte(3) % 64);
  } else {
    token[at] = static_cast<char>(byte(3));
  }
  const auto read = verify_jwt(token, key.public_key());
  if (read && *read != claims) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const PrivateKey& quick = key_of(0);  // to sign: with RSA it takes a hundred times longer
  switch (data[0] % 4) {
    case 0:
    case 1:
      if (verify_jwt(input, key_of(data[0]).public_key())) std::abort();  // nobody signed it
      break;
    case 2: {
      const auto token = sign_jwt(input, "k", quick);
      if (!token) std::abort();
      const auto read = verify_jwt(*token, quick.public_key());
      if (read ? *read != input : input.size() < 32 * 1024) std::abort();
      break;
    }
    default:
      damage(input, quick);
  }
  return 0;
}
