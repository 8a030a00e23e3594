#include <fmt/format.h>

#include "base/strings.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace mizzen::net {
namespace {

bool unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

}  // namespace

std::string url_decode(std::string_view text, bool plus) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    int high = i + 2 < text.size() && text[i] == '%' ? hex_value(text[i + 1]) : -1;
    int low = high >= 0 ? hex_value(text[i + 2]) : -1;
    if (low >= 0) {
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(plus && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

std::string url_encode(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (unreserved(c)) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string BaseUrl::authority() const {
  std::string name = host.find(':') == host.npos ? host : "[" + host + "]";
  bool usual = port == (tls ? 443 : 80) || port == 0;
  return usual ? name : fmt::format("{}:{}", name, port);
}

Result<BaseUrl> parse_base_url(std::string_view url) {
  auto bad = [url] {
    return fail(
        Code::kInvalid,
        fmt::format("\"{}\" is not http://host:port, https://host:port or unix:/path", url));
  };
  BaseUrl out;
  if (url.starts_with("unix:")) {
    out.unix_path = url.substr(5);
    out.host = "localhost";
    if (out.unix_path.empty()) return bad();
    return out;
  }
  out.tls = url.starts_with("https://");
  if (!out.tls && !url.starts_with("http://")) return bad();
  url.remove_prefix(out.tls ? 8 : 7);
  std::size_t slash = url.find('/');
  std::string_view authority = url.substr(0, slash);
  if (slash != url.npos) out.prefix = url.substr(slash);
  while (out.prefix.ends_with('/')) out.prefix.pop_back();
  std::string_view port;
  if (authority.starts_with('[')) {
    std::size_t close = authority.find(']');
    if (close == authority.npos) return bad();
    out.host = authority.substr(1, close - 1);
    std::string_view rest = authority.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return bad();
    if (!rest.empty()) port = rest.substr(1);
  } else {
    std::size_t colon = authority.find(':');
    out.host = authority.substr(0, colon);
    if (colon != authority.npos) port = authority.substr(colon + 1);
  }
  out.port = out.tls ? 443 : 80;
  if (!port.empty()) {
    auto number = parse_int<std::uint16_t>(port);
    if (!number) return bad();
    out.port = *number;
  }
  if (out.host.empty()) return bad();
  return out;
}

}  // namespace mizzen::net
