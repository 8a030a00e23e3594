// Which protocol a service port speaks, as Istio decides it: appProtocol, else the port name's
// prefix before '-', else well-known server-first ports, else detection by the proxy.
#pragma once

#include <cstdint>
#include <string_view>

namespace mizzen::control {

enum class Protocol : std::uint8_t {
  kDetect,  // the proxy looks at the first bytes
  kHttp,
  kHttp2,
  kGrpc,
  kGrpcWeb,
  kHttps,
  kTls,
  kTcp,
  kMongo,
  kMysql,
  kRedis,
  kUdp,  // not proxied
};

// The protocol that a name such as "http", "HTTP2" or "grpc-web" stands for; kDetect for an
// unknown name. Case does not matter.
Protocol parse_protocol(std::string_view name);

// Istio's spelling, upper case, as registryz shows it ("HTTP", "UnsupportedProtocol" for kDetect).
std::string_view to_string(Protocol protocol);

// `app_protocol` and `port_name` may be empty; `transport` is Kubernetes' "TCP", "UDP" or "SCTP".
Protocol select_protocol(std::string_view app_protocol, std::string_view port_name, int port,
                         std::string_view transport);

bool is_http(Protocol protocol);   // HTTP/1, HTTP/2 and gRPC in the clear
bool is_http2(Protocol protocol);  // HTTP/2 and gRPC
// Carried as bytes: routed by address (and SNI) alone.
bool is_tcp(Protocol protocol);
bool is_tls(Protocol protocol);  // routed by SNI

}  // namespace mizzen::control
