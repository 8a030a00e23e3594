// gRPC-Web (grpc.io, PROTOCOL-WEB.md) as gRPC and back: what a browser can send, and trailers in
// the body, where it can read them. Binary and text (base64). Pure.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace mizzen::proxy {

// One exchange.
class GrpcWeb {
 public:
  // Makes `head` a gRPC request if it is a gRPC-Web one; null, and nothing changed, otherwise.
  static std::unique_ptr<GrpcWeb> accept(http::RequestHead& head);

  // The bytes of gRPC in a part of the request's body; nothing when it is no base64.
  std::optional<std::string> request_data(std::string_view bytes);
  // For the answer, local ones included. False: it is no gRPC, and stays as it is to its end.
  bool response_head(http::ResponseHead& head) const;
  std::string response_data(std::string_view bytes) const;
  // The frame that ends the body.
  std::string response_trailers(const http::Headers& trailers) const;

 private:
  GrpcWeb(bool text, std::string_view suffix) : text_(text), suffix_(suffix) {}

  bool text_;
  std::string suffix_;  // "", "+proto"
  std::string rest_;    // of base64: less than four characters
};

}  // namespace mizzen::proxy
