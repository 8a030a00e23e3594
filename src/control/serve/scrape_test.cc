#include "control/serve/scrape.h"

#include <gtest/gtest.h>

#include "object/yaml.h"

namespace mizzen::control {
namespace {

using object::Json;

constexpr std::string_view kScrapedPod = R"(
kind: Pod
metadata:
  name: reviews-v1-abc
  namespace: default
  labels: {app: reviews, pod-template-hash: abc}
  annotations: {prometheus.io/scrape: "true", prometheus.io/port: "15020",
                prometheus.io/path: /stats/prometheus, other: x}
spec:
  nodeName: one
  containers: [{name: reviews, ports: [{containerPort: 9080}, {containerPort: 53, protocol: UDP}]}]
status:
  phase: Running
  podIP: 10.1.0.7
  conditions: [{type: Ready, status: "True"}]
)";

Json pod() { return object::parse_manifest(kScrapedPod)->at(0).value; }

TEST(ScrapeTargets, TakesPortAndPathFromTheAnnotations) {
  ScrapeTargets scrape;
  scrape.apply(pod());
  Json targets = scrape.targets();
  ASSERT_EQ(targets.size(), 1U);
  EXPECT_EQ(targets[0]["targets"], Json::array({"10.1.0.7:15020"}));
  const Json& labels = targets[0]["labels"];
  EXPECT_EQ(labels["__metrics_path__"], "/stats/prometheus");
  EXPECT_EQ(labels["__scheme__"], "http");
  EXPECT_EQ(labels["namespace"], "default");
  EXPECT_EQ(labels["pod"], "reviews-v1-abc");
  EXPECT_EQ(labels["app"], "reviews");
  EXPECT_EQ(labels["__meta_kubernetes_pod_label_pod_template_hash"], "abc");
  EXPECT_EQ(labels["__meta_kubernetes_pod_annotation_prometheus_io_port"], "15020");
  EXPECT_EQ(labels["__meta_kubernetes_pod_ready"], "true");
  EXPECT_EQ(labels["__meta_kubernetes_pod_node_name"], "one");
  EXPECT_FALSE(labels.contains("__meta_kubernetes_pod_annotation_other"));
  for (const auto& [name, value] : labels.items()) EXPECT_TRUE(value.is_string()) << name;
}

TEST(ScrapeTargets, WithoutAPortEveryTcpPortOfTheContainers) {
  ScrapeTargets scrape;
  Json one = pod();
  one["metadata"]["annotations"].erase("prometheus.io/port");
  scrape.apply(one);
  EXPECT_EQ(scrape.targets()[0]["targets"], Json::array({"10.1.0.7:9080"}));
  one["status"]["podIP"] = "fd00::7";
  scrape.apply(one);
  EXPECT_EQ(scrape.targets()[0]["targets"], Json::array({"[fd00::7]:9080"}));
}

TEST(ScrapeTargets, ForgetsWhoHasEndedOrWantsNoMore) {
  ScrapeTargets scrape;
  scrape.apply(pod());
  scrape.remove(
      {{"kind", "Service"}, {"metadata", {{"name", "reviews-v1-abc"}, {"namespace", "default"}}}});
  EXPECT_EQ(scrape.targets().size(), 1U);
  Json ended = pod();
  ended["status"]["phase"] = "Succeeded";
  scrape.apply(ended);
  EXPECT_TRUE(scrape.targets().empty());
  scrape.apply(pod());
  Json silent = pod();
  silent["metadata"]["annotations"]["prometheus.io/scrape"] = "false";
  scrape.apply(silent);
  EXPECT_TRUE(scrape.targets().empty());
  scrape.apply(pod());
  scrape.remove(pod());
  EXPECT_TRUE(scrape.targets().empty());
}

}  // namespace
}  // namespace mizzen::control
