#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <optional>

#include "kube/client.h"
#include "kube/config.h"
#include "kube/informer.h"
#include "net/http_server.h"

namespace mizzen::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Resource kPods{"", "v1", "pods", true};

Json pod(const std::string& name, int version) {
  return {
      {"metadata",
       {{"name", name}, {"namespace", "default"}, {"resourceVersion", std::to_string(version)}}}};
}

// As much of an API server as the client needs: pods in memory, pages of two, watches.
class FakeServer {
 public:
  explicit FakeServer(io::Loop& loop) : loop_(loop) { start(io::Address::loopback(0)); }

  void start(const io::Address& address) {
    server_ = std::make_unique<net::HttpServer>(
        loop_, net::HttpServerOptions{},
        [this](std::shared_ptr<net::Exchange> exchange) { serve(std::move(exchange)); });
    auto bound = server_->listen(address);
    ASSERT_TRUE(bound) << bound.error().message;
    address_ = *bound;
  }
  void stop() {
    watches.clear();
    server_.reset();
  }
  void restart() { start(address_); }
  std::string url() const { return "http://" + address_.to_string(); }

  void set(const std::string& name) {
    bool known = pods.contains(name);
    pods[name] = pod(name, ++version);
    tell(known ? "MODIFIED" : "ADDED", pods[name]);
  }
  void remove(const std::string& name) {
    Json last = pods[name];
    pods.erase(name);
    last["metadata"]["resourceVersion"] = std::to_string(++version);
    tell("DELETED", last);
  }
  void tell(const std::string& type, const Json& object) {
    for (auto& watch : watches)
      watch->write(Json{{"type", type}, {"object", object}}.dump() + "\n");
  }

  std::map<std::string, Json> pods;
  std::vector<std::shared_ptr<net::Exchange>> watches;
  std::vector<std::string> seen;
  int version = 10;
  int lists = 0;
  bool gone = false;  // answers watches with 410

 private:
  void serve(std::shared_ptr<net::Exchange> exchange) {
    seen.push_back(std::string(exchange->method()) + " " + std::string(exchange->target()));
    if (exchange->query_param("watch")) return watch(exchange);
    if (exchange->method() == "GET" && exchange->path().ends_with("/pods")) return list(exchange);
    if (exchange->method() == "GET") {
      return exchange->respond(404, {}, R"({"kind":"Status","message":"pods \"x\" not found"})");
    }
    exchange->read_body(1 << 20, [exchange, this](Result<std::string> body) {
      seen.push_back(std::string(exchange->header("content-type")) + " " + *body);
      if (exchange->path().ends_with("tokenreviews")) return review(exchange, Json::parse(*body));
      exchange->respond(409, {}, R"({"message":"it changed","reason":"Conflict"})");
    });
  }
  static void review(const std::shared_ptr<net::Exchange>& exchange, const Json& body) {
    bool good = body["spec"]["token"] == "good";
    Json user = {{"username", "system:serviceaccount:ns:sa"}, {"groups", {"a", "b"}}, {"uid", 7}};
    Json status = good ? Json{{"authenticated", true}, {"user", user}} : Json{{"error", "expired"}};
    exchange->respond(201, {}, Json{{"status", status}}.dump());
  }
  void list(const std::shared_ptr<net::Exchange>& exchange) {
    ++lists;
    Json items = Json::array();
    std::string from = exchange->query_param("continue").value_or("");
    Json metadata = {{"resourceVersion", std::to_string(version)}};
    for (const auto& [name, object] : pods) {
      if (name < from) continue;
      if (items.size() == 2) {
        metadata["continue"] = name;
        break;
      }
      items.push_back(object);
    }
    exchange->respond(
        200, {},
        Json{{"kind", "PodList"}, {"apiVersion", "v1"}, {"metadata", metadata}, {"items", items}}
            .dump());
  }
  void watch(const std::shared_ptr<net::Exchange>& exchange) {
    if (gone) return exchange->respond(410, {}, R"({"message":"too old resource version"})");
    exchange->begin(200, {{"content-type", "application/json"}});
    watches.push_back(exchange);
  }

  io::Loop& loop_;
  io::Address address_;
  std::unique_ptr<net::HttpServer> server_;
};

class Kube : public testing::Test {
 protected:
  Kube() : server(loop) {
    Config config;
    config.server = server.url();
    client = std::move(*Client::make(loop, config));
  }
  ~Kube() override { server.stop(); }
  bool until(const std::function<bool()>& done) { return loop.run_until(done, seconds(10)); }

  io::EpollLoop loop;
  FakeServer server;
  std::unique_ptr<Client> client;
};

TEST_F(Kube, ListsAllPagesAndNamesKinds) {
  for (const char* name : {"a", "b", "c", "d", "e"}) server.set(name);
  std::optional<Result<ObjectList>> got;
  client->list(kPods, {.name_space = "default", .label_selector = "app in (x,y)"},
               [&](auto list) { got = std::move(list); });
  ASSERT_TRUE(until([&] { return got.has_value(); }));
  ASSERT_TRUE(*got) << got->error().message;
  ASSERT_EQ((*got)->items.size(), 5U);
  EXPECT_EQ((*got)->items[4]["kind"], "Pod");
  EXPECT_EQ((*got)->resource_version, "15");
  EXPECT_EQ(server.seen[0],
            "GET /api/v1/namespaces/default/pods?labelSelector=app%20in%20%28x%2Cy%29&limit=500");
}

TEST_F(Kube, ErrorsHaveTheServersWords) {
  std::optional<Error> missing, conflict;
  client->get(kPods, "default", "x", [&](auto result) { missing = result.error(); });
  client->patch(kPods, "default", "x", PatchType::kMerge, {{"a", 1}},
                [&](auto result) { conflict = result.error(); });
  ASSERT_TRUE(until([&] { return missing && conflict; }));
  EXPECT_EQ(missing->code, Code::kNotFound);
  EXPECT_EQ(missing->message, "pods \"x\" not found");
  EXPECT_EQ(conflict->code, Code::kConflict);
  EXPECT_EQ(server.seen.back(), "application/merge-patch+json {\"a\":1}");
}

TEST_F(Kube, ReviewsTokens) {
  std::optional<Result<Client::TokenOwner>> good, bad;
  client->review_token("good", {"istio-ca"}, [&](auto owner) { good = owner; });
  client->review_token("old", {"istio-ca"}, [&](auto owner) { bad = owner; });
  ASSERT_TRUE(until([&] { return good && bad; }));
  ASSERT_TRUE(*good) << good->error().message;
  EXPECT_EQ((*good)->username, "system:serviceaccount:ns:sa");
  EXPECT_EQ((*good)->groups.size(), 2U);
  EXPECT_EQ(bad->error().code, Code::kUnauthenticated);
  EXPECT_EQ(bad->error().message, "expired");
}

struct Told {
  explicit Told(Client& client, bool keep = true)
      : informer(client, kPods, {.list = {.name_space = "default"}, .keep_objects = keep},
                 {.on_added = [this](const Json& object) { note("+", object); },
                  .on_changed = [this](const Json&, const Json& now) { note("~", now); },
                  .on_removed = [this](const Json& last) { note("-", last); },
                  .on_synced = [this] { log += "|"; },
                  .on_error = [this](const Error&) { ++errors; }}) {
    informer.start();
  }
  void note(const char* what, const Json& object) {
    log += what + object["metadata"]["name"].get<std::string>();
  }
  std::string log;
  int errors = 0;
  Informer informer;
};

TEST_F(Kube, InformerTellsDifferences) {
  server.set("a");
  Told told(*client);
  ASSERT_TRUE(until([&] { return told.informer.synced() && server.watches.size() == 1; }));
  EXPECT_EQ(told.log, "+a|");
  server.set("b");
  server.set("a");
  server.remove("b");
  server.tell("BOOKMARK", {{"metadata", {{"resourceVersion", "99"}}}});
  ASSERT_TRUE(until([&] { return told.log == "+a|+b~a-b"; })) << told.log;
  EXPECT_NE(told.informer.find("default", "a"), nullptr);
  EXPECT_EQ(told.informer.find("default", "b"), nullptr);
  // An orderly end goes on from the last version without a list.
  int lists = server.lists;
  server.watches[0]->end();
  ASSERT_TRUE(until([&] { return server.watches.size() == 2; }));
  EXPECT_EQ(server.lists, lists);
  EXPECT_NE(server.seen.back().find("resourceVersion=99"), std::string::npos) << server.seen.back();
}

TEST_F(Kube, InformerSurvivesAServerThatGoesAndForgets) {
  server.set("a");
  server.set("b");
  Told told(*client, false);
  ASSERT_TRUE(until([&] { return server.watches.size() == 1; }));
  server.stop();
  ASSERT_TRUE(until([&] { return told.errors > 0; }));
  server.remove("a");
  server.set("c");
  server.restart();
  ASSERT_TRUE(until([&] { return server.watches.size() == 1; }));
  EXPECT_EQ(told.log, "+a+b|+c-a");
  // 410 after the versions were compacted: a new list.
  server.gone = true;
  server.watches[0]->end();
  server.watches.clear();
  int lists = server.lists;
  ASSERT_TRUE(until([&] { return server.lists > lists; }));
  server.gone = false;
  ASSERT_TRUE(until([&] { return server.watches.size() == 1; }));
  server.set("d");
  ASSERT_TRUE(until([&] { return told.log == "+a+b|+c-a+d"; })) << told.log;
}

TEST_F(Kube, InformerIsNotUpsetByNonsense) {
  Told told(*client);
  ASSERT_TRUE(until([&] { return server.watches.size() == 1; }));
  server.tell("ADDED", {{"metadata", 7}});
  server.tell("WHAT", {{"metadata", {{"name", "x"}, {"resourceVersion", nullptr}}}});
  server.tell("ERROR", {{"code", "not a number"}, {"message", 5}});
  ASSERT_TRUE(until([&] { return server.watches.size() == 2; }));
  server.watches[1]->write("not json\n");
  ASSERT_TRUE(until([&] { return server.watches.size() == 3; }));
}

TEST(Config, ReadsAKubeconfig) {
  std::string path = testing::TempDir() + "mizzen-kubeconfig-" + std::to_string(::getpid());
  std::ofstream(path) << R"(
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c
  cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: aGVsbG8=}
users:
- name: u
  user: {token: secret}
- name: plugin
  user: {exec: {command: aws}}
contexts:
- name: one
  context: {cluster: c, user: u, namespace: demo}
- name: two
  context: {cluster: c, user: plugin}
)";
  auto config = load_kubeconfig(path);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->server, "https://127.0.0.1:6443");
  EXPECT_EQ(config->ca_pem, "hello");
  EXPECT_EQ(config->token, "secret");
  EXPECT_EQ(config->name_space, "demo");
  EXPECT_EQ(load_kubeconfig(path, "two").error().code, Code::kUnsupported);
  EXPECT_EQ(load_kubeconfig(path, "three").error().code, Code::kInvalid);
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace mizzen::kube
