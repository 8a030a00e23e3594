#include "samples/service.h"

#include <fmt/format.h>

#include <cstdlib>
#include <map>

#include "base/strings.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace mizzen::samples {
namespace {

constexpr std::size_t kMaxBody = 10 * 1024 * 1024;

Reply typed(int status, const char* type, std::string body) {
  return {status, {{"content-type", type}}, std::move(body)};
}

Call call_of(const net::Exchange& exchange, std::string body) {
  Call call;
  call.method = exchange.method();
  call.scheme = exchange.request().scheme;
  call.authority = exchange.request().authority;
  call.path = net::url_decode(exchange.path());
  call.query = exchange.query();
  call.peer = exchange.peer().ip();
  for (const auto& field : exchange.request().headers) {
    call.headers.emplace_back(field.name, field.value);
  }
  call.body = std::move(body);
  return call;
}

}  // namespace

std::string_view Call::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

std::string Call::query_value(std::string_view name) const {
  for (std::string_view pair : split(query, '&')) {
    std::size_t equals = pair.find('=');
    if (equals != pair.npos && pair.substr(0, equals) == name) {
      return percent_decode(pair.substr(equals + 1));
    }
  }
  return {};
}

Reply text(int status, std::string body) {
  return typed(status, "text/plain; charset=utf-8", std::move(body));
}
Reply json(int status, std::string body) {
  return typed(status, "application/json", std::move(body));
}
Reply html(std::string body) { return typed(200, "text/html; charset=utf-8", std::move(body)); }

HeaderList trace_headers(const Call& call) {
  constexpr std::string_view kNames[] = {
      "x-request-id",
      "x-b3-traceid",
      "x-b3-spanid",
      "x-b3-parentspanid",
      "x-b3-sampled",
      "x-b3-flags",
      "b3",
      "traceparent",
      "tracestate",
      "baggage",
      "x-ot-span-context",
      "x-cloud-trace-context",
      "grpc-trace-bin",
      "sw8",
      "x-datadog-trace-id",
      "x-datadog-parent-id",
      "x-datadog-sampling-priority",
      "end-user",
      "user-agent",
      "authorization",
  };
  HeaderList out;
  for (std::string_view name : kNames) {
    std::string_view value = call.header(name);
    if (!value.empty()) out.emplace_back(name, value);
  }
  return out;
}

std::string percent_decode(std::string_view text) { return net::url_decode(text, true); }

std::string percent_encode(std::string_view text) { return net::url_encode(text); }

std::string cookie_of(const Call& call, std::string_view name) {
  for (std::string_view cookie : split(call.header("cookie"), ';')) {
    cookie = trim(cookie);
    std::size_t equals = cookie.find('=');
    if (equals != cookie.npos && cookie.substr(0, equals) == name) {
      return std::string(cookie.substr(equals + 1));
    }
  }
  return "";
}

std::string env_or(const char* name, std::string_view otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : std::string(otherwise);
}

struct Service::State {
  explicit State(io::Loop& loop) : loop(loop) {}

  net::HttpClient& client(const net::BaseUrl& base) {
    std::unique_ptr<net::HttpClient>& found = clients[base.authority()];
    if (!found) {
      net::HttpClientOptions options;
      options.base = base;
      options.resolver = resolver.get();
      found = std::make_unique<net::HttpClient>(loop, std::move(options));
    }
    return *found;
  }

  io::Loop& loop;
  Handler handler;
  std::unique_ptr<io::Resolver> resolver;
  std::map<std::string, std::unique_ptr<net::HttpClient>> clients;
  std::unique_ptr<net::HttpServer> server;
  std::uint16_t port = 0;
};

Service::Service(io::Loop& loop) : state_(std::make_unique<State>(loop)) {}
Service::~Service() = default;

Status Service::serve(std::uint16_t port, Handler handler) {
  MIZZEN_TRY(state_->resolver, io::Resolver::make(state_->loop));
  state_->handler = std::move(handler);
  net::HttpServerOptions options;
  auto handle = [state = state_.get()](std::shared_ptr<net::Exchange> exchange) {
    exchange->read_body(kMaxBody, [state, exchange](Result<std::string> body) {
      if (!body) return exchange->respond(413, {}, body.error().message + "\n");
      state->handler(call_of(*exchange, std::move(*body)), [exchange](const Reply& reply) {
        exchange->respond(reply.status, reply.headers, reply.body);
      });
    });
  };
  state_->server = std::make_unique<net::HttpServer>(state_->loop, options, handle);
  auto bound = state_->server->listen(io::Address::any6(port));
  // A machine without IPv6.
  if (!bound) bound = state_->server->listen(io::Address::any(port));
  if (!bound) return std::unexpected(bound.error());
  state_->port = bound->port();
  return {};
}

void Service::send(Outgoing outgoing, std::function<void(Result<Reply>)> done) {
  std::string_view url = outgoing.url;
  std::size_t query = url.find('?');
  auto base = net::parse_base_url(url.substr(0, query));
  if (!base) {
    return after(Duration{0}, [done, error = base.error()] { done(std::unexpected(error)); });
  }
  net::Request request{.method = std::move(outgoing.method), .timeout = outgoing.timeout};
  request.target = base->prefix.empty() ? "/" : base->prefix;
  if (query != url.npos) request.target += url.substr(query);
  request.headers = std::move(outgoing.headers);
  request.body = std::move(outgoing.body);
  base->prefix.clear();
  state_->client(*base).fetch(std::move(request), [done](Result<net::Response> response) {
    if (!response) return done(std::unexpected(response.error()));
    done(Reply{response->status, std::move(response->headers), std::move(response->body)});
  });
}

void Service::call(std::string_view method, std::string_view url, HeaderList headers,
                   Duration timeout, std::function<void(Result<Reply>)> done) {
  send({std::string(method), std::string(url), std::move(headers), "", timeout}, std::move(done));
}

io::Loop& Service::loop() { return state_->loop; }
std::uint16_t Service::port() const { return state_->port; }

void Service::after(Duration delay, std::function<void()> then) {
  state_->loop.after(delay, std::move(then));
}

}  // namespace mizzen::samples
