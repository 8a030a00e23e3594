// For tests: the upstream half on a real loop, servers in the same loop, and requests that note
// what becomes of them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "net/http_server.h"
#include "proxy/tls_contexts.h"
#include "proxy/upstream.h"
#include "proxy/upstream/limits.h"

namespace mizzen::proxy {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A server that says its name, or keeps requests waiting.
struct Server {
  Server(io::Loop& loop, std::string its_name, net::HttpServerOptions options = {})
      : name(std::move(its_name)), server(loop, std::move(options), [this](auto exchange) {
          ++requests;
          protocol = exchange->request().protocol;
          last = exchange->request().clone();
          if (hold) {
            held.push_back(exchange);
          } else {
            exchange->respond(status, {}, name);
          }
        }) {
    address = *server.listen(io::Address::loopback(0));
  }
  void answer_all() {
    for (auto& exchange : std::exchange(held, {})) exchange->respond(status, {}, name);
  }

  std::string name;
  net::HttpServer server;
  io::Address address;
  std::vector<std::shared_ptr<net::Exchange>> held;
  http::Protocol protocol{};
  http::RequestHead last;
  int requests = 0;
  int status = 200;
  bool hold = false;
};

struct Request final : UpstreamEvents {
  void on_upstream_host(const UpstreamInfo& its) override { info = its; }
  void on_upstream_informational(http::ResponseHead&&) override {}
  void on_upstream_head(http::ResponseHead&& head, bool end) override {
    status = head.status;
    over = end;
  }
  void on_upstream_data(std::string_view data, bool end) override {
    body += data;
    call->consumed(data.size());
    over = over || end;
  }
  void on_upstream_trailers(http::Headers&&) override { over = true; }
  void on_upstream_failed(const UpstreamFailure& why) override {
    failure = why;
    over = true;
  }
  void on_upstream_writable() override {}

  http::RequestHead head;
  UpstreamInfo info;
  std::unique_ptr<UpstreamCall> call;
  std::optional<UpstreamFailure> failure;
  std::string body;
  int status = 0;
  bool over = false;
};

class UpstreamTest : public ::testing::Test {
 protected:
  UpstreamTest() : upstream_(make_upstream(loop_, limits_, contexts_)) {
    cluster_->name = "c";
    cluster_->version_hash = 1;
    cluster_->connect_timeout = seconds(2);
  }

  void hosts(const std::vector<io::Address>& addresses) {
    auto made = std::make_shared<Endpoints>();
    LocalityEndpoints& locality = made->localities.emplace_back();
    for (const io::Address& address : addresses) {
      Endpoint& endpoint = locality.endpoints.emplace_back();
      endpoint.address = {address.ip(), address.port(), false};
      if (mesh_) endpoint.socket_match = {{"tlsMode", "istio"}};
    }
    endpoints_ = std::move(made);
    publish();
  }
  void publish() {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->clusters["c"] = {std::make_shared<Cluster>(*cluster_), endpoints_};
    snapshot_ = std::move(snapshot);
    upstream_->set_snapshot(snapshot_);
  }

  std::unique_ptr<Request> send(bool upgrade = false) {
    auto request = std::make_unique<Request>();
    request->head.method = "GET";
    request->head.scheme = "http";
    request->head.authority = "c.test";
    request->head.path = "/";
    UpstreamAsk ask;
    ask.snapshot = snapshot_;
    ask.entry = snapshot_->cluster("c");
    ask.upgrade = upgrade;
    ask.original_dst = original_dst_;
    auto call = upstream_->open(ask, request->head, true, *request);
    if (call) {
      request->call = std::move(*call);
    } else {
      request->failure = call.error();
      request->over = true;
    }
    return request;
  }
  void until(const std::function<bool()>& done) { ASSERT_TRUE(loop_.run_until(done, seconds(10))); }
  std::unique_ptr<Request> ask() {
    auto request = send();
    EXPECT_TRUE(loop_.run_until([&] { return request->over; }, seconds(10)));
    return request;
  }
  void turn() {
    for (int i = 0; i < 20; ++i) loop_.run_once(milliseconds(1));
  }

  io::EpollLoop loop_;
  std::shared_ptr<SharedLimits> limits_ = make_shared_limits();
  TlsContexts contexts_;
  std::unique_ptr<Upstream> upstream_;
  std::shared_ptr<Cluster> cluster_ = std::make_shared<Cluster>();
  std::shared_ptr<const Endpoints> endpoints_;
  SnapshotRef snapshot_;
  io::Address original_dst_;
  bool mesh_ = false;
};

}  // namespace mizzen::proxy
