#include "cli/upgrade.h"

#include <fstream>

#include "http/websocket.h"

namespace mizzen::cli {

net::HeaderList authorization(const kube::Config& config) {
  std::string token = config.token;
  if (!config.token_file.empty()) {
    token.clear();
    std::ifstream(config.token_file) >> token;
  }
  if (token.empty()) return {};
  return {{"authorization", "Bearer " + token}};
}

net::Request websocket_request(std::string target, std::string_view protocols,
                               const net::HeaderList& authorization) {
  net::Request request{.target = std::move(target)};
  request.headers = {{"connection", "Upgrade"},
                     {"upgrade", "websocket"},
                     {"sec-websocket-version", "13"},
                     {"sec-websocket-key", http::websocket::make_key()},
                     {"sec-websocket-protocol", std::string(protocols)}};
  request.headers.insert(request.headers.end(), authorization.begin(), authorization.end());
  return request;
}

}  // namespace mizzen::cli
