#include <cstddef>
#include <cstdint>

#include "io/tls.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mizzen::io::ClientHello hello;
  mizzen::io::parse_client_hello({reinterpret_cast<const std::byte*>(data), size}, &hello);
  return 0;
}
