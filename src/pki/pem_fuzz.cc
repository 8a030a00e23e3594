#include <cstddef>
#include <cstdint>
#include <string_view>

#include "pki/certificate.h"
#include "pki/jwt.h"
#include "pki/key.h"
#include "pki/spiffe.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mizzen::pki;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto bundle = parse_bundle(text)) {
    for (const Certificate& certificate : *bundle) {
      certificate.names();
      certificate.subject();
      certificate.serial();
      certificate.not_after();
      certificate.is_ca();
    }
  }
  parse_request(text);
  parse_spiffe(text);
  static const PrivateKey kKey = *PrivateKey::generate_p256();
  verify_jwt(text, kKey.public_key());
  return 0;
}
