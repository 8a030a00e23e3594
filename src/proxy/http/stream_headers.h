// What happens to the headers of a request and of its response on their way through, as Envoy's
// connection manager and router do it. Functions over plain values; no I/O.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "proxy/facts.h"
#include "route/match.h"

namespace mizzen::proxy {

// Before routing: x-forwarded-for and -proto, x-envoy-external-address, x-request-id (`random`
// feeds a new one), the certificate header, internal headers of strangers removed. Sets `remote` to
// the address that counts as the client's.
void admit_request(http::RequestHead& head, const HttpSettings& settings,
                   const ConnectionInfo& connection, std::span<const std::uint64_t, 2> random,
                   io::Address& remote);

// Header operations of table, virtual host, route and weighted cluster, in Envoy's order.
void mutate_request(http::RequestHead& head, const route::Decision& decision,
                    const route::Table& table, const RequestInfo& info);
void mutate_response(http::Headers& headers, const route::Decision& decision,
                     const route::Table& table, const RequestInfo& info);

// server, date, via; the last touch of every response.
void finish_response(http::ResponseHead& head, const HttpSettings& settings, std::string_view date);

// access-control-* of a simple response to an allowed origin.
void add_cors_headers(http::Headers& headers, const route::Cors& cors, std::string_view origin);

// A UUID of version 4 (RFC 9562 5.4), kUuidSize characters at `to`.
inline constexpr std::size_t kUuidSize = 36;
void write_uuid(char* to, std::span<const std::uint64_t, 2> random);

// The value of a hash policy for this request, or nothing when no policy yields one. `cookie` is
// filled with a Set-Cookie to send when a cookie had to be made.
std::optional<std::uint64_t> request_hash(const std::vector<route::HashPolicy>& policies,
                                          const http::RequestHead& head, const io::Address& client,
                                          std::uint64_t random, std::string& cookie);

}  // namespace mizzen::proxy
