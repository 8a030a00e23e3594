#include "local/controllers/endpoints.h"

#include <gtest/gtest.h>

namespace mizzen::local {
namespace {

Object pod(const char* name, const char* ip, bool ready, const char* phase = "Running") {
  return std::make_shared<const Json>(Json{
      {"metadata",
       {{"name", name}, {"namespace", "default"}, {"uid", name}, {"labels", {{"app", "web"}}}}},
      {"spec",
       {{"nodeName", "mizzen"},
        {"containers",
         Json::array(
             {Json{{"name", "c"},
                   {"ports", Json::array({Json{{"name", "http"}, {"containerPort", 8080}}})}}})}}},
      {"status",
       {{"podIP", ip},
        {"phase", phase},
        {"conditions",
         Json::array({Json{{"type", "Ready"}, {"status", ready ? "True" : "False"}}})}}}});
}

Json service() {
  return Json::parse(R"({"metadata": {"name": "web", "namespace": "default", "uid": "u"},
    "spec": {"clusterIP": "10.96.1.1", "selector": {"app": "web"},
             "ports": [{"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080}]}})");
}

TEST(Endpoints, ReadyPodsServeOthersWait) {
  auto subsets =
      endpoint_subsets(service(), {pod("a", "10.244.0.10", true), pod("b", "10.244.0.11", false),
                                   pod("c", "10.244.0.12", true, "Succeeded"), pod("d", "", true)});
  ASSERT_EQ(subsets.size(), 1U);
  EXPECT_EQ(subsets[0]["addresses"].size(), 1U);
  EXPECT_EQ(subsets[0]["addresses"][0]["ip"], "10.244.0.10");
  EXPECT_EQ(subsets[0]["notReadyAddresses"][0]["ip"], "10.244.0.11");
  EXPECT_EQ(subsets[0]["ports"][0]["port"], 8080);
}

TEST(Endpoints, NoSelectorNoPods) {
  Json s = service();
  s["spec"].erase("selector");
  EXPECT_TRUE(endpoint_subsets(s, {pod("a", "10.244.0.10", true)}).empty());
}

TEST(Endpoints, RulesSendServicePortsToReadyBackends) {
  Json endpoints = {{"subsets", endpoint_subsets(service(), {pod("a", "10.244.0.10", true)})}};
  auto ports = service_ports(service(), &endpoints);
  ASSERT_EQ(ports.size(), 1U);
  ASSERT_EQ(ports[0].backends.size(), 1U);
  EXPECT_EQ(ports[0].backends[0], (ServiceBackend{"10.244.0.10", 8080}));
  std::string rules = service_rules(ports, {15});
  EXPECT_NE(rules.find("10.96.1.1 . tcp . 80 : goto svc0"), std::string::npos);
  EXPECT_NE(rules.find("tcp . 30080 : goto svc0"), std::string::npos);
  EXPECT_NE(rules.find("0 : 10.244.0.10 . 8080"), std::string::npos);
  EXPECT_NE(rules.find("dnat to 10.244.0.1:15"), std::string::npos);
}

TEST(Endpoints, SlicesCarryReadiness) {
  auto subsets =
      endpoint_subsets(service(), {pod("a", "10.244.0.10", true), pod("b", "10.244.0.11", false)});
  Json slice = endpoint_slice(service(), "web-x", subsets[0], {});
  EXPECT_EQ(slice["endpoints"][0]["conditions"]["ready"], true);
  EXPECT_EQ(slice["endpoints"][1]["conditions"]["ready"], false);
  EXPECT_EQ(slice["metadata"]["labels"]["kubernetes.io/service-name"], "web");
}

}  // namespace
}  // namespace mizzen::local
