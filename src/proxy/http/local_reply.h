// Answers that the proxy gives itself, in Envoy's words: what a failed upstream means as status,
// body, response flag and details, and how any such answer looks to HTTP and to gRPC.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/facts.h"

namespace mizzen::proxy {

struct LocalReply {
  int status = 503;
  std::string body;
  std::string details;      // %RESPONSE_CODE_DETAILS%
  std::uint32_t flags = 0;  // of Flag
  int grpc_status = -1;     // for gRPC requests; below 0: as `status` maps
  bool overloaded = false;  // adds x-envoy-overloaded
};

// `retried`: this was not the first try.
LocalReply reply_for(const UpstreamFailure& failure, bool retried);

// "remote connection failure" as in "reset reason: ..."; static storage.
std::string_view reset_reason(UpstreamFault fault);

// Fills `head` for `reply`: content-length and content-type as Envoy orders them; for a gRPC
// request the status 200 with grpc-status and grpc-message and no body. Returns the body to send.
std::string_view fill_local_reply(const LocalReply& reply, bool grpc, http::ResponseHead& head);

}  // namespace mizzen::proxy
