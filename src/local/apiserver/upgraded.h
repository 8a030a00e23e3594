// A connection after its upgrade: bytes as they are, or WebSocket messages.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "http/websocket.h"
#include "io/loop.h"
#include "io/stream.h"

namespace mizzen::local {

struct UpgradedEvents {
  std::function<void(std::string_view)> message;  // bytes as they come, or one message each
  std::function<void()> closed;                   // once; not after close()
  std::function<void()> drained;                  // buffered() fell to 0
};

// Keeps itself alive until the connection is closed, then lets go of its callbacks. Loop thread
// only.
class Upgraded final : public std::enable_shared_from_this<Upgraded>, private io::StreamHandler {
 public:
  static std::shared_ptr<Upgraded> make(io::Loop& loop, std::unique_ptr<io::Stream> stream,
                                        bool websocket);

  void start(UpgradedEvents events);
  void send(std::string_view bytes);  // takes all
  std::size_t buffered() const { return output_.size(); }
  void pause(bool paused);
  // Sends what is buffered (and a WebSocket close frame), then closes.
  void close();
  // Conversations of this process that are not over yet. Any thread.
  static std::size_t open();

 private:
  Upgraded(io::Loop& loop, std::unique_ptr<io::Stream> stream, bool websocket);
  void on_readable() override;
  void on_writable() override { flush(); }
  void on_error(const Error&) override { finish(); }
  void take(std::string_view bytes);
  void flush();
  void finish();

  io::Loop& loop_;
  std::unique_ptr<io::Stream> stream_;
  const bool websocket_;
  http::websocket::Reader reader_;
  UpgradedEvents events_;
  std::string output_;
  bool closing_ = false;
  bool lingering_ = false;
  bool closed_ = false;
  std::shared_ptr<Upgraded> self_;
};

}  // namespace mizzen::local
