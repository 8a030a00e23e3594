// ADS over real sockets, with xds::DeltaClient as the proxy.
#include "control/serve/discovery.h"

#include <gtest/gtest.h>

#include "api/names.h"
#include "control/mesh/test_objects.h"
#include "control/serve/debug.h"
#include "io/loop.h"
#include "kube/test/partial_client.h"
#include "net/http_client.h"
#include "xds/client.h"

namespace mizzen::control {
namespace {

using object::Json;

constexpr Duration kPatience = std::chrono::seconds(10);

constexpr std::string_view kReviewsPod = R"(
apiVersion: v1
kind: Pod
metadata:
  name: reviews-v1-a
  namespace: default
  labels: {app: reviews, version: v1, security.istio.io/tlsMode: istio}
spec: {serviceAccountName: bookinfo-reviews}
status: {phase: Running, podIP: 10.1.0.21}
---
)";

constexpr std::string_view kHttpPort = "name: http, port: 9080";
constexpr std::string_view kFirstEndpoint =
    "{addresses: [10.1.0.21], targetRef: {name: reviews-v1-a}}";

std::string second_endpoint() {
  return slice_yaml("reviews", "default", kHttpPort,
                    std::string(kFirstEndpoint) + ", {addresses: [10.1.0.22]}");
}

constexpr std::string_view kRoute = R"(
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec: {hosts: [reviews], http: [{timeout: 3s, route: [{destination: {host: reviews}}]}]}
)";

// Knows one token and nothing else.
class TokenOnlyApi final : public kube::PartialClient {
 public:
  using PartialClient::PartialClient;

  void review_token(std::string_view token, const std::vector<std::string>& audiences,
                    std::function<void(Result<TokenOwner>)> done) override {
    loop().defer([token = std::string(token), audiences, done] {
      if (token != "good" || audiences != std::vector<std::string>{"istio-ca"}) {
        done(fail(Code::kUnauthenticated, "unknown token"));
      } else {
        done(TokenOwner{
            "system:serviceaccount:default:bookinfo-reviews", {}, {}, audiences, {}, {}});
      }
    });
  }
};

// A proxy that accepts everything, unless it is told to refuse a type.
class FakeProxy {
 public:
  FakeProxy(io::Loop& loop, const io::Address& server, const std::string& pod,
            net::HeaderList metadata, const std::string& node = "{}",
            const std::vector<std::string>& destinations = {})
      : http_(loop, {.base = *net::parse_base_url("http://" + server.to_string()),
                     .version = net::HttpVersion::kHttp2}),
        grpc_(http_),
        client_(xds::node_bytes({.id = "sidecar~10.1.0.21~" + pod + "~x", .metadata_json = node})) {
    if (!destinations.empty()) client_.subscribe(api::kDestinationType, destinations);
    client_.subscribe_all(api::kClusterType);
    client_.subscribe_all(api::kListenerType);
    client_.subscribe(api::kEndpointType, {kEndpoints});
    client_.subscribe(api::kRouteType, {"9080"});
    open(metadata);
  }

  void reopen() {
    call_.reset();
    client_.on_closed();
    updates.clear();
    open({});
  }

  bool has(std::string_view type, const std::string& name) const {
    return client_.versions(type).contains(name);
  }

  void ask(const std::string& destination) {
    client_.subscribe(api::kDestinationType, {destination});
    pump();
  }

  std::vector<std::string> missing;  // destinations
  std::vector<std::string> removed;  // of any type
  static constexpr const char* kEndpoints = "outbound|9080||reviews.default.svc.cluster.local";
  std::optional<http::GrpcStatus> closed;
  std::vector<std::string> updates;  // types, in order of arrival
  std::string refuse;

 private:
  void open(const net::HeaderList& metadata) {
    net::GrpcCallbacks callbacks;
    callbacks.on_message = [this](std::string_view message) { receive(message); };
    callbacks.on_closed = [this](http::GrpcStatus status) { closed = status; };
    call_ = grpc_.stream(api::kDeltaAdsMethod, metadata, std::move(callbacks));
    client_.on_open();
    pump();
  }
  void receive(std::string_view message) {
    Result<xds::Update> update = client_.receive(message);
    ASSERT_TRUE(update) << update.error().message;
    updates.emplace_back(xds::short_type(update->type_url));
    removed.insert(removed.end(), update->removed.begin(), update->removed.end());
    if (update->type_url == api::kDestinationType) {
      missing.insert(missing.end(), update->removed.begin(), update->removed.end());
    }
    std::vector<xds::Rejection> rejections;
    if (update->type_url == refuse) rejections.push_back({"x", "no such thing"});
    client_.answer(*update, rejections);
    pump();
  }
  void pump() {
    while (auto message = client_.next()) call_->send(*message);
  }

  net::HttpClient http_;
  net::GrpcClient grpc_;
  xds::DeltaClient client_;
  std::unique_ptr<net::GrpcCall> call_;
};

class Ads : public ::testing::Test {
 protected:
  Ads()
      : api_(loop_),
        authenticator_(api_, "cluster.local"),
        discovery_(loop_, store_, authenticator_),
        server_(loop_, {}, [this](std::shared_ptr<net::Exchange> exchange) {
          EXPECT_TRUE(grpc_.handle(exchange));
        }) {
    discovery_.mount(grpc_, true);
    address_ = *server_.listen(*io::Address::parse_ip("127.0.0.1", 0));
    apply(service_yaml("reviews", "default", "10.96.0.12", kHttpPort) + std::string(kReviewsPod) +
          slice_yaml("reviews", "default", kHttpPort, kFirstEndpoint));
    discovery_.start();
  }

  void apply(std::string_view yaml) {
    const auto documents = object::parse_manifest(yaml);
    ASSERT_TRUE(documents);
    for (const object::YamlDocument& document : *documents) {
      discovery_.changed(store_.apply(document.value));
    }
  }
  std::unique_ptr<FakeProxy> connect(const std::string& pod, net::HeaderList metadata = {}) {
    return std::make_unique<FakeProxy>(loop_, address_, pod, std::move(metadata));
  }
  bool wait(const std::function<bool()>& done) { return loop_.run_until(done, kPatience); }
  bool synced() const {
    const auto proxies = discovery_.proxies();
    return !proxies.empty() && proxies.front().types.size() == 4 &&
           std::ranges::all_of(proxies.front().types, &xds::TypeStatus::synced);
  }

  io::EpollLoop loop_;
  TokenOnlyApi api_;
  Store store_;
  Authenticator authenticator_;
  Discovery discovery_;
  net::GrpcServer grpc_;
  net::HttpServer server_;
  io::Address address_;
};

TEST_F(Ads, GivesEverythingInOrder) {
  const auto proxy = connect("reviews-v1-a.default");
  ASSERT_TRUE(wait([&] { return synced(); }));
  EXPECT_TRUE(proxy->has(api::kListenerType, "0.0.0.0_9080"));
  EXPECT_TRUE(proxy->has(api::kListenerType, "virtualInbound"));
  EXPECT_TRUE(proxy->has(api::kClusterType, "inbound|9080||"));
  EXPECT_TRUE(proxy->has(api::kEndpointType, FakeProxy::kEndpoints));
  EXPECT_TRUE(proxy->has(api::kRouteType, "9080"));
  EXPECT_EQ(proxy->updates.front(), "CDS");
  const Json page = syncz(discovery_.proxies());
  EXPECT_EQ(page.at(0).at("proxy"), "reviews-v1-a.default");
  EXPECT_EQ(page.at(0).at("cluster_sent"), page.at(0).at("cluster_acked"));
}

TEST_F(Ads, EndpointChangeSendsEndpointsAlone) {
  const auto proxy = connect("reviews-v1-a.default");
  ASSERT_TRUE(wait([&] { return synced(); }));
  proxy->updates.clear();
  apply(second_endpoint());
  ASSERT_TRUE(wait([&] { return !proxy->updates.empty() && synced(); }));
  EXPECT_EQ(proxy->updates, std::vector<std::string>{"EDS"});
}

TEST_F(Ads, RouteChangeSendsRoutesAlone) {
  const auto proxy = connect("reviews-v1-a.default");
  ASSERT_TRUE(wait([&] { return synced(); }));
  proxy->updates.clear();
  apply(kRoute);
  ASSERT_TRUE(wait([&] { return !proxy->updates.empty() && synced(); }));
  EXPECT_EQ(proxy->updates, std::vector<std::string>{"RDS"});
}

TEST_F(Ads, RulesWaitForQuietWhileEndpointsDoNot) {
  const auto proxy = connect("reviews-v1-a.default");
  ASSERT_TRUE(wait([&] { return synced(); }));
  proxy->updates.clear();
  apply(kRoute);
  apply(second_endpoint());
  ASSERT_TRUE(wait([&] { return proxy->updates.size() == 2 && synced(); }));
  EXPECT_EQ(proxy->updates, (std::vector<std::string>{"EDS", "RDS"}));
}

constexpr const char* kOnDemand = R"({"ON_DEMAND_SCOPE": "true"})";
constexpr const char* kReviewsCluster = FakeProxy::kEndpoints;

TEST_F(Ads, TellsWhatIsAskedForBeforeTheAnswer) {
  FakeProxy proxy(loop_, address_, "reviews-v1-a.default", {}, kOnDemand);
  ASSERT_TRUE(wait([&] { return proxy.has(api::kListenerType, "virtualOutbound"); }));
  EXPECT_FALSE(proxy.has(api::kListenerType, "0.0.0.0_9080"));
  EXPECT_FALSE(proxy.has(api::kClusterType, kReviewsCluster));
  EXPECT_TRUE(proxy.has(api::kClusterType, "inbound|9080||"));
  ASSERT_TRUE(wait([&] { return synced(); }));
  proxy.updates.clear();
  proxy.ask("reviews:9080");
  ASSERT_TRUE(wait([&] { return proxy.has(api::kDestinationType, "reviews:9080"); }));
  EXPECT_EQ(proxy.updates, (std::vector<std::string>{"CDS", "EDS", "LDS", "RDS",
                                                     std::string(api::kDestinationType)}));
  EXPECT_TRUE(proxy.has(api::kRouteType, "9080"));
  proxy.ask("ratings:9080");
  ASSERT_TRUE(wait([&] { return !proxy.missing.empty(); }));
  apply(R"(
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: default}
spec: {clusterIP: 10.96.0.13, ports: [{name: http, port: 9080}]}
)");
  ASSERT_TRUE(wait([&] { return proxy.has(api::kDestinationType, "ratings:9080"); }));
}

TEST_F(Ads, AProxyThatComesBackLosesNothing) {
  FakeProxy proxy(loop_, address_, "reviews-v1-a.default", {}, kOnDemand, {"reviews:9080"});
  ASSERT_TRUE(wait([&] { return proxy.has(api::kDestinationType, "reviews:9080"); }));
  ASSERT_TRUE(proxy.has(api::kClusterType, kReviewsCluster));
  proxy.removed.clear();
  proxy.reopen();
  proxy.ask("nowhere:1");
  ASSERT_TRUE(wait([&] { return !proxy.missing.empty(); }));
  EXPECT_EQ(proxy.removed, std::vector<std::string>{"nowhere:1"});
  EXPECT_TRUE(proxy.has(api::kClusterType, kReviewsCluster));
  EXPECT_EQ(proxy.updates.back(), api::kDestinationType);
}

TEST_F(Ads, RecordsRefusals) {
  const auto proxy = connect("reviews-v1-a.default");
  ASSERT_TRUE(wait([&] { return synced(); }));
  proxy->refuse = api::kRouteType;
  apply(kRoute);
  ASSERT_TRUE(wait([&] { return discovery_.counters().nacks == 1; }));
  EXPECT_FALSE(synced());
}

TEST_F(Ads, TokenMustFitTheNode) {
  const auto good = connect("reviews-v1-a.default", {{"authorization", "Bearer good"}});
  ASSERT_TRUE(wait([&] { return synced(); }));
  EXPECT_EQ(discovery_.proxies().front().identity,
            "spiffe://cluster.local/ns/default/sa/bookinfo-reviews");
  const auto other = connect("ratings.other", {{"authorization", "Bearer good"}});
  ASSERT_TRUE(wait([&] { return other->closed.has_value(); }));
  EXPECT_EQ(other->closed->code, http::GrpcCode::kUnauthenticated);
  const auto unknown = connect("reviews-v1-a.default", {{"authorization", "Bearer bad"}});
  ASSERT_TRUE(wait([&] { return unknown->closed.has_value(); }));
  EXPECT_EQ(unknown->closed->code, http::GrpcCode::kUnauthenticated);
}

TEST_F(Ads, ForgetsThoseThatLeave) {
  auto proxy = connect("reviews-v1-a.default");
  ASSERT_TRUE(wait([&] { return synced(); }));
  proxy.reset();
  EXPECT_TRUE(wait([&] { return discovery_.proxies().empty(); }));
}

}  // namespace
}  // namespace mizzen::control
