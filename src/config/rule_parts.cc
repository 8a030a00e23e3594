#include <arpa/inet.h>
#include <google/protobuf/duration.pb.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "config/rules.h"
#include "istio/networking.pb.h"
#include "object/kind.h"
#include "object/walker.h"

namespace mizzen::config {

std::string at(std::string_view path, std::string_view member) {
  return fmt::format("{}.{}", path, member);
}
std::string at(std::string_view path, std::string_view member, std::size_t index) {
  return fmt::format("{}.{}[{}]", path, member, index);
}

bool is_ip(std::string_view text) {
  unsigned char bytes[16];
  std::string copy(text);
  return inet_pton(AF_INET, copy.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, copy.c_str(), bytes) == 1;
}

bool is_cidr_or_ip(std::string_view text) {
  auto slash = text.find('/');
  if (slash == text.npos) return is_ip(text);
  auto bits = parse_int<int>(text.substr(slash + 1));
  std::string_view address = text.substr(0, slash);
  int most = address.find(':') == address.npos ? 32 : 128;
  return is_ip(address) && bits && *bits >= 0 && *bits <= most;
}

void check_host(Findings& out, const std::string& path, std::string_view host, bool wildcard) {
  if (host.empty()) return out.error(path, "is empty: write a host name such as reviews");
  if (host == "*" && wildcard) return;
  if (is_ip(host)) return;
  std::string_view rest = host;
  if (rest.starts_with("*.") && wildcard) rest.remove_prefix(2);
  if (rest.find("://") != rest.npos) {
    return out.error(path, "\"{}\" is a URL: write the host name alone", host);
  }
  if (auto colon = rest.rfind(':'); colon != rest.npos) {
    return out.error(path, "\"{}\" holds a port: write \"{}\" and give the port in its own field",
                     host, rest.substr(0, colon));
  }
  if (rest.ends_with('.')) rest.remove_suffix(1);
  for (std::string_view label : split(rest, '.')) {
    if (label.find('*') != label.npos) {
      return out.error(
          path, "\"{}\": a wildcard may only stand alone or in front, as in *.example.com", host);
    }
    std::string low = lower(label);
    std::replace(low.begin(), low.end(), '_', '-');
    if (!object::check_dns1123_label(low).empty()) {
      return out.error(path, "\"{}\" is not a host name: letters, digits, '-' and '.' only", host);
    }
  }
}

void check_destination_host(Findings& out, const std::string& path, std::string_view host) {
  if (host.empty())
    return out.error(path, "is empty: write the service's name, such as host: reviews");
  if (host == "*") return out.error(path, "\"*\" is no destination: write a service's name");
  check_host(out, path, host);
}

void check_port(Findings& out, const std::string& path, std::uint32_t port) {
  if (port < 1 || port > 65535)
    out.error(path, "{} is no port: write a number from 1 to 65535", port);
}

void check_regex(Findings& out, const std::string& path, const std::string& regex) {
  if (regex.empty())
    return out.error(path, "is empty: write a regular expression, or leave the match out");
  if (regex.size() > 1024) return out.error(path, "is longer than 1024 bytes");
  RE2::Options options;
  options.set_log_errors(false);
  RE2 compiled(regex, options);
  if (compiled.ok()) return;
  std::string hint;
  if (regex.find("(?=") != regex.npos || regex.find("(?!") != regex.npos ||
      regex.find("(?<") != regex.npos) {
    hint = "; RE2 has no look-ahead or look-behind";
  } else if (regex.starts_with('*')) {
    hint = fmt::format("; did you mean \".{}\"?", regex);
  } else if (compiled.error_code() == RE2::ErrorMissingBracket ||
             compiled.error_code() == RE2::ErrorMissingParen) {
    hint = "; to match the character itself put a backslash before it";
  }
  out.error(path, "\"{}\" is not an RE2 regular expression: {}{}", regex, compiled.error(), hint);
}

void check_percent(Findings& out, const std::string& path, double value) {
  if (value < 0 || value > 100)
    out.error(path, "{} is not a percentage: write a number from 0 to 100", value);
}

void check_duration(Findings& out, const std::string& path, const google::protobuf::Duration& value,
                    std::int64_t min_nanos) {
  std::int64_t nanos = value.seconds() * 1'000'000'000 + value.nanos();
  if (nanos < min_nanos) {
    out.error(path, "{} is too short: write at least {}", object::go_duration(nanos),
              object::go_duration(min_nanos));
  }
}

void check_export_to(Findings& out, const std::string& path, const std::string& value) {
  if (value == "*" || value == "." || value == "~") return;
  if (auto problem = object::check_dns1123_label(value); !problem.empty()) {
    out.error(
        path,
        "\"{}\" is not a namespace: write a namespace's name, \".\" for this one or \"*\" for all",
        value);
  }
}

void check_selector_labels(Findings& out, const std::string& path,
                           const object::StringMap& labels) {
  for (const auto& [key, value] : labels) {
    std::string where = fmt::format("{}[{}]", path, key);
    if (key.find('*') != key.npos || value.find('*') != value.npos) {
      out.error(where,
                "wildcards are not allowed in selectors: write the label as the pods carry it");
    } else if (auto problem = object::check_label_key(key); !problem.empty()) {
      out.error(where, "is not a label's name: {}", problem);
    } else if (auto wrong = object::check_label_value(value); !wrong.empty()) {
      out.error(where, "\"{}\" is not a label's value: {}", value, wrong);
    }
  }
}

void check_protocol(Findings& out, const std::string& path, std::string_view protocol) {
  static constexpr std::array<std::string_view, 13> kKnown = {
      "http", "http2", "https", "http_proxy", "grpc", "grpc-web", "tcp",
      "tls",  "mongo", "redis", "mysql",      "udp",  "hbone"};
  if (std::ranges::find(kKnown, lower(protocol)) == kKnown.end()) {
    out.error(path,
              "\"{}\" is not a protocol: write one of HTTP, HTTP2, HTTPS, GRPC, GRPC-WEB, TCP, "
              "TLS, MONGO",
              protocol);
  }
}

void check_pool(Findings& out, const std::string& path,
                const schema::ConnectionPoolSettings& pool) {
  auto whole = [&](std::string_view member, std::int64_t value) {
    if (value < 0)
      out.error(at(path, member), "{} is negative: write a positive number or leave it out", value);
  };
  if (!pool.has_http() && !pool.has_tcp()) {
    out.error(path, "is empty: write tcp or http settings in it, or leave it out");
  }
  const auto& tcp = pool.tcp();
  whole("tcp.maxConnections", tcp.max_connections());
  if (tcp.has_connect_timeout())
    check_duration(out, at(path, "tcp.connectTimeout"), tcp.connect_timeout());
  if (tcp.has_max_connection_duration()) {
    check_duration(out, at(path, "tcp.maxConnectionDuration"), tcp.max_connection_duration());
  }
  const auto& http = pool.http();
  whole("http.http1MaxPendingRequests", http.http1_max_pending_requests());
  whole("http.http2MaxRequests", http.http2_max_requests());
  whole("http.maxRequestsPerConnection", http.max_requests_per_connection());
  whole("http.maxRetries", http.max_retries());
  whole("http.maxConcurrentStreams", http.max_concurrent_streams());
  if (http.has_idle_timeout())
    check_duration(out, at(path, "http.idleTimeout"), http.idle_timeout());
  const auto& keep_alive = http.http2_keep_alive();
  if (keep_alive.has_timeout()) {
    check_duration(out, at(path, "http.http2KeepAlive.timeout"), keep_alive.timeout());
  } else if (http.has_http2_keep_alive()) {
    out.error(at(path, "http.http2KeepAlive.timeout"),
              "is needed: write how long an answer may take, such as 5s");
  }
  if (keep_alive.has_interval()) {
    check_duration(out, at(path, "http.http2KeepAlive.interval"), keep_alive.interval());
  }
  using Http = schema::ConnectionPoolSettings::HTTPSettings;
  if (http.use_client_protocol() && http.h2_upgrade_policy() == Http::UPGRADE) {
    out.error(at(path, "http.useClientProtocol"),
              "cannot stand with h2UpgradePolicy: UPGRADE: keep one of them");
  }
}

void check_namespaced_host(Findings& out, const std::string& path, std::string_view host,
                           bool namespace_needed) {
  auto slash = host.find('/');
  if (slash == host.npos) {
    if (namespace_needed) {
      return out.error(path,
                       "\"{}\" lacks its namespace: write \"./{}\", \"*/{}\" or \"a-namespace/{}\"",
                       host, host, host, host);
    }
    return check_host(out, path, host);
  }
  std::string_view ns = host.substr(0, slash);
  if (ns != "*" && ns != "." && ns != "~" && !object::check_dns1123_label(ns).empty()) {
    out.error(path, "\"{}\" is not a namespace: write its name, \".\" or \"*\" before the slash",
              ns);
  }
  check_host(out, path, host.substr(slash + 1));
}

bool valid_header_name(std::string_view name) {
  if (name.starts_with(':')) name.remove_prefix(1);  // pseudo headers may be matched
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

}  // namespace mizzen::config
