// Resources of a hostile control plane, and bootstraps of a careless user: an error, never a crash.
// The first byte chooses the parser.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proxy/bootstrap/bootstrap.h"
#include "proxy/config/compile.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mizzen::proxy;
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  Warnings warnings;
  switch (data[0] % 7) {
    case 0:
      (void)compile_listener(bytes, &warnings);
      break;
    case 1:
      (void)compile_cluster(bytes, &warnings);
      break;
    case 2:
      (void)compile_routes(bytes, &warnings);
      break;
    case 3:
      (void)compile_endpoints(bytes, &warnings);
      break;
    case 4:
      (void)compile_secret(bytes, &warnings);
      break;
    case 5:
      (void)parse_bootstrap(bytes);
      break;
    default:
      (void)parse_downward(bytes);
  }
  return 0;
}
