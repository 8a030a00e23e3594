// SPDY frames of a client, as a port-forward or exec would read them.
#include <cstddef>
#include <cstdint>

#include "local/apiserver/spdy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  namespace spdy = mizzen::local::spdy;
  spdy::Events events;
  events.on_stream = [](std::uint32_t, const spdy::Headers& headers) {
    (void)spdy::header(headers, "streamtype");
  };
  events.on_data = [](std::uint32_t, std::string_view) {};
  events.on_end = [](std::uint32_t) {};
  events.on_reset = [](std::uint32_t) {};
  spdy::Session session(std::move(events), [](std::string_view) {});
  (void)session.feed({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
