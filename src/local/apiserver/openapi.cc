// /openapi/v2 and /openapi/v3.
#include "local/apiserver/parts.h"

namespace mizzen::local {

std::optional<ApiResponse> openapi(const Types&, const ApiRequest& request) {
  if (request.path == "/openapi/v2") {
    // An empty document: clients leave validation to the server, which does it on every write.
    ApiResponse response;
    if (request.accept.find("protobuf") != std::string::npos) {
      response.content_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
      return response;
    }
    return json_response({{"swagger", "2.0"},
                          {"info", {{"title", "Mizzen local cluster"}, {"version", "v1.32.0"}}},
                          {"paths", Json::object()},
                          {"definitions", Json::object()}});
  }
  if (request.path.starts_with("/openapi/v3")) return path_not_found();
  return std::nullopt;
}

}  // namespace mizzen::local
