// What the store makes of entries, selectors and the mesh's own words.
#include "control/mesh/store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "control/mesh/test_objects.h"
#include "control/serve/scope.h"
#include "control/translate/translate.h"
#include "istio/nds.pb.h"

namespace mizzen::control {
namespace {

using object::Json;

std::string entry(const std::string& name, const std::string& host, const std::string& more = {}) {
  return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " + name +
         ", namespace: default}\nspec: {hosts: [" + host +
         "], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]" + more + "}\n";
}

constexpr std::string_view kPod = R"(
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: default, labels: {app: a}}
spec: {serviceAccountName: a}
status: {phase: Running, podIP: 10.1.0.1}
)";

TEST(Store, AutomaticAddressesDependOnNothingElse) {
  Store first;
  put(first, entry("one", "one.example.com"));
  const std::string address = first.snapshot()->service("one.example.com")->auto_address;
  EXPECT_TRUE(address.starts_with("240.240."));
  Store second;
  for (int i = 0; i < 300; ++i) {
    const std::string name = "x" + std::to_string(i);
    put(second, entry(name, name + ".example.com"));
  }
  put(second, entry("one", "one.example.com"));
  const auto snapshot = second.snapshot();
  EXPECT_EQ(snapshot->service("one.example.com")->auto_address, address);
  std::set<std::string> seen;
  for (const auto& [host, service] : snapshot->services) {
    EXPECT_TRUE(seen.insert(service->auto_address).second) << host;
  }
}

TEST(Store, EntriesFollowThePodsTheySelect) {
  Store store;
  put(store, entry("sel", "sel.internal", ", workloadSelector: {labels: {app: a}}"));
  EXPECT_TRUE(store.snapshot()->service("sel.internal")->endpoints.empty());
  EXPECT_EQ(put(store, kPod), Change::kEndpoints);
  ASSERT_EQ(store.snapshot()->service("sel.internal")->endpoints.size(), 1U);
  EXPECT_EQ(store.snapshot()->service("sel.internal")->endpoints[0].address, "10.1.0.1");
  EXPECT_EQ(store.snapshot()->service("sel.internal")->accounts,
            std::vector<std::string>{"spiffe://cluster.local/ns/default/sa/a"});
  const auto removed = object::parse_manifest(kPod);
  EXPECT_EQ(store.remove(removed->front().value), Change::kEndpoints);
  EXPECT_TRUE(store.snapshot()->service("sel.internal")->endpoints.empty());
}

TEST(Store, RulesMadeOfSeveralStayTheSameObjects) {
  const auto rule = [](const std::string& kind, const std::string& name, const std::string& spec) {
    return "apiVersion: networking.istio.io/v1\nkind: " + kind + "\nmetadata: {name: " + name +
           ", namespace: default}\nspec: " + spec + "\n";
  };
  Store store;
  put(store, rule("DestinationRule", "a", "{host: web, subsets: [{name: a}]}"));
  put(store, rule("DestinationRule", "b", "{host: web, subsets: [{name: b}]}"));
  put(store, rule("VirtualService", "root", "{hosts: [web], http: [{delegate: {name: rest}}]}"));
  put(store, rule("VirtualService", "rest", "{http: [{route: [{destination: {host: web}}]}]}"));
  const auto first = store.snapshot();
  const auto root_of = [](const Snapshot& snapshot) {
    return std::ranges::find(snapshot.virtual_services, "root", &VirtualServiceRule::name)->spec;
  };
  put(store, kPod);
  put(store, rule("VirtualService", "other",
                  "{hosts: [o.example], http: [{route: [{destination: "
                  "{host: web}}]}]}"));
  const auto second = store.snapshot();
  ASSERT_NE(first, second);
  EXPECT_EQ(first->destination_rules[0].spec, second->destination_rules[0].spec);
  EXPECT_EQ(root_of(*first), root_of(*second));
  put(store, rule("VirtualService", "rest", "{http: [{route: [{destination: {host: o}}]}]}"));
  EXPECT_NE(root_of(*second), root_of(*store.snapshot()));
}

TEST(Store, ServicesFollowWorkloadEntries) {
  Store store;
  put(store, R"(
apiVersion: v1
kind: Service
metadata: {name: vm, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: vm}, ports: [{name: http, port: 80, targetPort: 8080}]}
)");
  constexpr std::string_view kEntry = R"(
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: default}
spec: {address: 192.0.2.1, labels: {app: vm}}
)";
  const char* host = "vm.default.svc.cluster.local";
  EXPECT_EQ(put(store, kEntry), Change::kEndpoints);
  ASSERT_EQ(store.snapshot()->service(host)->endpoints.size(), 1U);
  EXPECT_EQ(store.snapshot()->service(host)->endpoints[0].port, 8080);
  EXPECT_EQ(put(store, kEntry), Change::kNone);
  const auto removed = object::parse_manifest(kEntry);
  EXPECT_EQ(store.remove(removed->front().value), Change::kEndpoints);
  EXPECT_TRUE(store.snapshot()->service(host)->endpoints.empty());
}

TEST(Store, NamesForTheAgent) {
  Store store;
  put(store, entry("one", "one.example.com"));
  put(store, entry("two", "two.example.com", ", addresses: [192.0.2.9, 198.51.100.0/24]"));
  Proxy proxy;
  proxy.name_space = "default";
  const auto table = [&] {
    istio::networking::nds::v1::NameTable out;
    EXPECT_TRUE(
        out.ParseFromString(translate_names(*store.snapshot(), proxy)->begin()->second->bytes));
    return out;
  };
  EXPECT_EQ(table().table().size(), 1U);
  EXPECT_EQ(table().table().at("two.example.com").ips(0), "192.0.2.9");
  proxy.auto_address = true;
  EXPECT_TRUE(table().table().at("one.example.com").ips(0).starts_with("240.240."));
}

TEST(Store, ProxyConfigsInTheirOrder) {
  Store store;
  put(store, R"(
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "defaultConfig: {concurrency: 1, proxyMetadata: {A: mesh, B: mesh, C: mesh, D: mesh}}"}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: root, namespace: istio-system}
spec: {environmentVariables: {B: root, C: root, D: root}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: one, namespace: default}
spec: {selector: {matchLabels: {app: one}}, concurrency: 0, environmentVariables: {D: workload}}
)");
  const Json annotation = {{"concurrency", 5}, {"proxyMetadata", {{"C", "pod"}, {"D", "pod"}}}};
  const Json one = store.proxy_config("default", {{"app", "one"}}, annotation);
  EXPECT_EQ(one.at("concurrency"), 0);
  EXPECT_EQ(one.at("proxyMetadata").dump(), R"({"A":"mesh","B":"root","C":"pod","D":"workload"})");
  EXPECT_EQ(store.proxy_config("default", {}, annotation).at("concurrency"), 5);
}

TEST(MeshConfig, SaysWhatIsWrongAndWhatDoesNotAct) {
  std::vector<std::string> problems;
  const MeshConfig mesh = parse_mesh_config(
      "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nenableTracing: true\nacessLogFile: x\n"
      "defaultConfig: {drainDuration: 3s}\n",
      {}, &problems);
  EXPECT_TRUE(mesh.registry_only);
  std::ranges::sort(problems);
  ASSERT_EQ(problems.size(), 3U);
  EXPECT_TRUE(problems[0].starts_with("acessLogFile: ")) << problems[0];
  EXPECT_EQ(problems[1], "defaultConfig.drainDuration: read but not acted on yet");
  EXPECT_EQ(problems[2], "enableTracing: read but not acted on yet");
}

TEST(MeshConfig, NamespacesComeAndGoByTheirLabels) {
  Store store;
  put(store, R"(
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "discoverySelectors: [{matchExpressions: [{key: mesh, operator: Exists}]}]"}
)");
  put(store, entry("one", "one.example.com"));
  EXPECT_EQ(store.snapshot()->service("one.example.com"), nullptr);
  EXPECT_EQ(put(store,
                "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: "
                "{mesh: x}}\n"),
            Change::kConfig);
  EXPECT_NE(store.snapshot()->service("one.example.com"), nullptr);
}

}  // namespace
}  // namespace mizzen::control
