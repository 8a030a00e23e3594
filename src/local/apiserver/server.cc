#include "local/apiserver/server.h"

#include <fmt/core.h>

#include <filesystem>
#include <map>

#include "base/log.h"
#include "base/strings.h"
#include "local/apiserver/credentials.h"
#include "local/apiserver/parts.h"
#include "local/apiserver/streams.h"
#include "local/apiserver/webhook_client.h"
#include "net/http_server.h"
#include "object/yaml.h"

namespace mizzen::local {

namespace {

constexpr std::size_t kMaxBody = 8 << 20;
constexpr std::size_t kMaxWatchBacklog = 64 << 20;
constexpr auto kBookmarkEvery = std::chrono::seconds(60);
constexpr auto kHousekeepingEvery = std::chrono::minutes(5);

// CN and O of an RFC 2253 name.
Caller caller_of(std::string_view subject) {
  Caller caller;
  for (auto part : split(subject, ',')) {
    for (auto each : split(part, '+')) {
      each = trim(each);
      if (each.starts_with("CN=")) caller.user = each.substr(3);
      if (each.starts_with("O=")) caller.groups.emplace_back(each.substr(2));
    }
  }
  if (caller.user.empty()) caller.user = "kubernetes-admin";
  caller.groups.emplace_back("system:authenticated");
  return caller;
}

bool open_to_all(std::string_view path) {
  return path == "/version" || path.starts_with("/healthz") || path.starts_with("/readyz") ||
         path.starts_with("/livez");
}

class LiveServer final : public Server {
 public:
  LiveServer(io::Loop& loop, ServerOptions options)
      : loop_(loop), options_(std::move(options)), pods_(options_.pods) {}

  ~LiveServer() override {
    *alive_ = false;
    loop_.cancel(housekeeping_);
    for (auto& [id, watch] : watches_) loop_.cancel(watch.timer);
    watches_.clear();
    http_.reset();
  }

  Status begin();

  Store& store() override { return *store_; }
  Api& api() override { return *api_; }
  io::Address address() const override { return address_; }
  std::string root_ca_pem() const override { return credentials_.ca_pem; }
  Result<std::string> admin_kubeconfig() override;
  void set_pods(PodAccess* pods) override {
    pods_ = pods;
    webhooks_->set_pods(pods);
  }

 private:
  struct OpenWatch {
    std::shared_ptr<net::Exchange> exchange;
    ApiWatch watch;
    io::TimerId timer = 0;
    MonoTime ends{};  // zero: never
  };

  Status listen();
  void on_request(std::shared_ptr<net::Exchange> exchange);
  void answer(std::shared_ptr<net::Exchange> exchange, ApiRequest request);
  std::optional<ApiResponse> impersonated(const net::Exchange& exchange, Caller& who) const;
  Result<Caller> caller(const net::Exchange& exchange) const;
  void open_watch(std::shared_ptr<net::Exchange> exchange, const ApiRequest& request);
  void tend_watch(std::uint64_t id);
  void close_watch(std::uint64_t id);
  void housekeep();

  io::Loop& loop_;
  ServerOptions options_;
  PodAccess* pods_;
  Credentials credentials_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<WebhookClient> webhooks_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<net::HttpServer> http_;
  io::Address address_;
  std::map<std::uint64_t, OpenWatch> watches_;
  std::uint64_t last_watch_ = 0;
  io::TimerId housekeeping_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

Status LiveServer::begin() {
  const std::string& data = options_.data_dir;
  if (!data.empty()) {
    std::error_code error;
    std::filesystem::create_directories(data, error);
    if (error) return fail(Code::kInternal, data + ": " + error.message());
  }
  MIZZEN_TRY(const auto range, io::Cidr::parse(options_.service_cidr));
  const auto& b = range.base().bytes();
  std::vector<std::string> names = {"localhost",
                                    "kubernetes",
                                    "kubernetes.default",
                                    "kubernetes.default.svc",
                                    "kubernetes.default.svc.cluster.local",
                                    "127.0.0.1",
                                    "::1",
                                    fmt::format("{}.{}.{}.{}", b[0], b[1], b[2], b[3] + 1)};
  names.insert(names.end(), options_.server_names.begin(), options_.server_names.end());
  MIZZEN_TRY(credentials_,
             load_credentials(data.empty() ? "" : data + "/pki", names, loop_.wall()));
  StoreOptions store_options;
  store_options.path = data.empty() ? "" : data + "/objects.db";
  MIZZEN_TRY(store_, Store::open(std::move(store_options),
                                 [this](std::function<void()> fn) { loop_.defer(std::move(fn)); }));
  webhooks_ = std::make_unique<WebhookClient>(loop_, *store_);
  webhooks_->set_pods(pods_);
  MIZZEN_CHECKED(listen());
  ApiOptions api_options;
  api_options.service_cidr = options_.service_cidr;
  api_options.token_key_pem = credentials_.token_key_pem;
  api_options.root_ca_pem = credentials_.ca_pem;
  api_options.server_address = address_.to_string();
  api_options.webhooks = [this](WebhookCall call, std::function<void(Result<std::string>)> done) {
    webhooks_->call(std::move(call), std::move(done));
  };
  api_ = std::make_unique<Api>(*store_, std::move(api_options));
  api_->bootstrap();
  housekeep();
  return {};
}

Status LiveServer::listen() {
  io::TlsServerOptions tls;
  tls.identity = credentials_.server;
  tls.client_cert = io::TlsServerOptions::ClientCert::kOptional;
  tls.trust_bundle_pem = credentials_.ca_pem;
  tls.alpn = {"h2", "http/1.1"};
  net::HttpServerOptions http;
  MIZZEN_TRY(http.tls, io::make_tls_server_context(tls));
  http.idle_timeout = std::chrono::minutes(10);
  http.limits.head_bytes =
      1024 * 1024;  // as Kubernetes' own: exec puts a whole command into the URL
  http_ = std::make_unique<net::HttpServer>(
      loop_, std::move(http),
      [this](std::shared_ptr<net::Exchange> exchange) { on_request(std::move(exchange)); });
  if (options_.listen_fd >= 0) {
    MIZZEN_TRY(address_, http_->adopt(io::UniqueFd(options_.listen_fd)));
  } else {
    MIZZEN_TRY(address_, http_->listen(options_.listen));
  }
  return {};
}

void LiveServer::housekeep() {
  api_->housekeep();
  housekeeping_ = loop_.after(kHousekeepingEvery, [this] { housekeep(); });
}

Result<std::string> LiveServer::admin_kubeconfig() {
  MIZZEN_TRY(const auto admin, issue_admin(credentials_, loop_.wall()));
  const Json cluster = {{"server", "https://" + address_.to_string()},
                        {"certificate-authority-data", base64_encode(credentials_.ca_pem)}};
  const Json user = {{"client-certificate-data", base64_encode(admin.chain_pem)},
                     {"client-key-data", base64_encode(admin.key_pem)}};
  const Json context = {{"cluster", "mizzen"}, {"user", "mizzen-admin"}, {"namespace", "default"}};
  Json config = {{"apiVersion", "v1"}, {"kind", "Config"}, {"current-context", "mizzen"}};
  config["clusters"].push_back({{"name", "mizzen"}, {"cluster", cluster}});
  config["users"].push_back({{"name", "mizzen-admin"}, {"user", user}});
  config["contexts"].push_back({{"name", "mizzen"}, {"context", context}});
  return object::to_yaml(config);
}

Result<Caller> LiveServer::caller(const net::Exchange& exchange) const {
  const auto authorization = exchange.header("authorization");
  constexpr std::string_view kBearer = "Bearer ";
  if (authorization.starts_with(kBearer))
    return api_->authenticate(trim(authorization.substr(kBearer.size())));
  if (const io::TlsInfo* tls = exchange.tls(); tls && tls->peer)
    return caller_of(tls->peer->subject);
  return Caller{"system:anonymous", {"system:unauthenticated"}, ""};
}

// Makes `who` the caller that the request asks to act as, if it does; an answer when it may not.
std::optional<ApiResponse> LiveServer::impersonated(const net::Exchange& exchange,
                                                    Caller& who) const {
  const std::string user(exchange.header("impersonate-user"));
  std::vector<std::string> groups;
  for (const auto& header : exchange.request().headers) {
    if (header.name == "impersonate-group") groups.emplace_back(header.value);
  }
  if (user.empty() && groups.empty()) return std::nullopt;
  if (user.empty()) {
    return status_response(400, "BadRequest", "groups can be impersonated along with a user only");
  }
  auto other = api_->act_as(who, user, groups);
  if (!other) return status_response(403, "Forbidden", other.error().message);
  who = std::move(*other);
  return std::nullopt;
}

void LiveServer::on_request(std::shared_ptr<net::Exchange> exchange) {
  ApiRequest request;
  request.method = exchange->method();
  request.path = exchange->path();
  request.query = exchange->query();
  request.accept = exchange->header("accept");
  request.content_type = exchange->header("content-type");
  request.user_agent = exchange->header("user-agent");
  auto who = caller(*exchange);
  if (!who || (who->user == "system:anonymous" && !open_to_all(request.path))) {
    return respond(*exchange, status_response(401, "Unauthorized", "Unauthorized"));
  }
  request.caller = std::move(*who);
  if (auto answer = impersonated(*exchange, request.caller)) return respond(*exchange, *answer);
  if (!open_to_all(request.path)) {
    if (auto answer = api_->refuse(request)) return respond(*exchange, *answer);
  }
  if (auto target = api_->find_target(request); target && is_stream(*target)) {
    return serve_stream(loop_, *store_, pods_, *target, std::move(exchange));
  }
  // All of these may become part of an object, and so of a text that is JSON.
  if (!is_utf8(net::url_decode(request.path)) || !is_utf8(net::url_decode(request.query)) ||
      !is_utf8(request.user_agent)) {
    return respond(*exchange,
                   status_response(400, "BadRequest", "path, query or user agent: not UTF-8"));
  }
  if (api_->is_watch(request)) return open_watch(std::move(exchange), request);
  if (request.method == "GET" || request.method == "HEAD")
    return answer(std::move(exchange), std::move(request));
  exchange->read_body(
      kMaxBody, [this, alive = alive_, exchange, request](Result<std::string> body) mutable {
        if (!*alive) return;
        if (!body) {
          return respond(*exchange,
                         status_response(413, "RequestEntityTooLarge", body.error().message));
        }
        request.body = std::move(*body);
        answer(exchange, std::move(request));
      });
}

void LiveServer::answer(std::shared_ptr<net::Exchange> exchange, ApiRequest request) {
  api_->handle(std::move(request),
               [exchange](ApiResponse response) { respond(*exchange, response); });
}

void LiveServer::open_watch(std::shared_ptr<net::Exchange> exchange, const ApiRequest& request) {
  const std::uint64_t id = ++last_watch_;
  auto first = std::make_shared<std::string>();
  auto begun = std::make_shared<bool>(false);
  auto watch = api_->start_watch(request, [this, id, exchange, first, begun](std::string text) {
    if (!*begun) {
      *first += text;
      return;
    }
    if (exchange->buffered() > kMaxWatchBacklog) {
      loop_.defer([this, alive = alive_, id, exchange] {
        exchange->abort();
        if (*alive) close_watch(id);
      });
      return;
    }
    exchange->write(text);
  });
  if (!watch) return respond(*exchange, watch.error());
  exchange->begin(200,
                  {{"content-type", "application/json"}, {"cache-control", "no-cache, private"}});
  if (!first->empty()) exchange->write(*first);
  first->clear();
  *begun = true;
  OpenWatch open{exchange, std::move(*watch)};
  if (open.watch.timeout.count() > 0) open.ends = loop_.now() + open.watch.timeout;
  exchange->on_closed([this, alive = alive_, id](bool) {
    if (*alive) close_watch(id);
  });
  watches_.emplace(id, std::move(open));
  tend_watch(id);
}

void LiveServer::tend_watch(std::uint64_t id) {
  auto found = watches_.find(id);
  if (found == watches_.end()) return;
  OpenWatch& open = found->second;
  const bool timed = open.ends != MonoTime{};
  if (timed && loop_.now() >= open.ends) {
    open.exchange->end();
    return close_watch(id);
  }
  Duration next = kBookmarkEvery;
  if (timed) next = std::min(next, open.ends - loop_.now());
  open.timer = loop_.after(next, [this, id] {
    auto standing = watches_.find(id);
    if (standing == watches_.end()) return;
    OpenWatch& watch = standing->second;
    if (watch.watch.bookmark) watch.exchange->write(watch.watch.bookmark());
    tend_watch(id);
  });
}

void LiveServer::close_watch(std::uint64_t id) {
  auto found = watches_.find(id);
  if (found == watches_.end()) return;
  loop_.cancel(found->second.timer);
  // The watch's callback holds the exchange, and we may stand in either.
  auto gone = std::make_unique<OpenWatch>(std::move(found->second));
  watches_.erase(found);
  loop_.dispose(std::move(gone));
}

}  // namespace

void respond(net::Exchange& exchange, const ApiResponse& response) {
  net::HeaderList headers = {{"content-type", response.content_type},
                             {"cache-control", "no-cache, private"}};
  for (const auto& warning : response.warnings) {
    std::string quoted;
    for (char c : warning) {
      if (c == '"' || c == '\\') quoted += '\\';
      if (c != '\n' && c != '\r') quoted += c;
    }
    headers.emplace_back("warning", fmt::format("299 - \"{}\"", quoted));
  }
  headers.insert(headers.end(), response.headers.begin(), response.headers.end());
  exchange.respond(response.status, headers,
                   exchange.method() == "HEAD" ? std::string() : response.body);
}

Result<std::unique_ptr<Server>> Server::start(io::Loop& loop, ServerOptions options) {
  auto server = std::make_unique<LiveServer>(loop, std::move(options));
  MIZZEN_CHECKED(server->begin());
  return server;
}

}  // namespace mizzen::local
