#include "proxy/http/stream_headers.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

#include "base/hash.h"
#include "base/strings.h"
#include "proxy/http/client_certificate.h"
#include "proxy/observe/access_log.h"

namespace mizzen::proxy {
namespace {

// Headers that steer a router; only our own configuration may set them.
constexpr std::string_view kInternalHeaders[] = {"x-envoy-retriable-status-codes",
                                                 "x-envoy-retriable-header-names",
                                                 "x-envoy-retry-on",
                                                 "x-envoy-retry-grpc-on",
                                                 "x-envoy-max-retries",
                                                 "x-envoy-upstream-alt-stat-name",
                                                 "x-envoy-upstream-rq-timeout-ms",
                                                 "x-envoy-upstream-rq-per-try-timeout-ms",
                                                 "x-envoy-upstream-rq-timeout-alt-response",
                                                 "x-envoy-expected-rq-timeout-ms",
                                                 "x-envoy-force-trace",
                                                 "x-envoy-ip-tags",
                                                 "x-envoy-original-url",
                                                 "x-envoy-hedge-on-per-try-timeout"};
constexpr std::string_view kEdgeHeaders[] = {
    "x-envoy-decorator-operation", "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node", "x-envoy-original-path"};

bool is_internal_header(std::string_view name, bool edge) {
  if (!name.starts_with("x-envoy-")) return false;
  for (std::string_view header : kInternalHeaders) {
    if (name == header) return true;
  }
  if (!edge) return false;
  for (std::string_view header : kEdgeHeaders) {
    if (name == header) return true;
  }
  return false;
}

// The n-th address from the end of x-forwarded-for; none when there are fewer.
io::Address forwarded_address(std::string_view list, std::size_t from_end) {
  auto parts = split(list, ',');
  if (from_end >= parts.size()) return {};
  std::string_view text = trim(parts[parts.size() - 1 - from_end]);
  auto address = io::Address::parse_ip(text, 0);
  return address ? *address : io::Address();
}

// Eight hexadecimal digits.
void write_hex(char* to, std::uint32_t value) {
  constexpr std::uint64_t kEach = 0x0101010101010101;
  std::uint64_t digits = value;  // to be spread, one to a byte
  digits = (digits << 16 | digits) & 0x0000ffff0000ffff;
  digits = (digits << 8 | digits) & 0x00ff00ff00ff00ff;
  digits = (digits << 4 | digits) & 0x0f0f0f0f0f0f0f0f;
  const std::uint64_t letters = (digits + 6 * kEach) >> 4 & kEach;
  digits = __builtin_bswap64(digits + '0' * kEach + letters * ('a' - '0' - 10));
  std::memcpy(to, &digits, sizeof digits);
}

}  // namespace

void write_uuid(char* to, std::span<const std::uint64_t, 2> random) {
  char digits[32];
  write_hex(digits, static_cast<std::uint32_t>(random[0] >> 32));
  write_hex(digits + 8, static_cast<std::uint32_t>((random[0] & 0xffff0fff) | 0x4000));
  write_hex(digits + 16, static_cast<std::uint32_t>((random[1] >> 32 & 0x3fffffff) | 0x80000000));
  write_hex(digits + 24, static_cast<std::uint32_t>(random[1]));
  const char* from = digits;
  for (const std::size_t group : {8, 4, 4, 4, 12}) {
    if (from != digits) *to++ = '-';
    std::memcpy(to, from, group);
    to += group;
    from += group;
  }
}

void admit_request(http::RequestHead& head, const HttpSettings& settings,
                   const ConnectionInfo& connection, std::span<const std::uint64_t, 2> random,
                   io::Address& remote) {
  http::Headers& headers = head.headers;
  remote = connection.remote;
  bool edge = settings.use_remote_address;
  auto forwarded = headers.joined("x-forwarded-for");
  if (edge) {
    if (settings.xff_trusted_hops > 0 && forwarded) {
      if (auto told = forwarded_address(*forwarded, settings.xff_trusted_hops - 1)) remote = told;
    }
    if (!settings.skip_xff_append && connection.remote.is_ip()) {
      std::string own = connection.remote.ip();
      headers.set("x-forwarded-for", forwarded ? *forwarded + "," + own : own);
    }
    if (settings.xff_trusted_hops == 0 || !headers.has("x-forwarded-proto")) {
      headers.set("x-forwarded-proto", connection.tls ? "https" : "http");
    }
    headers.set("x-envoy-external-address", remote.ip());
  } else {
    if (forwarded) {
      if (auto told = forwarded_address(*forwarded, settings.xff_trusted_hops)) remote = told;
    }
    if (!headers.has("x-forwarded-proto")) {
      // Between proxies TLS is the mesh's own; the request inside is what the client spoke.
      headers.add("x-forwarded-proto", connection.tls && !connection.mutual_tls ? "https" : "http");
    }
  }
  std::string_view scheme = headers.get_or("x-forwarded-proto", "http");
  if (scheme == "http" || scheme == "https") head.set_scheme(scheme);
  headers.remove_if(
      [&](const http::HeaderField& field) { return is_internal_header(field.name, edge); });
  bool fresh = edge && !settings.preserve_external_request_id;
  if (settings.generate_request_id && (fresh || !headers.has("x-request-id"))) {
    char id[kUuidSize];
    write_uuid(id, random);
    headers.set("x-request-id", {id, sizeof id});
  }
  forward_client_certificate(headers, settings, connection);
}

namespace {

std::string value_of(const route::HeaderValue& header, const RequestInfo& info) {
  if (!header.has_commands) return header.value;
  // Routes are few and the formats short: compiled at use, cached per thread by text.
  thread_local std::unordered_map<std::string, Format> cache;
  if (cache.size() > 4096) cache.clear();
  auto found = cache.find(header.value);
  if (found == cache.end()) {
    auto format = Format::compile(header.value);
    if (!format) return header.value;
    found = cache.emplace(header.value, std::move(*format)).first;
  }
  std::string out;
  found->second.append(out, info, true);
  return out;
}

void add_header(http::Headers& headers, const route::HeaderValue& header, const RequestInfo& info) {
  using Append = route::HeaderValue::Append;
  std::string value = value_of(header, info);
  if (value.empty() && !header.keep_empty) return;
  switch (header.append) {
    case Append::kAppend:
      headers.add(header.name, value);
      break;
    case Append::kAddIfAbsent:
      if (!headers.has(header.name)) headers.add(header.name, value);
      break;
    case Append::kOverwriteOrAdd:
      headers.set(header.name, value);
      break;
    case Append::kOverwriteIfExists:
      if (headers.has(header.name)) headers.set(header.name, value);
      break;
  }
}

void apply_request(http::RequestHead& head, const route::HeaderMutations& mutations,
                   const RequestInfo& info) {
  for (const std::string& name : mutations.request_remove) head.headers.remove(name);
  for (const route::HeaderValue& header : mutations.request_add) {
    if (header.name == ":authority" || header.name == "host") {
      head.set_authority(value_of(header, info));
    } else if (header.name == ":path") {
      head.set_path(value_of(header, info));
    } else if (header.name == ":method") {
      head.set_method(value_of(header, info));
    } else if (header.name == ":scheme") {
      head.set_scheme(value_of(header, info));
    } else {
      add_header(head.headers, header, info);
    }
  }
}

void apply_response(http::Headers& headers, const route::HeaderMutations& mutations,
                    const RequestInfo& info) {
  for (const std::string& name : mutations.response_remove) headers.remove(name);
  for (const route::HeaderValue& header : mutations.response_add) add_header(headers, header, info);
}

// The levels in the order in which they act: the most specific first, or last when it must win.
std::array<const route::HeaderMutations*, 4> levels(const route::Decision& decision,
                                                    const route::Table& table) {
  std::array<const route::HeaderMutations*, 4> out = {
      decision.weighted ? &decision.weighted->headers : nullptr,
      decision.route ? &decision.route->headers : nullptr,
      decision.host ? &decision.host->headers : nullptr, &table.headers};
  if (table.most_specific_mutations_win) std::swap(out[0], out[3]), std::swap(out[1], out[2]);
  return out;
}

}  // namespace

void mutate_request(http::RequestHead& head, const route::Decision& decision,
                    const route::Table& table, const RequestInfo& info) {
  for (const auto* level : levels(decision, table)) {
    if (level != nullptr && !level->empty()) apply_request(head, *level, info);
  }
}

void mutate_response(http::Headers& headers, const route::Decision& decision,
                     const route::Table& table, const RequestInfo& info) {
  for (const auto* level : levels(decision, table)) {
    if (level != nullptr && !level->empty()) apply_response(headers, *level, info);
  }
}

void finish_response(http::ResponseHead& head, const HttpSettings& settings,
                     std::string_view date) {
  using Server = HttpSettings::ServerHeader;
  if (!head.headers.has("date")) head.headers.add("date", date);
  bool has_server = head.headers.has("server");
  if (settings.server_header == Server::kOverwrite ||
      (settings.server_header == Server::kAppendIfAbsent && !has_server)) {
    head.headers.set("server", settings.server_name);
  }
  if (!settings.via.empty()) head.headers.add("via", settings.via);
}

void add_cors_headers(http::Headers& headers, const route::Cors& cors, std::string_view origin) {
  headers.set("access-control-allow-origin", origin);
  if (cors.allow_credentials.value_or(false)) {
    headers.set("access-control-allow-credentials", "true");
  }
  if (!cors.expose_headers.empty()) {
    headers.set("access-control-expose-headers", cors.expose_headers);
  }
}

namespace {

std::optional<std::string_view> cookie_value(const http::Headers& headers, std::string_view name) {
  for (const http::HeaderField& field : headers) {
    if (field.name != "cookie") continue;
    for (std::string_view part : split(field.value, ';')) {
      part = trim(part);
      auto equals = part.find('=');
      if (equals != std::string_view::npos && part.substr(0, equals) == name) {
        std::string_view value = part.substr(equals + 1);
        if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
          value = value.substr(1, value.size() - 2);
        }
        return value;
      }
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> one_hash(const route::HashPolicy& policy,
                                      const http::RequestHead& head, const io::Address& client,
                                      std::uint64_t random, std::string& cookie) {
  using Kind = route::HashPolicy::Kind;
  switch (policy.kind) {
    case Kind::kHeader: {
      if (policy.name == ":authority" || policy.name == "host") return xxh64(head.authority);
      if (policy.name == ":path") return xxh64(head.path);
      auto value = head.headers.get(policy.name);
      return value ? std::optional(xxh64(*value)) : std::nullopt;
    }
    case Kind::kCookie: {
      if (auto value = cookie_value(head.headers, policy.name)) return xxh64(*value);
      if (!policy.cookie_ttl) return std::nullopt;
      std::string made = fmt::format("{:016x}", random);
      cookie = fmt::format("{}=\"{}\"", policy.name, made);
      auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*policy.cookie_ttl).count();
      if (seconds > 0) cookie += fmt::format("; Max-Age={}", seconds);
      if (!policy.cookie_path.empty()) cookie += fmt::format("; Path={}", policy.cookie_path);
      cookie += policy.cookie_attributes;
      cookie += "; HttpOnly";
      return xxh64(made);
    }
    case Kind::kSourceIp:
      return client ? std::optional(xxh64(client.ip())) : std::nullopt;
    case Kind::kQueryParameter: {
      auto value = route::query_parameter(head.path, policy.name);
      return value ? std::optional(xxh64(*value)) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> request_hash(const std::vector<route::HashPolicy>& policies,
                                          const http::RequestHead& head, const io::Address& client,
                                          std::uint64_t random, std::string& cookie) {
  std::optional<std::uint64_t> hash;
  for (const route::HashPolicy& policy : policies) {
    auto value = one_hash(policy, head, client, random, cookie);
    if (!value) continue;
    // Several policies combine as Envoy's do: rotate, then mix in.
    hash = hash ? ((*hash << 1) | (*hash >> 63)) ^ *value : *value;
    if (policy.terminal) break;
  }
  return hash;
}

}  // namespace mizzen::proxy
