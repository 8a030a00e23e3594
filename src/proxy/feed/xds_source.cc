#include "proxy/feed/xds_source.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "api/names.h"
#include "base/log.h"
#include "base/strings.h"
#include "xds/sotw_client.h"

namespace mizzen::proxy {
namespace {

constexpr Duration kFirstBackOff = std::chrono::milliseconds(200);
constexpr Duration kMaxBackOff = std::chrono::seconds(10);
// Until the first configuration has come: a pod that waits for it serves nobody.
constexpr Duration kMaxFirstBackOff = std::chrono::seconds(1);
constexpr Duration kPing = std::chrono::seconds(20);
// A control plane that does not answer at all is another one next time.
constexpr Duration kConnectTimeout = std::chrono::seconds(2);

Result<std::string> read_file(const std::string& path, std::string_view what) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Code::kNotFound, std::string(what) + ": cannot read '" + path + "'");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

Result<std::unique_ptr<net::HttpClient>> discovery_client(io::Loop& loop,
                                                          const DiscoverySettings& settings) {
  net::HttpClientOptions options;
  options.base.tls = settings.tls;
  options.base.host = settings.pipe ? "localhost" : settings.host;
  options.base.port = settings.port;
  if (settings.pipe) options.base.unix_path = settings.host;
  options.version = net::HttpVersion::kHttp2;
  options.connect.timeout = kConnectTimeout;
  options.ping_interval = kPing;
  if (settings.tls) {
    io::TlsClientOptions tls;
    tls.trust_bundle_pem = settings.root_pem;
    if (tls.trust_bundle_pem.empty()) {
      MIZZEN_TRY(tls.trust_bundle_pem, read_file(settings.root_file, "root certificate"));
    }
    tls.alpn = {"h2"};
    MIZZEN_TRY(options.tls, io::make_tls_client_context(tls));
    options.tls_host = settings.sni;
  }
  return std::make_unique<net::HttpClient>(loop, std::move(options));
}

Result<net::HeaderList> discovery_headers(const DiscoverySettings& settings) {
  net::HeaderList headers(settings.metadata.begin(), settings.metadata.end());
  if (settings.token_file.empty()) return headers;
  auto token = read_file(settings.token_file, "service account token");
  if (token) {
    token->erase(token->find_last_not_of("\r\n \t") + 1);
    headers.emplace_back("authorization", "Bearer " + *token);
  } else if (settings.tls) {
    // Plain-text discovery asks for no token; over TLS it is needed.
    return std::unexpected(token.error());
  }
  return headers;
}

namespace {

struct Methods {
  std::string_view type;
  std::string_view delta;
  std::string_view sotw;
};
constexpr Methods kMethods[] = {
    {api::kClusterType, "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters",
     "/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters"},
    {api::kEndpointType, "/envoy.service.endpoint.v3.EndpointDiscoveryService/DeltaEndpoints",
     "/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints"},
    {api::kListenerType, "/envoy.service.listener.v3.ListenerDiscoveryService/DeltaListeners",
     "/envoy.service.listener.v3.ListenerDiscoveryService/StreamListeners"},
    {api::kRouteType, "/envoy.service.route.v3.RouteDiscoveryService/DeltaRoutes",
     "/envoy.service.route.v3.RouteDiscoveryService/StreamRoutes"},
    {api::kSecretType, api::kDeltaSdsMethod, api::kSotwSdsMethod},
};

std::unique_ptr<xds::Client> make_client(bool delta, const xds::NodeInfo& node) {
  if (delta) return std::make_unique<xds::DeltaClient>(xds::node_bytes(node));
  return std::make_unique<xds::SotwClient>(xds::node_bytes(node));
}

}  // namespace

XdsScope XdsScope::all() {
  XdsScope scope;
  scope.everything = {std::string(api::kClusterType), std::string(api::kListenerType)};
  scope.named = {std::string(api::kEndpointType), std::string(api::kRouteType),
                 std::string(api::kSecretType)};
  return scope;
}

XdsSource::XdsSource(io::Loop& loop, ConfigFeed& feed, DiscoverySettings settings,
                     const xds::NodeInfo& node, XdsScope scope)
    : loop_(loop),
      feed_(feed),
      settings_(std::move(settings)),
      scope_(std::move(scope)),
      client_(make_client(settings_.delta, node)),
      back_off_(kFirstBackOff),
      random_(static_cast<unsigned>(
          fnv1a(node.id) ^ static_cast<std::uint64_t>(loop.now().time_since_epoch().count()))) {
  for (const std::string& type : scope_.everything) client_->subscribe_all(type);
  feed_.on_published([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) follow_needs();
  });
}

XdsSource::~XdsSource() { loop_.cancel(timer_); }

void XdsSource::follow_names(std::function<Status(std::string_view)> take) {
  take_names_ = std::move(take);
  client_->subscribe_all(api::kNameTableType);
}

std::vector<xds::Rejection> XdsSource::apply(const xds::Update& update) {
  if (update.type_url != api::kNameTableType) return feed_.store().apply(update);
  std::vector<xds::Rejection> rejections;
  for (const auto& resource : update.resources) {
    if (Status taken = take_names_(resource.bytes); !taken) {
      rejections.push_back({resource.name, taken.error().message});
    }
  }
  return rejections;
}

void XdsSource::start() {
  follow_needs();
  connect();
}

std::string_view XdsSource::method() const {
  if (scope_.origin.kind == ConfigOrigin::Kind::kAds) {
    return settings_.delta ? api::kDeltaAdsMethod : api::kSotwAdsMethod;
  }
  const std::string& type = scope_.everything.empty() ? scope_.named[0] : scope_.everything[0];
  const auto* found = std::ranges::find(kMethods, std::string_view(type), &Methods::type);
  return settings_.delta ? found->delta : found->sotw;
}

void XdsSource::connect() {
  auto headers = discovery_headers(settings_);
  if (!headers) return lost(headers.error().message);
  auto http = discovery_client(loop_, settings_);
  if (!http) return lost(http.error().message);
  http_ = std::move(*http);
  grpc_ = std::make_unique<net::GrpcClient>(*http_);
  received_ = false;
  net::GrpcCallbacks callbacks;
  callbacks.on_message = [this](std::string_view message) { on_message(message); };
  callbacks.on_closed = [this](http::GrpcStatus status) { on_closed(status); };
  call_ = grpc_->stream(method(), *headers, std::move(callbacks));
  client_->on_open();
  flush();
}

void XdsSource::flush() {
  while (call_) {
    auto request = client_->next();
    if (!request) return;
    call_->send(*request);
  }
}

void XdsSource::on_message(std::string_view message) {
  auto update = client_->receive(message);
  if (!update) return lost(update.error().message);
  if (!received_) {
    received_ = true;
    back_off_ = kFirstBackOff;
    last_error_.clear();
    log::info("xds", "connected to {}:{}", settings_.host, settings_.port);
  }
  ++updates_;
  auto rejections = apply(*update);
  rejected_ += rejections.size();
  client_->answer(*update, rejections);
  follow_needs();
  feed_.touch();
}

void XdsSource::follow_needs() {
  for (const std::string& type : scope_.named) {
    auto all = feed_.store().needed(type);
    client_->set_names(type, all[scope_.origin]);
  }
  flush();
}

void XdsSource::on_closed(const http::GrpcStatus& status) {
  lost(status.ok() ? "the control plane closed the stream"
                   : std::string(http::to_string(status.code)) + ": " + status.message);
}

void XdsSource::lost(std::string why) {
  // Callbacks of the call and the client are on the stack.
  loop_.dispose(std::move(call_));
  loop_.dispose(std::move(grpc_));
  loop_.dispose(std::move(http_));
  client_->on_closed();
  received_ = false;
  ++failures_;
  // Full jitter over the upper half: a mesh of proxies must not come back in one moment.
  auto half = back_off_.count() / 2;
  Duration wait(half + static_cast<std::int64_t>(random_()) % (half + 1));
  if (why != last_error_) {
    log::warning("xds", "{}:{}: {}; trying again", settings_.host, settings_.port, why);
  }
  last_error_ = std::move(why);
  back_off_ = std::min(back_off_ * 2, updates_ > 0 ? kMaxBackOff : kMaxFirstBackOff);
  loop_.cancel(timer_);
  timer_ = loop_.after(wait, [this] {
    timer_ = 0;
    connect();
  });
}

}  // namespace mizzen::proxy
