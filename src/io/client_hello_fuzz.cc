#include <cstddef>
#include <cstdint>

#include "io/tls.h"
#include "io/tls_resumption.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mizzen::io::ClientHello hello;
  mizzen::io::parse_client_hello({reinterpret_cast<const std::byte*>(data), size}, &hello);
  static const mizzen::io::TlsContextRef kContext = [] {
    auto made = std::make_shared<mizzen::io::TlsContext>();
    made->server_sessions = mizzen::io::make_server_sessions();
    made->resumes_x25519 = true;
    return made;
  }();
  std::string input(reinterpret_cast<const char*>(data), size);
  if (mizzen::io::TlsResumption::begin(*kContext, input, {})) __builtin_trap();
  return 0;
}
