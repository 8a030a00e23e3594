#include "samples/httpbin.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "base/strings.h"

namespace mizzen::samples {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxBytes = 10 * 1024 * 1024;
constexpr double kMaxDelaySeconds = 60;

std::string canonical(std::string_view name) {  // "x-request-id" to "X-Request-Id"
  std::string out(name);
  bool start = true;
  for (char& c : out) {
    if (start && c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    start = c == '-';
  }
  return out;
}

// Lists of values by sorted name.
Json lists(const std::map<std::string, std::vector<std::string>>& values) {
  Json out = Json::object();
  for (const auto& [name, list] : values) out[name] = list;
  return out;
}

Json headers_json(const Call& call) {
  std::map<std::string, std::vector<std::string>> values;
  values["Host"] = {call.authority};
  for (const auto& [name, value] : call.headers) {
    if (name != "host") values[canonical(name)].push_back(value);
  }
  return lists(values);
}

std::map<std::string, std::vector<std::string>> query_values(std::string_view query) {
  std::map<std::string, std::vector<std::string>> values;
  if (query.empty()) return values;
  for (std::string_view pair : split(query, '&')) {
    std::size_t equals = pair.find('=');
    std::string_view value = equals == pair.npos ? "" : pair.substr(equals + 1);
    values[percent_decode(pair.substr(0, equals))].push_back(percent_decode(value));
  }
  return values;
}

// The client as a chain of proxies reports it, or else the peer.
std::string origin(const Call& call) {
  std::string_view forwarded = call.header("x-forwarded-for");
  return forwarded.empty() ? call.peer : std::string(trim(split(forwarded, ',').front()));
}

std::string url(const Call& call) {
  std::string_view forwarded = call.header("x-forwarded-proto");
  std::string out = fmt::format("{}://{}{}", forwarded.empty() ? call.scheme : forwarded,
                                call.authority, call.path);
  return call.query.empty() ? out : out + "?" + call.query;
}

Json echo(const Call& call) {
  return {{"args", lists(query_values(call.query))},
          {"headers", headers_json(call)},
          {"method", call.method},
          {"origin", origin(call)},
          {"url", url(call)}};
}

Json echo_with_body(const Call& call) {
  Json out = echo(call);
  out["data"] = call.body;
  out["files"] = Json::object();
  bool form = call.header("content-type").starts_with("application/x-www-form-urlencoded");
  out["form"] = form ? lists(query_values(call.body)) : Json::object();
  Json body = Json::parse(call.body, nullptr, false);
  out["json"] = body.is_discarded() ? Json(nullptr) : body;
  return out;
}

Reply pretty(const Json& value) {
  return json(200, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

Reply status_reply(int code) {
  if (code < 200 || code > 599) return text(400, fmt::format("invalid status code: {}\n", code));
  Reply reply = text(code, "");
  if (code >= 301 && code <= 308 && code != 304) {
    reply.headers.emplace_back("location", "/redirect/1");
  }
  if (code == 401) reply.headers.emplace_back("www-authenticate", "Basic realm=\"Fake Realm\"");
  return reply;
}

class Httpbin {
 public:
  explicit Httpbin(Service& service) : service_(service), random_(std::random_device{}()) {}

  void handle(const Call& call, const Answer& answer) {
    std::vector<std::string_view> parts = split(std::string_view(call.path).substr(1), '/');
    std::string_view first = parts[0];
    std::string_view second = parts.size() > 1 ? parts[1] : "";
    if (first == "delay") return delay(call, second, answer);
    if (first == "status") return answer(status(second));
    if (std::optional<Reply> reply = plain(call, first)) return answer(std::move(*reply));
    if (std::optional<Reply> reply = with_argument(call, first, second, parts)) {
      return answer(std::move(*reply));
    }
    answer(json(404, R"({"status_code":404,"error":"Not Found"})"));
  }

 private:
  std::optional<Reply> plain(const Call& call, std::string_view page) {
    if (page.empty()) return html("<!DOCTYPE html><title>httpbin</title><h1>httpbin</h1>\n");
    if (page == "get" || page == "head") return pretty(echo(call));
    if (page == "post" || page == "put" || page == "patch" || page == "delete" ||
        page == "anything") {
      if (page != "anything" && !equals_ignore_case(page, call.method)) {
        return json(405, R"({"status_code":405,"error":"Method Not Allowed"})");
      }
      return pretty(echo_with_body(call));
    }
    if (page == "headers") return pretty({{"headers", headers_json(call)}});
    if (page == "ip") return pretty({{"origin", origin(call)}});
    if (page == "user-agent") {
      return pretty({{"user-agent", std::string(call.header("user-agent"))}});
    }
    if (page == "hostname") return pretty({{"hostname", env_or("HOSTNAME", "")}});
    if (page == "uuid") return pretty({{"uuid", uuid()}});
    if (page == "json") return pretty({{"slideshow", {{"title", "Sample Slide Show"}}}});
    if (page == "html") return html("<!DOCTYPE html><html><body><h1>A page</h1></body></html>\n");
    if (page == "robots.txt") return text(200, "User-agent: *\nDisallow: /deny\n");
    if (page == "deny") return text(200, "You should not be here.\n");
    if (page == "bearer") return bearer(call);
    if (page == "response-headers") return response_headers(call);
    if (page == "redirect-to") {
      int code = parse_int<int>(call.query_value("status_code")).value_or(302);
      if (code < 300 || code > 399) return text(400, "status_code must be 3xx\n");
      return Reply{code, {{"location", call.query_value("url")}}, ""};
    }
    return std::nullopt;
  }

  std::optional<Reply> with_argument(const Call& call, std::string_view page,
                                     std::string_view argument,
                                     const std::vector<std::string_view>& parts) {
    if (page == "cookies") return cookies(call, argument);
    if (page == "cache") {
      bool fresh = call.header("if-none-match").empty() && call.header("if-modified-since").empty();
      return fresh || !argument.empty() ? pretty(echo(call)) : Reply{304, {}, ""};
    }
    if (page == "etag") {
      std::string tag = fmt::format("\"{}\"", argument);
      if (call.header("if-none-match") == tag) return Reply{304, {{"etag", tag}}, ""};
      Reply reply = pretty(echo(call));
      reply.headers.emplace_back("etag", tag);
      return reply;
    }
    if (page == "base64") {
      std::string_view encoded = parts.back();
      std::optional<std::string> decoded = base64_decode(encoded);
      return decoded ? text(200, *decoded) : text(400, "invalid base64\n");
    }
    if (page == "basic-auth" && parts.size() == 3) return basic_auth(call, parts[1], parts[2]);
    std::optional<std::size_t> count = parse_int<std::size_t>(argument);
    if (!count) return std::nullopt;
    if (page == "bytes") return bytes(std::min(*count, kMaxBytes));
    if (page == "stream") return stream(call, std::min<std::size_t>(*count, 100));
    if (page == "redirect" || page == "relative-redirect") {
      std::string next = *count > 1 ? fmt::format("/{}/{}", page, *count - 1) : "/get";
      return Reply{302, {{"location", next}}, ""};
    }
    return std::nullopt;
  }

  void delay(const Call& call, std::string_view argument, const Answer& answer) {
    double seconds = 0;
    std::string whole(argument);
    char* end = nullptr;
    seconds = std::strtod(whole.c_str(), &end);
    if (whole.empty() || *end != '\0' || !(seconds >= 0)) {
      return answer(text(400, "delay is not a number of seconds\n"));
    }
    auto wait = std::chrono::duration<double>(std::min(seconds, kMaxDelaySeconds));
    service_.after(std::chrono::duration_cast<Duration>(wait),
                   [answer, body = echo_with_body(call)] { answer(pretty(body)); });
  }

  // "200" or "200:0.9,503:0.1": one of them, by weight.
  Reply status(std::string_view choices) {
    std::vector<int> codes;
    std::vector<double> weights;
    for (std::string_view choice : split(choices, ',')) {
      std::size_t colon = choice.find(':');
      std::optional<int> code = parse_int<int>(choice.substr(0, colon));
      if (!code) return text(400, "invalid status code\n");
      codes.push_back(*code);
      std::string weight(colon == choice.npos ? "1" : choice.substr(colon + 1));
      weights.push_back(std::max(0.0, std::strtod(weight.c_str(), nullptr)));
    }
    std::discrete_distribution<std::size_t> pick(weights.begin(), weights.end());
    return status_reply(codes[pick(random_)]);
  }

  Reply bytes(std::size_t count) {
    std::string body(count, '\0');
    for (char& c : body) c = static_cast<char>(random_());
    return {200, {{"content-type", "application/octet-stream"}}, std::move(body)};
  }

  static Reply stream(const Call& call, std::size_t lines) {
    std::string body;
    for (std::size_t i = 0; i < lines; ++i) {
      Json line = echo(call);
      line["id"] = i;
      body += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    }
    return json(200, std::move(body));
  }

  static Reply cookies(const Call& call, std::string_view action) {
    if (action == "set") {
      Reply reply{302, {{"location", "/cookies"}}, ""};
      for (const auto& [name, values] : query_values(call.query)) {
        reply.headers.emplace_back("set-cookie", fmt::format("{}={}; Path=/", name, values[0]));
      }
      return reply;
    }
    Json out = Json::object();
    for (std::string_view cookie : split(call.header("cookie"), ';')) {
      std::size_t equals = trim(cookie).find('=');
      if (equals == cookie.npos) continue;
      out[std::string(trim(cookie).substr(0, equals))] = trim(cookie).substr(equals + 1);
    }
    return pretty({{"cookies", out}});
  }

  static Reply response_headers(const Call& call) {
    Json shown = Json::object();
    Reply reply = json(200, "");
    for (const auto& [name, values] : query_values(call.query)) {
      for (const std::string& value : values) reply.headers.emplace_back(lower(name), value);
      shown[name] = values;
    }
    reply.body = pretty(shown).body;
    return reply;
  }

  static Reply basic_auth(const Call& call, std::string_view user, std::string_view password) {
    std::string want = "Basic " + base64_encode(fmt::format("{}:{}", user, password));
    if (call.header("authorization") == want) {
      return pretty({{"authorized", true}, {"user", std::string(user)}});
    }
    return {401, {{"www-authenticate", "Basic realm=\"Fake Realm\""}}, ""};
  }

  static Reply bearer(const Call& call) {
    std::string_view header = call.header("authorization");
    if (!header.starts_with("Bearer ")) return {401, {{"www-authenticate", "Bearer"}}, ""};
    return pretty({{"authenticated", true}, {"token", std::string(header.substr(7))}});
  }

  std::string uuid() {
    std::uint64_t high = (random_() & ~0xf000ULL) | 0x4000ULL;
    std::uint64_t low = (random_() & ~(3ULL << 62)) | 2ULL << 62;
    return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, high >> 16 & 0xffff,
                       high & 0xffff, low >> 48, low & 0xffffffffffffULL);
  }

  Service& service_;
  std::mt19937_64 random_;
};

}  // namespace

Handler httpbin(Service& service) {
  auto bin = std::make_shared<Httpbin>(service);
  return [bin](const Call& call, const Answer& answer) { bin->handle(call, answer); };
}

}  // namespace mizzen::samples
