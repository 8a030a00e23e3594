// Analysers as a table: manifests in, findings out.
#include "config/analyze.h"

#include <gtest/gtest.h>

#include "object/yaml.h"

namespace mizzen::config {
namespace {

// A mesh in which all is well.
constexpr std::string_view kShop = R"(
kind: Namespace
apiVersion: v1
metadata: {name: default, labels: {istio-injection: enabled}}
---
kind: Service
apiVersion: v1
metadata: {name: reviews, namespace: default}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
kind: Service
apiVersion: v1
metadata: {name: store, namespace: default}
spec: {selector: {app: store}, ports: [{name: tcp-db, port: 3306}, {name: http-admin, port: 80}]}
---
kind: Pod
apiVersion: v1
metadata: {name: reviews-v1-a, namespace: default, labels: {app: reviews, version: v1}}
spec: {containers: [{name: reviews}, {name: istio-proxy}]}
---
kind: Service
apiVersion: v1
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, ports: [{name: http2, port: 80, targetPort: 8080}]}
---
kind: Pod
apiVersion: v1
metadata: {name: istio-ingressgateway-a, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {containers: [{name: istio-proxy}]}
---
kind: DestinationRule
apiVersion: networking.istio.io/v1
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: front, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["shop.example.com"]}]
)";

std::string rule(std::string_view kind, std::string_view name, std::string_view spec) {
  const std::string group = kind == "AuthorizationPolicy" || kind == "PeerAuthentication"
                                ? "security.istio.io/v1"
                                : "networking.istio.io/v1";
  return "apiVersion: " + group + "\nkind: " + std::string(kind) +
         "\nmetadata: {name: " + std::string(name) +
         ", namespace: default}\nspec: " + std::string(spec) + "\n";
}

std::vector<std::string> found(std::string_view extra, std::string_view base = kShop) {
  std::vector<SourcedObject> objects;
  for (std::string_view text : {base, extra}) {
    auto documents = object::parse_manifest(text);
    EXPECT_TRUE(documents) << documents.error().message;
    if (!documents) return {};
    for (auto& document : *documents)
      objects.push_back(
          {std::move(document.value), text == extra ? "new.yaml" : "", document.line});
  }
  std::vector<std::string> out;
  for (const Diagnosis& one : analyze(objects)) out.push_back(to_string(one));
  return out;
}

struct AnalysisRow {
  const char* name;
  std::string extra;
  std::vector<std::string> wanted;  // the beginnings, in order
};

void PrintTo(const AnalysisRow& row, std::ostream* out) { *out << row.name; }

class Analyze : public testing::TestWithParam<AnalysisRow> {};

TEST_P(Analyze, Finds) {
  const auto got = found(GetParam().extra);
  ASSERT_EQ(got.size(), GetParam().wanted.size()) << testing::PrintToString(got);
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_TRUE(got[i].starts_with(GetParam().wanted[i])) << got[i];
}

const AnalysisRow kDestinations[] = {
    {"NothingWrong", "", {}},
    {"Route",
     rule("VirtualService", "r",
          "{hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}}]}]}"),
     {}},
    {"MissingHost",
     rule("VirtualService", "r",
          "{hosts: [reviews], http: [{route: [{destination: {host: no}}]}]}"),
     {"Error [IST0101] (VirtualService default/r new.yaml:1) Referenced host not found: \"no\""}},
    {"MissingMirror",
     rule("VirtualService", "r",
          "{hosts: [reviews], http: [{route: [{destination: {host: reviews}}], mirror: {host: "
          "no}}]}"),
     {"Error [IST0101] (VirtualService default/r new.yaml:1) Referenced host not found: \"no\""}},
    {"MissingSubset",
     rule("VirtualService", "r",
          "{hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v9}}]}]}"),
     {"Error [IST0101] (VirtualService default/r new.yaml:1) Referenced host+subset in "
      "destinationrule not found: \"reviews+v9\""}},
    {"PortNeeded",
     rule("VirtualService", "r",
          "{hosts: [store], http: [{route: [{destination: {host: store}}]}]}"),
     {"Error [IST0112] (VirtualService default/r new.yaml:1) This VirtualService routes to a "
      "service "
      "\"store\" that exposes multiple ports [3306 80]."}},
    {"MissingPort",
     rule("VirtualService", "r",
          "{hosts: [store], http: [{route: [{destination: {host: store, port: {number: 81}}}]}]}"),
     {"Error [IST0101] (VirtualService default/r new.yaml:1) Referenced host:port not found: "
      "\"store:81\""}},
    {"ServiceEntryHostIsAHost",
     rule("ServiceEntry", "e",
          "{hosts: [db.example.com], ports: [{number: 80, name: http, protocol: HTTP}], "
          "resolution: DNS}") +
         "---\n" +
         rule(
             "VirtualService", "r",
             "{hosts: [db.example.com], http: [{route: [{destination: {host: db.example.com}}]}]}"),
     {}},
};

const AnalysisRow kRoutes[] = {
    {"MissingGateway",
     rule("VirtualService", "r",
          "{hosts: [x.example.com], gateways: [back], http: [{route: [{destination: {host: "
          "reviews}}]}]}"),
     {"Error [IST0101] (VirtualService default/r new.yaml:1) Referenced gateway not found: "
      "\"back\""}},
    {"HostNotInGateway",
     rule("VirtualService", "r",
          "{hosts: [x.example.com], gateways: [front], http: [{route: [{destination: {host: "
          "reviews}}]}]}"),
     {"Warning [IST0132] (VirtualService default/r new.yaml:1) one or more host [x.example.com] "
      "defined in VirtualService default/r not found in Gateway front."}},
    {"ConflictingHosts",
     rule("VirtualService", "a",
          "{hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}") +
         "---\n" +
         rule("VirtualService", "b",
              "{hosts: [reviews.default.svc.cluster.local], http: [{route: [{destination: {host: "
              "reviews}}]}]}"),
     {"Error [IST0109] (VirtualService default/a new.yaml:1) The VirtualServices "
      "default/a,default/b "
      "associated with mesh gateway define the same host reviews.default.svc.cluster.local",
      "Error [IST0109] (VirtualService default/b "}},
    {"UnreachableRule",
     rule("VirtualService", "r",
          "{hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}, {match: [{uri: "
          "{prefix: /a}}], route: [{destination: {host: reviews}}]}]}"),
     {"Warning [IST0130] (VirtualService default/r new.yaml:1) VirtualService rule #1 not used "
      "(only "
      "the last rule can have no matches)."}},
    {"DuplicateMatch",
     rule("VirtualService", "r",
          "{hosts: [reviews], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: "
          "reviews}}]}, {name: second, match: [{uri: {prefix: /a}}, {uri: {prefix: /b}}], route: "
          "[{destination: {host: reviews}}]}]}"),
     {"Info [IST0131] (VirtualService default/r new.yaml:1) VirtualService rule \"second\" match "
      "#0 is "
      "not used (duplicate/overlapping match in rule #0)."}},
};

const AnalysisRow kRules[] = {
    {"SubsetWithoutPods",
     rule("DestinationRule", "reviews",
          "{host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: "
          "{version: "
          "v2}}]}"),
     {"Error [IST0173] (DestinationRule default/reviews new.yaml:1) The Subset v2 defined in the "
      "DestinationRule does not select any pods."}},
    {"UnusedDestinationRule",
     rule("DestinationRule", "d", "{host: nowhere}"),
     {"Error [IST0101] (DestinationRule default/d new.yaml:1) Referenced host not found: "
      "\"nowhere\""}},
    {"WildcardDestinationRule", rule("DestinationRule", "d", "{host: \"*.local\"}"), {}},
    {"UncheckedTls",
     rule("DestinationRule", "d", "{host: reviews, trafficPolicy: {tls: {mode: SIMPLE}}}"),
     {"Warning [IST0128] (DestinationRule default/d new.yaml:1) DestinationRule d in namespace "
      "default "
      "has TLS mode set to SIMPLE"}},
    {"OldNames",
     rule("DestinationRule", "d",
          "{host: reviews, trafficPolicy: {outlierDetection: {consecutiveErrors: 5}}}"),
     {"Warning [IST0002] (DestinationRule default/d new.yaml:1) Deprecated: "
      "DestinationRule.trafficPolicy.outlierDetection.consecutiveErrors is deprecated"}},
};

const AnalysisRow kGateways[] = {
    {"GatewayForNobody",
     rule("Gateway", "g",
          "{selector: {istio: no}, servers: [{port: {number: 80, name: http, protocol: HTTP}, "
          "hosts: "
          "[a.example.com]}]}"),
     {"Error [IST0101] (Gateway default/g new.yaml:1) Referenced selector not found: "
      "\"istio=no\""}},
    {"GatewayPort",
     rule("Gateway", "g",
          "{selector: {istio: ingressgateway}, servers: [{port: {number: 9999, name: http, "
          "protocol: "
          "HTTP}, hosts: [a.example.com]}]}"),
     {"Warning [IST0162] (Gateway default/g new.yaml:1) The gateway is listening on a target port "
      "(port 9999)"}},
    {"GatewaySecret",
     rule(
         "Gateway", "g",
         "{selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: https, protocol: "
         "HTTPS}, tls: {mode: SIMPLE, credentialName: cert}, hosts: [a.example.com]}]}"),
     {"Error [IST0101] (Gateway default/g new.yaml:1) Referenced credentialName not found: "
      "\"cert\""}},
    {"ConflictingGateways",
     rule("Gateway", "g",
          "{selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: "
          "HTTP}, hosts: [shop.example.com]}]}"),
     {"Error [IST0145] (Gateway default/front) Conflict with gateways default/g (workload selector "
      "istio=ingressgateway, port 80, hosts shop.example.com).",
      "Error [IST0145] (Gateway default/g new.yaml:1) Conflict with gateways default/front"}},
};

const AnalysisRow kSelectors[] = {
    {"TwoOpenSidecars",
     rule("Sidecar", "a", "{egress: [{hosts: [./*]}]}") + "---\n" +
         rule("Sidecar", "b", "{egress: [{hosts: [./*]}]}"),
     {"Error [IST0111] (Sidecar default/a new.yaml:1) The Sidecars [a b] in namespace \"default\" "
      "have "
      "no workload selector",
      "Error [IST0111] (Sidecar default/b"}},
    {"TwoSidecarsForAPod",
     rule("Sidecar", "a",
          "{workloadSelector: {labels: {app: reviews}}, egress: [{hosts: [./*]}]}") +
         "---\n" +
         rule("Sidecar", "b",
              "{workloadSelector: {labels: {version: v1}}, egress: [{hosts: [./*]}]}"),
     {"Error [IST0110] (Sidecar default/a new.yaml:1) The Sidecars [a b] in namespace \"default\" "
      "select the same workload pod \"reviews-v1-a\"",
      "Error [IST0110] (Sidecar default/b"}},
    {"PolicyForNobody",
     rule("PeerAuthentication", "p", "{selector: {matchLabels: {app: no}}, mtls: {mode: STRICT}}"),
     {"Warning [IST0127] (PeerAuthentication default/p new.yaml:1) No matching workloads for this "
      "resource with the following labels: app=no"}},
    {"PolicyFromNowhere",
     rule("AuthorizationPolicy", "p", "{rules: [{from: [{source: {namespaces: [nowhere]}}]}]}"),
     {"Error [IST0101] (AuthorizationPolicy default/p new.yaml:1) Referenced namespace not found: "
      "\"nowhere\""}},
};

const AnalysisRow kWorkloads[] = {
    {"NamespaceWithoutInjection",
     "kind: Namespace\napiVersion: v1\nmetadata: {name: other}\n",
     {"Info [IST0102] (Namespace other new.yaml:1) The namespace is not enabled for Istio "
      "injection. "
      "Run 'kubectl label namespace other istio-injection=enabled' to enable it"}},
    {"NamespaceWithTwoLabels",
     "kind: Namespace\napiVersion: v1\nmetadata: {name: other, labels: {istio-injection: enabled, "
     "istio.io/rev: x}}\n",
     {"Warning [IST0123] (Namespace other new.yaml:1) "}},
    {"PodWithoutProxy",
     "kind: Pod\napiVersion: v1\nmetadata: {name: bare, namespace: default}\nspec: {containers: "
     "[{name: a}]}\n",
     {"Warning [IST0103] (Pod default/bare new.yaml:1) The pod default/bare is missing the Istio "
      "proxy."}},
    {"PodThatWantsNone",
     "kind: Pod\napiVersion: v1\nmetadata: {name: bare, namespace: default, labels: "
     "{sidecar.istio.io/inject: \"false\"}}\nspec: {containers: [{name: a}]}\n",
     {}},
    {"PortName",
     "kind: Service\napiVersion: v1\nmetadata: {name: s, namespace: default}\nspec: {ports: "
     "[{name: "
     "web, port: 80, targetPort: 8080}]}\n",
     {"Info [IST0118] (Service default/s new.yaml:1) Port name web (port: 80, targetPort: 8080) "
      "doesn't follow the naming convention of Istio port."}},
    {"PortsOfOneTarget",
     "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: reviews, namespace: default}\nspec: "
     "{template: {metadata: {labels: {app: reviews}}}}\n---\nkind: Service\napiVersion: "
     "v1\nmetadata: "
     "{name: again, namespace: default}\nspec: {selector: {app: reviews}, ports: [{name: http, "
     "port: "
     "80, targetPort: 9080}]}\n",
     {"Warning [IST0137] (Deployment default/reviews new.yaml:1) This deployment reviews.default "
      "is "
      "associated with multiple services [again reviews] using targetPort \"9080\" but different "
      "ports: [80 9080]."}},
    {"Schema",
     rule("VirtualService", "r", "{hosts: [reviews], htp: []}"),
     {"Error [IST0106] (VirtualService default/r new.yaml:1) Schema validation error: spec.htp: "
      "unknown field",
      "Error [IST0106] (VirtualService default/r new.yaml:1) Schema validation error: spec: "}},
};

std::string name_of_row(const testing::TestParamInfo<AnalysisRow>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Destinations, Analyze, testing::ValuesIn(kDestinations), name_of_row);
INSTANTIATE_TEST_SUITE_P(Routes, Analyze, testing::ValuesIn(kRoutes), name_of_row);
INSTANTIATE_TEST_SUITE_P(Rules, Analyze, testing::ValuesIn(kRules), name_of_row);
INSTANTIATE_TEST_SUITE_P(Gateways, Analyze, testing::ValuesIn(kGateways), name_of_row);
INSTANTIATE_TEST_SUITE_P(Selectors, Analyze, testing::ValuesIn(kSelectors), name_of_row);
INSTANTIATE_TEST_SUITE_P(Workloads, Analyze, testing::ValuesIn(kWorkloads), name_of_row);

TEST(AnalyzeObjects, AFileTakesTheClustersPlace) {
  const auto got = found(rule("Gateway", "front",
                              "{selector: {istio: no}, servers: [{port: {number: 80, name: http, "
                              "protocol: HTTP}, hosts: [a.example.com]}]}"));
  ASSERT_EQ(got.size(), 1U) << testing::PrintToString(got);
  EXPECT_TRUE(got[0].starts_with("Error [IST0101] (Gateway default/front new.yaml:1)"));
}

}  // namespace
}  // namespace mizzen::config
