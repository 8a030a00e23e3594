#include "local/apiserver/webhook_client.h"

#include <fmt/core.h>

#include "base/strings.h"
#include "object/json.h"

namespace mizzen::local {

namespace {

constexpr std::size_t kMaxClients = 64;
constexpr auto kFirstPause = std::chrono::milliseconds(50);
constexpr std::size_t kMaxAnswer = 8 << 20;

class Dialing final : public io::Connecting {
 public:
  explicit Dialing(std::shared_ptr<io::ConnectDone> done) : done_(std::move(done)) {}
  ~Dialing() override { *done_ = nullptr; }

 private:
  std::shared_ptr<io::ConnectDone> done_;
};

// Passes a result on at the end of the turn, unless the attempt was abandoned.
io::ConnectDone later(io::Loop& loop, std::shared_ptr<io::ConnectDone> done) {
  return [&loop, done](Result<std::unique_ptr<io::Stream>> result) {
    auto kept = std::make_shared<Result<std::unique_ptr<io::Stream>>>(std::move(result));
    loop.defer([done, kept] {
      if (!*done) return;
      auto call = std::move(*done);
      *done = nullptr;
      call(std::move(*kept));
    });
  };
}

std::unique_ptr<io::Connecting> refuse(io::Loop& loop, Error error, io::ConnectDone done) {
  auto kept = std::make_shared<io::ConnectDone>(std::move(done));
  later(loop, kept)(std::unexpected(std::move(error)));
  return std::make_unique<Dialing>(kept);
}

}  // namespace

std::unique_ptr<io::Connecting> dial_pod(io::Loop& loop, PodAccess* pods, const std::string& ip,
                                         std::uint16_t port, io::ConnectDone done) {
  if (pods) {
    auto kept = std::make_shared<io::ConnectDone>(std::move(done));
    pods->dial(ip, port, later(loop, kept));
    return std::make_unique<Dialing>(kept);
  }
  auto address = io::Address::parse_ip(ip, port);
  if (!address) return refuse(loop, address.error(), std::move(done));
  return io::connect(loop, *address, {}, std::move(done));
}

Result<EndpointAddress> pick_endpoint(const Store& store, const std::string& ns,
                                      const std::string& service, std::uint16_t port) {
  Object found = store.get({"services", ns, service});
  if (!found) return fail(Code::kUnavailable, fmt::format("service \"{}\" not found", service));
  std::string port_name;
  bool known = false;
  for (const auto& each : at_path(*found, {"spec", "ports"})) {
    if (object::int_at(each, {"port"}) != port) continue;
    port_name = text_at(each, {"name"});
    known = true;
  }
  if (!known)
    return fail(Code::kUnavailable,
                fmt::format("no service port {} found for service \"{}\"", port, service));
  Object endpoints = store.get({"endpoints", ns, service});
  if (endpoints) {
    for (const auto& subset : at_path(*endpoints, {"subsets"})) {
      const Json& addresses = at_path(subset, {"addresses"});
      if (addresses.empty()) continue;
      for (const auto& each : at_path(subset, {"ports"})) {
        if (text_at(each, {"name"}) != port_name) continue;
        static std::size_t turn = 0;
        return EndpointAddress{text_at(addresses[turn++ % addresses.size()], {"ip"}),
                               static_cast<std::uint16_t>(object::int_at(each, {"port"}))};
      }
    }
  }
  return fail(Code::kUnavailable,
              fmt::format("no endpoints available for service \"{}\"", service));
}

std::unique_ptr<io::Connecting> WebhookClient::dial(const WebhookCall& call, io::ConnectDone done) {
  auto endpoint = pick_endpoint(store_, call.service_ns, call.service_name, call.service_port);
  if (!endpoint) return refuse(loop_, endpoint.error(), std::move(done));
  return dial_pod(loop_, pods_, endpoint->ip, endpoint->port, std::move(done));
}

Result<net::HttpClient*> WebhookClient::client_for(const WebhookCall& call,
                                                   const net::BaseUrl& base) {
  const std::string key = fmt::format("{} {:x}", base.authority(), fnv1a(call.ca_bundle_pem));
  if (auto found = clients_.find(key); found != clients_.end()) return found->second.get();
  net::HttpClientOptions options;
  options.base = base;
  if (base.tls) {
    io::TlsClientOptions tls;
    tls.trust_bundle_pem = call.ca_bundle_pem;
    tls.system_roots = call.ca_bundle_pem.empty();
    MIZZEN_TRY(options.tls, io::make_tls_client_context(tls));
  }
  if (!call.service_name.empty()) {
    options.tls_host = call.service_name + "." + call.service_ns + ".svc";
    WebhookCall service = call;
    service.body.clear();
    options.dial = [this, service](io::ConnectDone done) { return dial(service, std::move(done)); };
  }
  if (clients_.size() >= kMaxClients) {
    loop_.dispose(std::move(clients_.begin()->second));
    clients_.erase(clients_.begin());
  }
  auto& client = clients_[key];
  client = std::make_unique<net::HttpClient>(loop_, std::move(options));
  return client.get();
}

void WebhookClient::call(WebhookCall call, Done done) {
  if (!call.service_name.empty()) {
    auto endpoint = pick_endpoint(store_, call.service_ns, call.service_name, call.service_port);
    if (!endpoint) return done(std::unexpected(endpoint.error()));
  }
  const MonoTime deadline = loop_.now() + call.timeout;
  attempt(std::make_shared<const WebhookCall>(std::move(call)), kFirstPause, deadline,
          std::move(done));
}

void WebhookClient::attempt(std::shared_ptr<const WebhookCall> call, Duration pause,
                            MonoTime deadline, Done done) {
  auto base = net::parse_base_url(call->url);
  if (!base) return done(std::unexpected(base.error()));
  const std::string path = base->prefix.empty() ? "/" : base->prefix;
  base->prefix.clear();
  auto client = client_for(*call, *base);
  if (!client) return done(std::unexpected(client.error()));
  net::Request request;
  request.method = "POST";
  request.target =
      fmt::format("{}?timeout={}s", path,
                  std::chrono::duration_cast<std::chrono::seconds>(call->timeout).count());
  request.headers = {{"content-type", "application/json"}, {"accept", "application/json"}};
  request.body = call->body;
  request.timeout = deadline - loop_.now();
  (*client)->fetch(
      std::move(request),
      [this, alive = alive_, call, pause, deadline,
       done = std::move(done)](Result<net::Response> response) {
        if (!*alive) return;
        if (!response) {
          const Code code = response.error().code;
          const bool broken =
              code == Code::kReset || code == Code::kClosed || code == Code::kUnavailable;
          if (!broken || loop_.now() + pause >= deadline)
            return done(std::unexpected(response.error()));
          loop_.after(pause, [this, alive, call, pause, deadline, done] {
            if (*alive) attempt(call, pause * 2, deadline, done);
          });
          return;
        }
        if (response->status != 200) {
          return done(
              fail(Code::kUnavailable, fmt::format("the server answered {}: {}", response->status,
                                                   response->body.substr(0, 300))));
        }
        done(std::move(response->body));
      },
      kMaxAnswer);
}

}  // namespace mizzen::local
