// Two small services: a greeting that tells its version, and an echo over plain TCP.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "samples/service.h"
#include "samples/wire.h"

namespace mizzen::samples {

// "Hello version: v1, instance: POD" on /hello; version from SERVICE_VERSION.
Handler helloworld();

// Answers each line with `prefix`, a space and the line, on every one of the ports.
Result<std::unique_ptr<TcpServer>> tcp_echo(io::Loop& loop, const std::vector<std::uint16_t>& ports,
                                            const std::string& prefix);

}  // namespace mizzen::samples
