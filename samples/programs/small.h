// Two small services: a greeting that tells its version, and an echo over plain TCP.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "service.h"

namespace mizzen::samples {

// "Hello version: v1, instance: POD" on /hello; version from SERVICE_VERSION.
Handler helloworld();

// Answers each line with `prefix`, a space and the line, on every one of the ports, until
// destroyed.
class TcpEcho {
 public:
  static Result<std::unique_ptr<TcpEcho>> listen(io::Loop& loop,
                                                 const std::vector<std::uint16_t>& ports,
                                                 std::string prefix);
  ~TcpEcho();

 private:
  struct State;
  explicit TcpEcho(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mizzen::samples
