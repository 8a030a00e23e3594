// A CONNECT that ends here (upgrade_configs with connect_config): its bytes go to a host of the
// cluster as they are, or to a listener of this proxy, and the answer to it is made here.
#pragma once

#include <expected>
#include <functional>
#include <memory>

#include "io/loop.h"
#include "proxy/upstream.h"

namespace mizzen::proxy {

class ConnectCall final : public UpstreamCall {
 public:
  // Dials; the answer, 200, is told when there is a connection. No event fires from inside.
  static std::expected<std::unique_ptr<UpstreamCall>, UpstreamFailure> dial(io::Loop& loop,
                                                                            Upstream& upstream,
                                                                            const UpstreamAsk& ask,
                                                                            UpstreamEvents& events);
  // Over a stream that is there already; `info` as it will be told.
  static std::unique_ptr<UpstreamCall> over(io::Loop& loop, std::unique_ptr<io::Stream> stream,
                                            UpstreamInfo info, UpstreamEvents& events);
  ~ConnectCall() override;

  void send_data(std::string_view data, bool end) override;
  void send_trailers(const http::Headers& trailers) override;  // dropped; ends the bytes
  std::size_t buffered() const override;
  void consumed(std::size_t bytes) override;
  void timed_out() override {}  // bytes have no answer to wait for

 private:
  class Pipe;
  explicit ConnectCall(std::unique_ptr<Pipe> pipe);
  std::unique_ptr<Pipe> pipe_;
};

}  // namespace mizzen::proxy
