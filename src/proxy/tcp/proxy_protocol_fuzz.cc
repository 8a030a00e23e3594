// PROXY headers of versions 1 and 2, at once and byte by byte: the same verdict.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proxy/tcp/proxy_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mizzen::proxy;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ProxyHeader whole;
  const auto verdict = parse_proxy_header(text, whole);
  if (verdict == ProxyHeaderStatus::kDone && whole.size > size) std::abort();
  const std::size_t most = size < 256 ? size : 256;
  for (std::size_t i = 0; i < most; ++i) {
    ProxyHeader part;
    const auto early = parse_proxy_header(text.substr(0, i), part);
    if (early == ProxyHeaderStatus::kDone &&
        (verdict != ProxyHeaderStatus::kDone || part.size != whole.size)) {
      std::abort();
    }
    if (early == ProxyHeaderStatus::kInvalid && i > 0 && verdict == ProxyHeaderStatus::kDone) {
      std::abort();
    }
  }
  return 0;
}
