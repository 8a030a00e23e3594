// What the API looks like, for clients: /openapi/v2 and /openapi/v3, made from the schemas that
// requests are checked by. Internal to apiserver.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "local/apiserver/api.h"
#include "local/apiserver/types.h"

namespace mizzen::local {

// Keeps each document until the served kinds change. Loop thread only.
class OpenApi {
 public:
  explicit OpenApi(const Types& types) : types_(types) {}
  // Nothing when the request is for something else. v2 as JSON, or as protobuf
  // (openapi.v2.Document) where the client takes it, as kubectl does; v3 as JSON.
  std::optional<ApiResponse> answer(const ApiRequest& request);

 private:
  const std::string& document(const std::string& name);

  const Types& types_;
  std::map<std::string, std::string> documents_;
  std::uint64_t generation_ = 0;
};

// A JSON document of OpenAPI 2 as protobuf: what is needed of it by clients (openapi_v2.cc).
std::string encode_openapi_v2(const Json& document);

}  // namespace mizzen::local
