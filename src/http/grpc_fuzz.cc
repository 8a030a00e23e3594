// What gRPC has of its own: message framing, timeouts, status text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "http/grpc.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mizzen::http;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto timeout = parse_grpc_timeout(text)) {
    const auto again = parse_grpc_timeout(format_grpc_timeout(*timeout));
    if (!again || *again < *timeout) std::abort();  // it rounds up
  }
  if (grpc_message_decode(grpc_message_encode(text)) != text) std::abort();
  (void)grpc_message_decode(text);
  GrpcReader reader(4096);
  for (std::size_t at = 0; at < size; at += 7) {
    const auto fed = reader.feed(text.substr(at, 7), [](std::string_view message) {
      if (message.size() > 4096) std::abort();
    });
    if (!fed) break;
  }
  return 0;
}
