// Texts from outside: paths, access log formats, peer metadata.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/http/grpc_web.h"
#include "proxy/http/path.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/peer_metadata.h"

using namespace mizzen::proxy;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  HttpSettings settings;
  settings.normalize_path = (data[0] & 1) != 0;
  settings.merge_slashes = (data[0] & 2) != 0;
  settings.escaped_slashes = static_cast<HttpSettings::EscapedSlashes>((data[0] >> 2) & 3);
  std::string once, twice;
  if (normalize_path(text, settings, once) == PathVerdict::kChanged &&
      normalize_path(once, settings, twice) == PathVerdict::kRefuse) {
    std::abort();  // what we made must be acceptable
  }
  if (auto format = Format::compile(text)) {
    ConnectionInfo connection;
    RequestInfo request;
    request.connection = &connection;
    std::string line;
    format->append(line, request);
  }
  parse_peer_metadata(text);
  mizzen::http::RequestHead head;
  head.headers.add("content-type", "application/grpc-web-text");
  auto web = GrpcWeb::accept(head);
  for (std::size_t at = 0; at < text.size(); at += 5) {
    if (!web->request_data(std::string_view(text).substr(at, 5))) break;
  }
  return 0;
}
