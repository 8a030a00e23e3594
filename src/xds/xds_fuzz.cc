// Messages of a hostile peer: whatever the bytes, the machines answer with an error or go on.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "api/names.h"
#include "xds/client.h"
#include "xds/server.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  mizzen::xds::DeltaServer server("f");
  auto world = std::make_shared<mizzen::xds::World>();
  auto map = std::make_shared<mizzen::xds::ResourceMap>();
  (*map)["a"] = std::make_shared<mizzen::xds::Resource>(mizzen::xds::Resource{"a", "1", "b", "a"});
  world->types[std::string(mizzen::api::kClusterType)] = map;
  server.offer(world);
  // Two messages: the input cut in half.
  for (auto part : {bytes.substr(0, size / 2), bytes.substr(size / 2)}) {
    if (server.receive(part)) {
      while (server.next()) {
      }
    }
  }
  mizzen::xds::DeltaClient client("");
  client.subscribe_all(mizzen::api::kClusterType);
  client.on_open();
  if (auto update = client.receive(bytes)) client.answer(*update, {});
  while (client.next()) {
  }
  return 0;
}
