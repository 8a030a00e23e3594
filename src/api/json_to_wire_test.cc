#include "api/json_to_wire.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/struct_json.h"
#include "api/wire_table.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/route/v3/route.pb.h"

namespace mizzen::api {
namespace {

using nlohmann::json;

// What protobuf's own parser makes of the text, by descriptors.
template <class T>
T by_protobuf(const std::string& text) {
  T message;
  const auto status = google::protobuf::util::JsonStringToMessage(text, &message);
  EXPECT_TRUE(status.ok()) << text << ": " << status.message();
  return message;
}

template <class T>
void expect_same(const std::string& text) {
  const auto bytes = json_to_wire(json::parse(text), T::descriptor()->full_name());
  ASSERT_TRUE(bytes) << text << ": " << bytes.error().message;
  T message;
  ASSERT_TRUE(message.ParseFromString(*bytes)) << text;
  const T wanted = by_protobuf<T>(text);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(message, wanted))
      << message.DebugString() << "\ninstead of\n"
      << wanted.DebugString();
  // Whoever reads the bytes without parsing them sees no more than is set either.
  EXPECT_EQ(bytes->size(), wanted.ByteSizeLong()) << text;
}

using envoy::config::bootstrap::v3::Bootstrap;
using envoy::config::cluster::v3::Cluster;
using envoy::config::route::v3::RouteConfiguration;

TEST(JsonToWire, SaysWhatProtobufSays) {
  expect_same<Cluster>("{}");
  expect_same<Cluster>(R"({"name": "a", "alt_stat_name": "", "altStatName": null})");
  expect_same<Cluster>(R"({"type": "EDS", "lbPolicy": 2, "connect_timeout": "0.25s"})");
  expect_same<Cluster>(R"({"connectTimeout": "3s", "dnsRefreshRate": "-1.000000001s"})");
  expect_same<Cluster>(R"({"maxRequestsPerConnection": 7, "respectDnsTtl": true})");
  expect_same<Cluster>(R"({"perConnectionBufferLimitBytes": "4096", "respectDnsTtl": false})");
  expect_same<Cluster>(R"({"circuitBreakers": {"thresholds": [
      {"maxConnections": 4294967295.0, "retryBudget": {"budgetPercent": {"value": 12.5}}},
      {"priority": "HIGH", "trackRemaining": true}]}})");
  expect_same<Cluster>(R"({"metadata": {"filterMetadata": {"istio": {
      "none": null, "yes": true, "no": false, "number": -2.5, "text": "é\u0000",
      "list": [1, "2", [], {}, null], "deeper": {"a": {"b": {}}}}, "empty": {}}}})");
  expect_same<Cluster>(R"({"typed_extension_protocol_options": {"x": {
      "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
      "explicitHttpConfig": {"http2ProtocolOptions": {"maxConcurrentStreams": 3}}}}})");
  expect_same<Cluster>(R"({"transport_socket": {"typed_config": {
      "@type": "type.googleapis.com/google.protobuf.Struct", "value": {"a": 1}}}})");
  expect_same<Cluster>(R"({"transport_socket": {"typed_config": {
      "@type": "type.googleapis.com/google.protobuf.Duration", "value": "1.5s"}}})");
  expect_same<RouteConfiguration>(R"({"virtualHosts": [{"domains": ["*", "b"], "routes": [
      {"match": {"prefix": "", "caseSensitive": false, "runtimeFraction":
         {"defaultValue": {"numerator": 0, "denominator": "MILLION"}}},
       "route": {"cluster": "c", "retryPolicy": {"retriableStatusCodes": [503, 504]}}},
      {"match": {"path": "/"}, "directResponse": {"status": 200, "body": {"inlineBytes": "aGk="}}},
      {"match": {"headers": [{"name": "n", "rangeMatch": {"start": "-5", "end": 10}}]},
       "nonForwardingAction": {}}]}]})");
  expect_same<Bootstrap>(R"({"node": {"id": "n", "metadata": {"A": "b"}},
      "layeredRuntime": {"layers": [{"name": "l", "staticLayer": {"x.y": 5}}]}})");
}

struct Bad {
  std::string text;
  std::string said;
};

TEST(JsonToWire, NamesWhatIsWrong) {
  const std::vector<Bad> all = {
      {R"([])", "must be an object with fields, but is []"},
      {R"({"nam": "a"})", "nam: envoy.config.cluster.v3.Cluster has no such field"},
      {R"({"name": 5})", "name: must be text, but is 5"},
      {R"({"lbPolicy": "BEST"})", "lbPolicy: must be one of ROUND_ROBIN, LEAST_REQUEST, "},
      {R"({"connectTimeout": "5"})", "connectTimeout: must be a duration such as \"1.5s\""},
      {R"({"connectTimeout": 5})", "connectTimeout: must be a duration"},
      {R"({"connectTimeout": "1.0000000001s"})", "connectTimeout: must be a duration"},
      {R"({"maxRequestsPerConnection": -1})",
       "maxRequestsPerConnection: must be a whole number between 0 and 4294967295, but is -1"},
      {R"({"maxRequestsPerConnection": 1.5})", "maxRequestsPerConnection: must be a whole number"},
      {R"({"respectDnsTtl": 1})", "respectDnsTtl: must be true or false, but is 1"},
      {R"({"circuitBreakers": {"thresholds": {}}})", "thresholds: must be a list, but is {}"},
      {R"({"circuitBreakers": {"thresholds": [{}, {"x": 1}]}})",
       "circuitBreakers: thresholds: 1: x: "},
      {R"({"type": "EDS", "clusterType": {}})", "only one of its kind may be set"},
      {R"({"transportSocket": {"typedConfig": {"a": 1}}})", "typedConfig: @type is missing"},
      {R"({"transportSocket": {"typedConfig": {"@type": "x/no.Such"}}})",
       "@type: x/no.Such is not known here"},
      {R"({"metadata": {"filterMetadata": []}})", "must be an object of keys and values"},
  };
  for (const Bad& one : all) {
    const auto bytes = json_to_wire(json::parse(one.text), "envoy.config.cluster.v3.Cluster");
    ASSERT_FALSE(bytes) << one.text;
    EXPECT_NE(bytes.error().message.find(one.said), std::string::npos) << bytes.error().message;
  }
  EXPECT_FALSE(json_to_wire(json::object(), "no.Such"));
}

TEST(JsonToWire, IsBounded) {
  json deep = json::object();
  for (int i = 0; i < 200; ++i) deep = {{"a", deep}};
  const auto bytes = json_to_wire(deep, "google.protobuf.Struct");
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code, Code::kLimit);
}

TEST(WireTable, HoldsWhatTheSchemasSay) {
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (std::uint32_t i = 0; i < table::kMessageCount; ++i) {
    const WireMessage& message = table::kMessages[i];
    const auto* type = pool->FindMessageTypeByName(std::string(wire_text(message.name)));
    ASSERT_NE(type, nullptr) << wire_text(message.name);
    EXPECT_EQ(find_message(type->full_name()), &message);
    ASSERT_EQ(static_cast<int>(message.count), type->field_count());
    for (const WireField& field : fields_of(message)) {
      const auto* wanted = type->FindFieldByNumber(static_cast<int>(field.number));
      ASSERT_NE(wanted, nullptr);
      EXPECT_EQ(find_field(message, field.number), &field);
      EXPECT_EQ(find_field(message, wanted->name()), &field);
      EXPECT_EQ(wire_text(field.json_name), wanted->json_name());
      EXPECT_EQ(field.type, static_cast<int>(wanted->type()));
      if (type_of(field) == WireType::kMessage) {
        EXPECT_EQ(wire_text(message_of(field).name), wanted->message_type()->full_name());
      }
    }
  }
  EXPECT_EQ(find_message("type.googleapis.com/envoy.config.cluster.v3.Cluster"),
            find_message("envoy.config.cluster.v3.Cluster"));
  EXPECT_EQ(find_message("envoy.config.cluster.v3.Clusters"), nullptr);
}

TEST(StructJson, GivesBackWhatWasSaid) {
  const json said = {{"a", 1}, {"b", -0.5}, {"c", {{"d", nullptr}, {"e", {true, "x"}}}}};
  google::protobuf::Struct made;
  ASSERT_TRUE(made.ParseFromString(*json_to_wire(said, "google.protobuf.Struct")));
  EXPECT_EQ(struct_to_json(made), said);
}

}  // namespace
}  // namespace mizzen::api
