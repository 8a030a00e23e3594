// SPDY/3.1 framing, the server's half, as far as kubectl's exec and port-forward use it
// (https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/): streams opened by the
// client, headers compressed with the protocol's dictionary. No flow control: kubectl's side has
// none, it neither sends WINDOW_UPDATE nor heeds it. Bytes in, events and bytes out.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mizzen::local::spdy {

using Headers = std::vector<std::pair<std::string, std::string>>;  // lower-case names

std::string_view header(const Headers& headers, std::string_view name);  // "" when absent

struct Events {
  std::function<void(std::uint32_t stream, const Headers& headers)>
      on_stream;  // answer with reply()
  std::function<void(std::uint32_t stream, std::string_view data)> on_data;
  std::function<void(std::uint32_t stream)> on_end;  // the client's half is over
  std::function<void(std::uint32_t stream)> on_reset;
};

class Session {
 public:
  // `send` takes bytes for the client.
  Session(Events events, std::function<void(std::string_view)> send);
  ~Session();
  Session(const Session&) = delete;

  // kProtocol or kLimit: close the connection.
  Status feed(std::string_view bytes);

  void reply(std::uint32_t stream, const Headers& headers = {});
  void data(std::uint32_t stream, std::string_view bytes);
  void end(std::uint32_t stream);  // our half of it
  void reset(std::uint32_t stream);

 private:
  struct Codec;

  Status on_frame(std::string_view frame);
  Status on_control(std::uint16_t type, std::uint8_t flags, std::string_view payload);
  Status on_syn_stream(std::uint8_t flags, std::string_view payload);
  void control(std::uint16_t type, std::uint8_t flags, std::string_view payload);

  Events events_;
  std::function<void(std::string_view)> send_;
  std::unique_ptr<Codec> codec_;
  std::string input_;
};

}  // namespace mizzen::local::spdy
