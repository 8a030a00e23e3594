#include "inject/inject.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace mizzen::inject {
namespace {

Json productpage() {
  return Json::parse(R"({
    "metadata": {"labels": {"app": "productpage", "version": "v1", "pod-template-hash": "574c"},
                 "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9080",
                                 "prometheus.io/path": "/metrics"}},
    "spec": {"serviceAccountName": "bookinfo-productpage",
             "containers": [{"name": "productpage", "image": "x",
                             "ports": [{"containerPort": 9080, "name": "web"}],
                             "readinessProbe": {"httpGet": {"path": "/health", "port": "web"},
                                                "timeoutSeconds": 7},
                             "livenessProbe": {"exec": {"command": ["true"]}}}],
             "volumes": [{"name": "tmp", "emptyDir": {}}]}})");
}

const Json& container(const Json& pod, const char* list, const char* name) {
  static const Json kNone;
  for (const Json& entry : pod.at("spec").at(list)) {
    if (entry.at("name") == name) return entry;
  }
  ADD_FAILURE() << "no container " << name;
  return kNone;
}

std::string env(const Json& proxy, const char* name) {
  for (const Json& entry : proxy.at("env")) {
    if (entry.at("name") == name) return entry.value("value", "");
  }
  ADD_FAILURE() << "no variable " << name;
  return {};
}

Json injected() {
  return *inject_pod(productpage(), "default", "Deployment", "productpage-v1", {});
}

TEST(Inject, ProxyConfigOfThePodAndTheMesh) {
  Json pod = productpage();
  pod["metadata"]["annotations"]["proxy.istio.io/config"] =
      "concurrency: 3\nproxyMetadata: {ISTIO_META_DNS_CAPTURE: \"true\", TRUST_DOMAIN: other}\n"
      "holdApplicationUntilProxyStarts: true\n";
  Settings settings;
  std::string asked;
  settings.proxy_config = [&](const std::string& name_space, const Json& labels,
                              const Json& annotation) {
    asked = name_space + "/" + labels.value("app", "");
    Json out = {{"drainDuration", "7s"}, {"image", {{"imageType", "distroless"}}}};
    out.merge_patch(annotation);
    return out;
  };
  const Json made = *inject_pod(pod, "default", "Deployment", "productpage-v1", settings);
  EXPECT_EQ(asked, "default/productpage");
  const Json& proxy = container(made, "containers", "istio-proxy");
  EXPECT_EQ(made.at("spec").at("containers").at(0).at("name"), "istio-proxy");
  EXPECT_EQ(proxy.at("image"), "mizzen/proxyv2:latest-distroless");
  const Json config = Json::parse(env(proxy, "PROXY_CONFIG"));
  EXPECT_EQ(config.at("concurrency"), 3);
  EXPECT_EQ(config.at("drainDuration"), "7s");
  EXPECT_EQ(env(proxy, "ISTIO_META_DNS_CAPTURE"), "true");
  EXPECT_EQ(env(proxy, "TRUST_DOMAIN"), "other");
  const Json& args = container(made, "initContainers", "istio-init").at("args");
  EXPECT_NE(std::ranges::find(args, Json("--redirect-dns")), args.end());
  pod["metadata"]["annotations"]["proxy.istio.io/config"] = "- a list";
  EXPECT_FALSE(inject_pod(pod, "default", "", "", settings));
}

TEST(Inject, AddsProxyAndCapture) {
  const Json pod = injected();
  const Json& init = container(pod, "initContainers", "istio-init");
  EXPECT_EQ(init.at("args").dump(),
            R"(["istio-iptables","-p","15001","-z","15006","-u","1337","-m","REDIRECT","-i","*",)"
            R"("-x","","-b","*","-d","15090,15021,15020","--log_output_level=default:info"])");
  EXPECT_EQ(init.at("securityContext").at("capabilities").at("add").dump(),
            R"(["NET_ADMIN","NET_RAW"])");
  const Json& proxy = container(pod, "containers", "istio-proxy");
  EXPECT_EQ(proxy.at("securityContext").at("runAsUser"), 1337);
  EXPECT_EQ(proxy.at("readinessProbe").at("httpGet").at("port"), 15021);
  EXPECT_EQ(env(proxy, "ISTIO_META_WORKLOAD_NAME"), "productpage-v1");
  EXPECT_EQ(env(proxy, "ISTIO_META_OWNER"),
            "kubernetes://apis/apps/v1/namespaces/default/deployments/productpage-v1");
  EXPECT_EQ(env(proxy, "ISTIO_META_APP_CONTAINERS"), "productpage");
  EXPECT_EQ(Json::parse(env(proxy, "ISTIO_PROMETHEUS_ANNOTATIONS")).at("port"), "9080");
  EXPECT_EQ(pod.at("spec").at("volumes").size(), 9u);
}

TEST(Inject, LabelsAndAnnotations) {
  const Json meta = injected().at("metadata");
  EXPECT_EQ(meta.at("labels").at("security.istio.io/tlsMode"), "istio");
  EXPECT_EQ(meta.at("labels").at("service.istio.io/canonical-name"), "productpage");
  EXPECT_EQ(meta.at("labels").at("service.istio.io/canonical-revision"), "v1");
  EXPECT_EQ(meta.at("annotations").at("prometheus.io/port"), "15020");
  EXPECT_EQ(meta.at("annotations").at("kubectl.kubernetes.io/default-container"), "productpage");
  const Json status =
      Json::parse(meta.at("annotations").at("sidecar.istio.io/status").get<std::string>());
  EXPECT_EQ(status.at("containers").at(0), "istio-proxy");
}

TEST(Inject, ProbesGoThroughTheAgent) {
  const Json pod = injected();
  const Json& app = container(pod, "containers", "productpage");
  EXPECT_EQ(app.at("readinessProbe").at("httpGet").at("path"), "/app-health/productpage/readyz");
  EXPECT_EQ(app.at("readinessProbe").at("httpGet").at("port"), 15020);
  EXPECT_TRUE(app.at("livenessProbe").contains("exec"));
  const Json probers =
      Json::parse(env(container(pod, "containers", "istio-proxy"), "ISTIO_KUBE_APP_PROBERS"));
  const Json& ready = probers.at("/app-health/productpage/readyz");
  EXPECT_EQ(ready.at("httpGet").at("port"), 9080);
  EXPECT_EQ(ready.at("timeoutSeconds"), 7);
}

TEST(Inject, WhoIsInjected) {
  const Json enabled = {{"istio-injection", "enabled"}};
  const Settings settings;
  EXPECT_EQ(decide(productpage(), enabled, settings), Decision::kInject);
  EXPECT_EQ(decide(productpage(), Json::object(), settings), Decision::kOptedOut);
  EXPECT_EQ(decide(productpage(), Json(nullptr), settings), Decision::kOptedOut);
  EXPECT_EQ(decide(productpage(), {{"istio.io/rev", "default"}}, settings), Decision::kInject);
  EXPECT_EQ(decide(productpage(), {{"istio.io/rev", "canary"}}, settings), Decision::kOptedOut);
  Json pod = productpage();
  pod["metadata"]["labels"]["sidecar.istio.io/inject"] = "false";
  EXPECT_EQ(decide(pod, enabled, settings), Decision::kOptedOut);
  pod["metadata"]["labels"]["sidecar.istio.io/inject"] = "true";
  EXPECT_EQ(decide(pod, Json::object(), settings), Decision::kInject);
  pod["spec"]["hostNetwork"] = true;
  EXPECT_EQ(decide(pod, enabled, settings), Decision::kHostNetwork);
  EXPECT_EQ(decide(injected(), enabled, settings), Decision::kAlready);
}

TEST(Inject, PatchTurnsOneIntoTheOther) {
  const Json before = productpage();
  const Json after = injected();
  EXPECT_EQ(before.patch(json_patch(before, after)), after);
}

TEST(Inject, Documents) {
  const Json deployment = {{"kind", "Deployment"},
                           {"metadata", {{"name", "productpage-v1"}}},
                           {"spec", {{"template", productpage()}}}};
  const Json out = *inject_document(deployment, {});
  EXPECT_EQ(out.at("spec").at("template").at("spec").at("containers").size(), 2u);
  const Json service = {{"kind", "Service"}, {"metadata", {{"name", "x"}}}};
  EXPECT_EQ(*inject_document(service, {}), service);
  const Json list = {{"kind", "List"}, {"items", {deployment, service}}};
  EXPECT_EQ(inject_document(list, {})->at("items").at(0), out);
}

TEST(Inject, Gateways) {
  Json pod = Json::parse(R"({
    "metadata": {"annotations": {"inject.istio.io/templates": "gateway"}, "labels": {"istio": "x"}},
    "spec": {"containers": [{"name": "istio-proxy", "image": "auto",
                             "ports": [{"containerPort": 8080}]}]}})");
  const Json enabled = {{"istio-injection", "enabled"}};
  EXPECT_EQ(decide(pod, enabled, {}), Decision::kInject);
  const Json out = *inject_pod(pod, "ingress", "Deployment", "gw", {});
  const Json& proxy = container(out, "containers", "istio-proxy");
  EXPECT_EQ(proxy.at("args").at(1), "router");
  EXPECT_EQ(proxy.at("image"), Settings().proxy_image);
  EXPECT_EQ(proxy.at("ports").size(), 2u);
  EXPECT_FALSE(out.at("spec").contains("initContainers"));
  EXPECT_FALSE(out.at("metadata").at("labels").contains("security.istio.io/tlsMode"));
}

TEST(Inject, SaysWhatIsWrong) {
  EXPECT_EQ(inject_pod(Json::object(), "default", "", "", {}).error().message,
            "spec: missing; a pod needs its containers there");
  Json pod = productpage();
  pod["metadata"]["annotations"]["inject.istio.io/templates"] = "nosuch";
  EXPECT_FALSE(inject_pod(pod, "default", "", "", {}));
  for (const char* rubbish :
       {R"({"spec": {"containers": [{"name": 5}]}})",
        R"({"spec": {"containers": [{"name": "a", "ports": 7}]}})",
        R"({"spec": {"containers": [{"name": "a", "readinessProbe": {"httpGet": {"port": {}}}}]}})",
        R"({"metadata": {"labels": {"app": 1}}, "spec": {"containers": [3], "volumes": [4]}})"}) {
    const auto result = inject_pod(Json::parse(rubbish), "default", "", "", {});
    EXPECT_TRUE(result || result.error().code == Code::kInvalid);
  }
}

}  // namespace
}  // namespace mizzen::inject
