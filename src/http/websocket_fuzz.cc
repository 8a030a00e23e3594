#include <cstddef>
#include <cstdint>

#include "http/fuzz_inputs.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  mizzen::http::fuzz_websocket({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
