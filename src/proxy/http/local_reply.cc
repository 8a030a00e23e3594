#include "proxy/http/local_reply.h"

#include <fmt/format.h>

#include "http/grpc.h"

namespace mizzen::proxy {
namespace {

constexpr std::uint32_t bit(Flag flag) { return static_cast<std::uint32_t>(flag); }

std::uint32_t flag_of(UpstreamFault fault) {
  switch (fault) {
    case UpstreamFault::kNoHealthyUpstream:
      return bit(Flag::kUH);
    case UpstreamFault::kOverflow:
      return bit(Flag::kUO);
    case UpstreamFault::kConnectFailure:
    case UpstreamFault::kConnectTimeout:
      return bit(Flag::kUF);
    case UpstreamFault::kConnectionTermination:
      return bit(Flag::kUC);
    case UpstreamFault::kRemoteReset:
    case UpstreamFault::kRemoteRefused:
      return bit(Flag::kUR);
    case UpstreamFault::kProtocolError:
      return bit(Flag::kUPE);
  }
  return 0;
}

}  // namespace

std::string_view reset_reason(UpstreamFault fault) {
  switch (fault) {
    case UpstreamFault::kNoHealthyUpstream:
      return "no healthy upstream";
    case UpstreamFault::kOverflow:
      return "overflow";
    case UpstreamFault::kConnectFailure:
      return "remote connection failure";
    case UpstreamFault::kConnectTimeout:
      return "connection timeout";
    case UpstreamFault::kConnectionTermination:
      return "connection termination";
    case UpstreamFault::kRemoteReset:
      return "remote reset";
    case UpstreamFault::kRemoteRefused:
      return "remote refused stream reset";
    case UpstreamFault::kProtocolError:
      return "protocol error";
  }
  return "unknown";
}

LocalReply reply_for(const UpstreamFailure& failure, bool retried) {
  LocalReply reply;
  reply.flags = flag_of(failure.fault);
  if (failure.fault == UpstreamFault::kNoHealthyUpstream) {
    reply.body = "no healthy upstream";
    reply.details = "no_healthy_upstream";
    return reply;
  }
  std::string_view reason = reset_reason(failure.fault);
  reply.status = failure.fault == UpstreamFault::kProtocolError ? 502 : 503;
  reply.overloaded = failure.fault == UpstreamFault::kOverflow;
  reply.body =
      fmt::format("upstream connect error or disconnect/reset before headers. {}reset reason: {}",
                  retried ? "retried and the latest " : "", reason);
  reply.details = fmt::format("upstream_reset_before_response_started{{{}", reason);
  if (!failure.transport_reason.empty()) {
    reply.body += fmt::format(", transport failure reason: {}", failure.transport_reason);
    reply.details += fmt::format("|{}", failure.transport_reason);
  }
  reply.details += '}';
  return reply;
}

std::string_view fill_local_reply(const LocalReply& reply, bool grpc, http::ResponseHead& head) {
  head.clear();
  if (reply.overloaded) head.headers.add_borrowed("x-envoy-overloaded", "true");
  if (grpc) {
    head.status = 200;
    head.headers.add_borrowed("content-type", "application/grpc");
    head.headers.add("grpc-status",
                     std::to_string(reply.grpc_status >= 0
                                        ? reply.grpc_status
                                        : static_cast<int>(http::grpc_code_of_http(reply.status))));
    if (!reply.body.empty())
      head.headers.add("grpc-message", http::grpc_message_encode(reply.body));
    return {};
  }
  head.status = reply.status;
  if (!reply.body.empty()) {
    head.headers.add("content-length", std::to_string(reply.body.size()));
    head.headers.add_borrowed("content-type", "text/plain");
  }
  return reply.body;
}

}  // namespace mizzen::proxy
