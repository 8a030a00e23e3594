// Endpoints that die, hang, fail and return while requests come, over real sockets: where the
// requests go instead, and that none of them fails.
#include <gtest/gtest.h>

#include <array>
#include <map>

#include "io/loop.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "proxy/data_plane.h"
#include "proxy/test/patience.h"

namespace mizzen::proxy {
namespace {

using namespace std::chrono_literals;

// A server that can be broken.
class Place {
 public:
  enum class Mode : std::uint8_t { kWell, kHangs, kFails };
  Place(io::Loop& loop, std::string name) : loop_(loop), name_(std::move(name)) {
    address_ = io::Address::loopback(0);
    rise();
  }
  const io::Address& address() const { return address_; }
  void rise() {
    server_ = std::make_unique<net::HttpServer>(
        loop_, net::HttpServerOptions{},
        [this](std::shared_ptr<net::Exchange> exchange) { take(std::move(exchange)); });
    auto bound = server_->listen(address_);
    ASSERT_TRUE(bound) << bound.error().message;
    address_ = *bound;
  }
  void die() {
    held_.clear();
    server_.reset();
  }
  void set(Mode mode) {
    mode_ = mode;
    if (mode_ == Mode::kHangs) return;
    for (auto& exchange : held_) exchange->respond(200, {}, name_);
    held_.clear();
  }

 private:
  void take(std::shared_ptr<net::Exchange> exchange) {
    if (mode_ == Mode::kHangs) return held_.push_back(std::move(exchange));
    exchange->respond(mode_ == Mode::kFails ? 503 : 200, {}, name_);
  }
  io::Loop& loop_;
  std::string name_;
  io::Address address_;
  Mode mode_ = Mode::kWell;
  std::unique_ptr<net::HttpServer> server_;
  std::vector<std::shared_ptr<net::Exchange>> held_;
};

class Outage : public ::testing::Test {
 protected:
  static constexpr int kClients = 8;

  Outage() : plane_(loop_, DataPlaneOptions{2, {}, 1s}) {
    cluster_.name = "web";
    cluster_.lb = LbPolicy::kRoundRobin;
    cluster_.panic_threshold_percent = 0;
    cluster_.limits.max_retries = 1000;
  }
  ~Outage() override {
    more_ = false;
    loop_.run_until([&] { return under_way_ == 0; }, kPatience);
  }

  static LocalityEndpoints at(std::uint32_t priority, std::initializer_list<const Place*> places) {
    LocalityEndpoints made;
    made.priority = priority;
    for (const Place* place : places) {
      Endpoint endpoint;
      endpoint.address = {place->address().ip(), place->address().port(), false};
      made.endpoints.push_back(std::move(endpoint));
    }
    return made;
  }

  std::shared_ptr<const HttpSettings> settings() const {
    auto table = std::make_shared<route::Table>();
    route::VirtualHost host;
    host.name = "any";
    host.domains = {"*"};
    route::Route route;
    route.match.path.value = "/";
    route.forward.cluster = "web";
    route.forward.timeout = Duration{0};
    using Retry = route::RetryPolicy;
    Retry retry;
    retry.on = Retry::k5xx | Retry::kReset | Retry::kConnectFailure | Retry::kRefusedStream;
    retry.attempts = 4;
    retry.per_try_timeout = 400ms;
    retry.avoid_previous_hosts = true;
    retry.host_selection_attempts = 8;
    retry.base_backoff = 2ms;
    retry.max_backoff = 20ms;
    route.forward.retry = retry;
    host.routes.push_back(route);
    table->hosts.push_back(std::move(host));
    EXPECT_TRUE(table->index());
    auto made = std::make_shared<HttpSettings>();
    made->table = table;
    made->filters.push_back({"router", false, RouterFilter{}});
    return made;
  }

  void serve(std::vector<LocalityEndpoints> localities) {
    if (!listener_) {
      auto listener = std::make_shared<Listener>();
      listener->name = "out";
      listener->addresses = {{"127.0.0.1", 0, false}};
      listener->direction = Direction::kOutbound;
      FilterChain chain;
      chain.terminal = settings();
      listener->chains.push_back(chain);
      listener_ = listener;
    }
    auto endpoints = std::make_shared<Endpoints>();
    endpoints->localities = std::move(localities);
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->listeners.push_back(listener_);
    snapshot->clusters["web"] = {std::make_shared<Cluster>(cluster_), endpoints};
    ASSERT_TRUE(plane_.set_snapshot(snapshot));
    ASSERT_TRUE(loop_.run_until([&] { return plane_.listening(); }, kPatience));
  }

  void start_load() {
    net::HttpClientOptions options;
    options.base = *net::parse_base_url("http://" + plane_.address_of("out").to_string());
    client_.emplace(loop_, options);
    for (int i = 0; i < kClients; ++i) ask();
  }
  void ask() {
    if (!more_) return;
    ++under_way_;
    client_->fetch({.target = "/"}, [this](Result<net::Response> response) {
      --under_way_;
      ++done_;
      if (!response || response->status != 200) {
        ++failed_;
        why_ = response ? std::to_string(response->status) + " " + response->body
                        : response.error().message;
      } else {
        ++served_[response->body];
      }
      ask();
    });
  }

  // Who served the next requests.
  std::map<std::string, int> next(int requests) {
    served_.clear();
    const int until = done_ + requests;
    EXPECT_TRUE(loop_.run_until([&] { return done_ >= until; }, kPatience));
    return served_;
  }
  std::map<std::string, int> during(Duration time) {
    served_.clear();
    loop_.run_until([] { return false; }, time);
    return served_;
  }
  // Until a hundred requests in a row went as `fits` says.
  template <class Fits>
  bool settles(Fits fits) {
    const MonoTime end = loop_.now() + kPatience;
    while (loop_.now() < end) {
      if (fits(next(100))) return true;
    }
    return false;
  }

  io::EpollLoop loop_;
  Cluster cluster_;
  std::shared_ptr<const Listener> listener_;
  DataPlane plane_;
  std::optional<net::HttpClient> client_;
  std::map<std::string, int> served_;
  std::string why_;
  int done_ = 0;
  int failed_ = 0;
  int under_way_ = 0;
  bool more_ = true;
};

using Served = std::map<std::string, int>;

TEST_F(Outage, RequestsGoElsewhereAndComeBackAndNoneFails) {
  OutlierDetection outlier;
  outlier.consecutive_5xx = 3;
  outlier.interval = 50ms;
  outlier.base_ejection = 300ms;
  outlier.max_ejection = 500ms;
  outlier.max_ejection_percent = 100;
  cluster_.outlier = outlier;
  cluster_.connect_timeout = 400ms;
  Place near_a(loop_, "near a"), near_b(loop_, "near b"), far_a(loop_, "far a"),
      far_b(loop_, "far b");
  serve({at(0, {&near_a, &near_b}), at(1, {&far_a, &far_b})});
  start_load();
  const auto only_near = [](Served served) {
    return served.size() == 2 && served["near a"] > 0 && served["near b"] > 0;
  };
  const auto only_far = [](Served served) {
    return served.size() == 2 && served["far a"] > 0 && served["far b"] > 0;
  };
  EXPECT_TRUE(settles(only_near)) << "while all are well";

  near_a.die();
  // Half of the first priority is 70 % of what it takes: the rest goes on.
  EXPECT_TRUE(settles([](Served served) {
    return served["near a"] == 0 && served["near b"] > 40 && served["far a"] + served["far b"] > 5;
  })) << "one of two is dead";

  near_b.set(Place::Mode::kHangs);
  EXPECT_TRUE(settles(only_far)) << "one is dead, one hangs";

  near_a.rise();
  near_b.set(Place::Mode::kWell);
  EXPECT_TRUE(settles(only_near)) << "both are back";

  near_b.set(Place::Mode::kFails);
  EXPECT_TRUE(settles([](Served served) { return served["near b"] == 0 && served["far a"] > 5; }))
      << "one answers 503";
  near_b.set(Place::Mode::kWell);
  EXPECT_TRUE(settles(only_near)) << "and is well again";

  EXPECT_EQ(failed_, 0) << "of " << done_ << ": " << why_;
}

TEST_F(Outage, AnEndpointThatComesIsWarmedUp) {
  cluster_.slow_start_window = 1500ms;
  Place old(loop_, "old"), fresh(loop_, "fresh");
  serve({at(0, {&old})});
  start_load();
  during(1600ms);  // the old one is warm itself
  serve({at(0, {&old, &fresh})});
  Served first = during(300ms);
  const int all = first["old"] + first["fresh"];
  EXPECT_GT(first["old"], 0);
  EXPECT_LT(first["fresh"] * 3, all) << first["fresh"] << " of " << all;
  EXPECT_TRUE(settles([](Served served) { return served["fresh"] >= 40; })) << "after the window";
  EXPECT_EQ(failed_, 0) << why_;
}

}  // namespace
}  // namespace mizzen::proxy
