// The two delta machines against each other and against hand-made messages.
#include <gtest/gtest.h>

#include "api/names.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "xds/client.h"
#include "xds/server.h"
#include "xds/wire.h"

namespace mizzen::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

const std::string kCds(api::kClusterType);
const std::string kEds(api::kEndpointType);
const std::string kLds(api::kListenerType);
const std::string kRds(api::kRouteType);

using Spec = std::map<std::string, std::map<std::string, std::string>>;  // type: name: version

std::shared_ptr<const World> world(std::string version, const Spec& spec) {
  auto made = std::make_shared<World>();
  made->version = std::move(version);
  for (const auto& [type, resources] : spec) {
    auto map = std::make_shared<ResourceMap>();
    for (const auto& [name, resource_version] : resources) {
      (*map)[name] = std::make_shared<Resource>(Resource{name, resource_version, "bytes of " + name,
                                                         type == kCds ? name : std::string()});
    }
    made->types[type] = map;
  }
  return made;
}

std::string node() {
  return node_bytes({"sidecar~1.1.1.1~a.b~b.svc", "c", R"({"NAMESPACE":"b"})"});
}

DeltaDiscoveryResponse response(const std::optional<std::string>& bytes) {
  DeltaDiscoveryResponse message;
  EXPECT_TRUE(bytes);
  EXPECT_TRUE(message.ParseFromString(bytes.value_or(std::string())));
  return message;
}

// "CDS +a +b -c"
std::string brief(const DeltaDiscoveryResponse& message) {
  std::string text(short_type(message.type_url()));
  for (const auto& resource : message.resources()) text += " +" + resource.name();
  for (const auto& name : message.removed_resources()) text += " -" + name;
  return text;
}

struct Pair {
  DeltaServer server{"1"};
  DeltaClient client{node()};
  std::vector<Rejection> reject;  // by name, in every response

  // Exchanges messages until both are silent; what the server said, in order.
  std::vector<std::string> run() {
    std::vector<std::string> said;
    for (int turn = 0; turn < 100; ++turn) {
      bool silent = true;
      while (auto request = client.next()) {
        auto received = server.receive(*request);
        EXPECT_TRUE(received) << received.error().message;
        silent = false;
      }
      if (auto bytes = server.next()) {
        said.push_back(brief(response(bytes)));
        auto update = client.receive(*bytes);
        EXPECT_TRUE(update) << update.error().message;
        std::vector<Rejection> rejected;
        for (const auto& resource : update->resources) {
          for (const auto& rule : reject) {
            if (rule.name == resource.name) rejected.push_back(rule);
          }
        }
        client.answer(*update, rejected);
        silent = false;
      }
      if (silent) return said;
    }
    ADD_FAILURE() << "the machines never fall silent";
    return said;
  }

  void reconnect() {
    client.on_closed();
    server = DeltaServer("2");
    client.on_open();
  }
};

using Said = std::vector<std::string>;

TEST(Delta, TypesGoOutInOrderAndOnlyOnce) {
  Pair pair;
  pair.client.subscribe_all(kLds);
  pair.client.subscribe_all(kCds);
  pair.client.subscribe(kRds, {"80"});
  pair.client.subscribe(kEds, {"a"});
  pair.client.on_open();
  pair.server.offer(world("1", {{kCds, {{"a", "1"}, {"b", "1"}}},
                                {kEds, {{"a", "1"}, {"b", "1"}}},
                                {kLds, {{"l", "1"}}},
                                {kRds, {{"80", "1"}, {"90", "1"}}}}));
  EXPECT_EQ(pair.run(), (Said{"CDS +a +b", "EDS +a", "LDS +l", "RDS +80"}));
  EXPECT_EQ(pair.run(), Said{});
  for (const auto& status : pair.server.status()) EXPECT_TRUE(status.synced()) << status.type_url;
  EXPECT_EQ(pair.server.node().id, "sidecar~1.1.1.1~a.b~b.svc");
  EXPECT_EQ(pair.server.node().metadata_json, R"({"NAMESPACE":"b"})");
}

TEST(Delta, WhatIsWrittenByHandIsTheMessage) {
  Pair pair;
  pair.client.subscribe_all(kCds);
  pair.client.on_open();
  ASSERT_TRUE(pair.server.receive(*pair.client.next()));
  auto offered = world("v", {{kCds, {{"a", "1"}, {"empty", ""}}}});
  auto map = std::make_shared<ResourceMap>(*offered->types.at(kCds));
  (*map)["long"] = std::make_shared<Resource>(Resource{"long", "2", std::string(70'000, 'x'), {}});
  auto wide = std::make_shared<World>(*offered);
  wide->types[kCds] = map;
  pair.server.offer(wide);
  const std::optional<std::string> bytes = pair.server.next();
  DeltaDiscoveryResponse message = response(bytes);
  EXPECT_EQ(brief(message), "CDS +a +empty +long");
  EXPECT_EQ(message.system_version_info(), "v");
  EXPECT_EQ(message.resources(2).resource().value(), map->at("long")->bytes);
  EXPECT_EQ(message.resources(2).resource().type_url(), kCds);
  EXPECT_EQ(message.SerializeAsString().size() + 2, bytes->size());  // an empty version is said
  map = std::make_shared<ResourceMap>(*map);
  map->erase("a");
  wide = std::make_shared<World>(*wide);
  wide->types[kCds] = map;
  pair.server.offer(wide);
  EXPECT_EQ(brief(response(pair.server.next())), "CDS -a");
}

TEST(Delta, AnAnswerThatSaysMoreIsReadInFull) {
  DeltaDiscoveryRequest request;
  request.set_type_url(kCds);
  request.set_response_nonce("n");
  const std::string plain = request.SerializeAsString();
  EXPECT_EQ(write_answer({kCds, "n"}), plain);
  ASSERT_TRUE(read_answer(plain));
  EXPECT_EQ(read_answer(plain)->type_url, kCds);
  EXPECT_EQ(read_answer(plain)->nonce, "n");
  for (std::size_t size = 0; size < plain.size(); ++size) {
    EXPECT_FALSE(read_answer(std::string_view(plain).substr(0, size))) << size;
  }
  EXPECT_FALSE(read_answer("\x12\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
  request.add_resource_names_subscribe("a");
  EXPECT_FALSE(read_answer(request.SerializeAsString()));
  request.clear_resource_names_subscribe();
  request.mutable_error_detail()->set_message("no");
  EXPECT_FALSE(read_answer(request.SerializeAsString()));
}

TEST(Delta, NothingIsSentBeforeThereIsAWorldAndAnEmptyOneIsSaid) {
  Pair pair;
  pair.client.subscribe_all(kCds);
  pair.client.on_open();
  EXPECT_EQ(pair.run(), Said{});
  pair.server.offer(world("1", {}));
  EXPECT_EQ(pair.run(), Said{"CDS"});
}

TEST(Delta, OnlyDifferencesTravel) {
  Pair pair;
  pair.client.subscribe_all(kCds);
  pair.client.on_open();
  pair.server.offer(world("1", {{kCds, {{"a", "1"}, {"b", "1"}, {"c", "1"}}}}));
  EXPECT_EQ(pair.run(), Said{"CDS +a +b +c"});
  pair.server.offer(world("2", {{kCds, {{"a", "1"}, {"b", "2"}, {"d", "1"}}}}));
  EXPECT_EQ(pair.run(), Said{"CDS +b +d -c"});
  pair.server.offer(world("3", {{kCds, {{"a", "1"}, {"b", "2"}, {"d", "1"}}}}));
  EXPECT_EQ(pair.run(), Said{});
}

TEST(Delta, ChangesThatPileUpAreMerged) {
  Pair pair;
  pair.client.subscribe_all(kCds);
  pair.client.on_open();
  pair.server.offer(world("1", {{kCds, {{"a", "1"}}}}));
  pair.run();
  pair.server.offer(world("2", {{kCds, {{"a", "2"}, {"b", "1"}}}}));
  pair.server.offer(world("3", {{kCds, {{"a", "3"}}}}));
  EXPECT_EQ(pair.run(), Said{"CDS +a"});
}

TEST(Delta, AChangedClusterIsFollowedByItsEndpoints) {
  Pair pair;
  pair.client.subscribe_all(kCds);
  pair.client.subscribe(kEds, {"a", "b", "gone"});
  pair.client.on_open();
  pair.server.offer(
      world("1", {{kCds, {{"a", "1"}, {"b", "1"}}}, {kEds, {{"a", "1"}, {"b", "1"}}}}));
  EXPECT_EQ(pair.run(), (Said{"CDS +a +b", "EDS +a +b -gone"}));
  pair.server.offer(
      world("2", {{kCds, {{"a", "2"}, {"b", "1"}}}, {kEds, {{"a", "1"}, {"b", "1"}}}}));
  EXPECT_EQ(pair.run(), (Said{"CDS +a", "EDS +a"}));
  pair.server.offer(world("3", {{kCds, {{"a", "2"}, {"b", "2"}}}, {kEds, {{"a", "1"}}}}));
  EXPECT_EQ(pair.run(), (Said{"CDS +b", "EDS -b"}));
}

TEST(Delta, ANameSubscribedToAgainIsSentAgain) {
  Pair pair;
  pair.client.subscribe(kEds, {"a", "b"});
  pair.client.on_open();
  pair.server.offer(world("1", {{kEds, {{"a", "1"}, {"b", "1"}, {"c", "1"}}}}));
  EXPECT_EQ(pair.run(), Said{"EDS +a +b"});
  pair.client.unsubscribe(kEds, {"a"});
  EXPECT_EQ(pair.run(), Said{});
  pair.client.subscribe(kEds, {"a", "c"});
  EXPECT_EQ(pair.run(), Said{"EDS +a +c"});
  // A client that asks for a name it never gave up gets it too (stock Envoy does that).
  DeltaDiscoveryRequest request;
  request.set_type_url(kEds);
  request.add_resource_names_subscribe("b");
  ASSERT_TRUE(pair.server.receive(request.SerializeAsString()));
  EXPECT_EQ(pair.run(), Said{"EDS +b"});
}

TEST(Delta, ANameGivenUpAndTakenAgainComesAgain) {
  for (bool lost : {false, true}) {
    Pair pair;
    pair.client.subscribe(kEds, {"a", "b"});
    pair.client.on_open();
    pair.server.offer(world("1", {{kEds, {{"a", "1"}, {"b", "1"}}}}));
    pair.run();
    if (lost) pair.client.on_closed();
    pair.client.unsubscribe(kEds, {"a"});
    pair.client.subscribe(kEds, {"a"});
    if (lost) {
      pair.reconnect();
      pair.server.offer(world("1", {{kEds, {{"a", "1"}, {"b", "1"}}}}));
    }
    EXPECT_EQ(pair.run(), Said{"EDS +a"}) << lost;
  }
}

TEST(Delta, AMissingNameIsSaidToBeMissingAndComesLater) {
  Pair pair;
  pair.client.subscribe(kRds, {"80"});
  pair.client.on_open();
  pair.server.offer(world("1", {{kRds, {}}}));
  EXPECT_EQ(pair.run(), Said{"RDS -80"});
  pair.server.offer(world("2", {{kRds, {{"80", "1"}}}}));
  EXPECT_EQ(pair.run(), Said{"RDS +80"});
}

TEST(Delta, AReconnectSaysWhatIsKnown) {
  Pair pair;
  pair.client.subscribe_all(kCds);
  pair.client.subscribe(kEds, {"a", "b"});
  pair.client.on_open();
  auto first = world("1", {{kCds, {{"a", "1"}, {"b", "1"}}}, {kEds, {{"a", "1"}, {"b", "1"}}}});
  pair.server.offer(first);
  pair.run();
  pair.reconnect();
  pair.server.offer(
      world("2", {{kCds, {{"a", "1"}, {"c", "1"}}}, {kEds, {{"a", "2"}, {"b", "1"}}}}));
  EXPECT_EQ(pair.run(), (Said{"CDS +c -b", "EDS +a"}));
  pair.reconnect();
  pair.server.offer(
      world("3", {{kCds, {{"a", "1"}, {"c", "1"}}}, {kEds, {{"a", "2"}, {"b", "1"}}}}));
  // The first response of a stream goes out even when empty: a client may wait for it.
  EXPECT_EQ(pair.run(), (Said{"CDS", "EDS"}));
}

TEST(Delta, ARejectionIsReportedAndNotRemembered) {
  Pair pair;
  pair.reject = {{"b", "connect_timeout: must be positive"}};
  pair.client.subscribe_all(kCds);
  pair.client.on_open();
  pair.server.offer(world("1", {{kCds, {{"a", "1"}, {"b", "1"}}}}));
  EXPECT_EQ(pair.run(), Said{"CDS +a +b"});
  auto status = pair.server.status();
  ASSERT_EQ(status.size(), 1U);
  EXPECT_FALSE(status[0].synced());
  EXPECT_EQ(status[0].last_error, "b: connect_timeout: must be positive");
  EXPECT_TRUE(pair.client.versions(kCds).contains("a"));
  EXPECT_FALSE(pair.client.versions(kCds).contains("b"));
  pair.reject.clear();
  pair.server.offer(world("2", {{kCds, {{"a", "1"}, {"b", "2"}}}}));
  EXPECT_EQ(pair.run(), Said{"CDS +b"});
  EXPECT_TRUE(pair.server.status()[0].synced());
  EXPECT_EQ(pair.server.status()[0].last_error, "");
}

TEST(Delta, SetNamesSendsTheDifference) {
  Pair pair;
  pair.client.set_names(kEds, {"a", "b"});
  pair.client.on_open();
  pair.server.offer(world("1", {{kEds, {{"a", "1"}, {"b", "1"}, {"c", "1"}}}}));
  EXPECT_EQ(pair.run(), Said{"EDS +a +b"});
  pair.client.set_names(kEds, {"b", "c"});
  EXPECT_EQ(pair.run(), Said{"EDS +c"});
  EXPECT_EQ(pair.server.names(kEds), (std::vector<std::string>{"b", "c"}));
  EXPECT_FALSE(pair.client.versions(kEds).contains("a"));
  pair.server.offer(world("2", {{kEds, {{"a", "2"}, {"b", "1"}, {"c", "1"}}}}));
  EXPECT_EQ(pair.run(), Said{});
  EXPECT_TRUE(pair.server.wants(kEds, "c"));
  EXPECT_FALSE(pair.server.wants(kEds, "a"));
}

TEST(Delta, WildcardBesideNamesSurvivesAReconnect) {
  Pair pair;
  pair.client.subscribe_all(kCds);
  pair.client.subscribe(kCds, {"on-demand"});
  pair.client.on_open();
  pair.server.offer(world("1", {{kCds, {{"a", "1"}, {"on-demand", "1"}}}}));
  EXPECT_EQ(pair.run(), Said{"CDS +a +on-demand"});
  pair.reconnect();
  pair.server.offer(world("2", {{kCds, {{"a", "2"}, {"on-demand", "1"}}}}));
  EXPECT_EQ(pair.run(), Said{"CDS +a"});
}

TEST(Delta, AnAckOfAnOlderResponseDoesNotCount) {
  DeltaServer server("1");
  DeltaDiscoveryRequest request;
  request.mutable_node()->set_id("n");
  request.set_type_url(kCds);
  ASSERT_TRUE(server.receive(request.SerializeAsString()));
  server.offer(world("1", {{kCds, {{"a", "1"}}}}));
  auto first = response(server.next());
  server.offer(world("2", {{kCds, {{"a", "2"}}}}));
  auto second = response(server.next());
  DeltaDiscoveryRequest ack;
  ack.set_type_url(kCds);
  ack.set_response_nonce(first.nonce());
  EXPECT_EQ(server.receive(ack.SerializeAsString())->kind, Received::Kind::kStale);
  EXPECT_FALSE(server.status()[0].synced());
  ack.set_response_nonce(second.nonce());
  EXPECT_EQ(server.receive(ack.SerializeAsString())->kind, Received::Kind::kAck);
  EXPECT_TRUE(server.status()[0].synced());
  EXPECT_EQ(server.status()[0].version_acked, "2");
}

TEST(Delta, BrokenMessagesAreErrorsNotCrashes) {
  DeltaServer server("1");
  EXPECT_FALSE(server.receive("\xff\xff\xff"));
  DeltaDiscoveryRequest request;
  request.set_type_url(kCds);
  EXPECT_FALSE(server.receive(request.SerializeAsString())) << "no node";
  request.mutable_node()->set_id("n");
  request.clear_type_url();
  EXPECT_FALSE(server.receive(request.SerializeAsString())) << "no type";

  DeltaClient client(node());
  client.subscribe_all(kCds);
  client.on_open();
  EXPECT_FALSE(client.receive("\xff\xff\xff"));
  DeltaDiscoveryResponse answer;
  answer.set_type_url(kLds);
  EXPECT_FALSE(client.receive(answer.SerializeAsString())) << "never asked for";
  answer.set_type_url(kCds);
  answer.add_resources()->mutable_resource()->set_type_url(kLds);
  EXPECT_FALSE(client.receive(answer.SerializeAsString())) << "a listener among clusters";
}

}  // namespace
}  // namespace mizzen::xds
