#include "control/mesh/protocol.h"

#include <array>
#include <string>
#include <utility>

#include "base/strings.h"

namespace mizzen::control {
namespace {

constexpr std::array<std::pair<std::string_view, Protocol>, 16> kNames{{
    {"http", Protocol::kHttp},
    {"http2", Protocol::kHttp2},
    {"h2c", Protocol::kHttp2},
    {"kubernetes.io/h2c", Protocol::kHttp2},
    {"kubernetes.io/ws", Protocol::kHttp},
    {"kubernetes.io/wss", Protocol::kHttps},
    {"grpc", Protocol::kGrpc},
    {"grpc-web", Protocol::kGrpcWeb},
    {"https", Protocol::kHttps},
    {"tls", Protocol::kTls},
    {"tcp", Protocol::kTcp},
    {"mongo", Protocol::kMongo},
    {"mysql", Protocol::kMysql},
    {"redis", Protocol::kRedis},
    {"udp", Protocol::kUdp},
    {"hbone", Protocol::kTcp},
}};

}  // namespace

Protocol parse_protocol(std::string_view name) {
  for (const auto& [known, protocol] : kNames) {
    if (equals_ignore_case(known, name)) return protocol;
  }
  return Protocol::kDetect;
}

std::string_view to_string(Protocol protocol) {
  switch (protocol) {
    case Protocol::kDetect:
      return "UnsupportedProtocol";
    case Protocol::kHttp:
      return "HTTP";
    case Protocol::kHttp2:
      return "HTTP2";
    case Protocol::kGrpc:
      return "GRPC";
    case Protocol::kGrpcWeb:
      return "GRPC-Web";
    case Protocol::kHttps:
      return "HTTPS";
    case Protocol::kTls:
      return "TLS";
    case Protocol::kTcp:
      return "TCP";
    case Protocol::kMongo:
      return "Mongo";
    case Protocol::kMysql:
      return "MySQL";
    case Protocol::kRedis:
      return "Redis";
    case Protocol::kUdp:
      return "UDP";
  }
  return "";
}

Protocol select_protocol(std::string_view app_protocol, std::string_view port_name, int port,
                         std::string_view transport) {
  if (equals_ignore_case(transport, "UDP") || equals_ignore_case(transport, "SCTP")) {
    return Protocol::kUdp;
  }
  if (!app_protocol.empty()) {
    const Protocol named = parse_protocol(app_protocol);
    if (named != Protocol::kDetect) return named;
  }
  const std::string_view prefix = port_name.substr(0, port_name.find('-'));
  // "grpc-web" and "grpc-web-x" are the one name whose prefix holds a dash.
  if (equals_ignore_case(prefix, "grpc") && port_name.size() >= 8 &&
      equals_ignore_case(port_name.substr(0, 8), "grpc-web") &&
      (port_name.size() == 8 || port_name[8] == '-')) {
    return Protocol::kGrpcWeb;
  }
  const Protocol named = parse_protocol(prefix);
  if (named != Protocol::kDetect) return named == Protocol::kUdp ? Protocol::kTcp : named;
  // Servers that speak first, where looking at the client's bytes would wait for ever.
  switch (port) {
    case 25:
    case 53:
    case 3306:
    case 27017:
      return Protocol::kTcp;
    default:
      return Protocol::kDetect;
  }
}

bool is_http(Protocol protocol) {
  return protocol == Protocol::kHttp || protocol == Protocol::kGrpcWeb || is_http2(protocol);
}

bool is_http2(Protocol protocol) {
  return protocol == Protocol::kHttp2 || protocol == Protocol::kGrpc;
}

bool is_tcp(Protocol protocol) {
  return protocol != Protocol::kDetect && protocol != Protocol::kUdp && !is_http(protocol);
}

bool is_tls(Protocol protocol) {
  return protocol == Protocol::kHttps || protocol == Protocol::kTls;
}

}  // namespace mizzen::control
