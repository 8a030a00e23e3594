#include "config/validate.h"

#include <gtest/gtest.h>

#include "config/crd.h"
#include "object/walker.h"
#include "object/yaml.h"

namespace mizzen::config {
namespace {

Json yaml(std::string_view text) {
  auto documents = object::parse_yaml(text);
  if (!documents || documents->empty()) {
    ADD_FAILURE() << (documents ? "no document" : documents.error().message);
    return nullptr;
  }
  return documents->front().value;
}

Validation run(std::string_view kind, std::string_view api, std::string_view spec) {
  Json object = {
      {"apiVersion", api}, {"kind", kind}, {"metadata", {{"name", "x"}}}, {"spec", yaml(spec)}};
  return validate(object);
}

struct Row {
  std::string_view kind;
  std::string_view spec;
  std::string_view want;  // "path: words of the message"; empty: accepted
};

std::string_view api_of(std::string_view kind) {
  bool security = kind.find("Auth") != kind.npos;
  return security ? "security.istio.io/v1" : "networking.istio.io/v1";
}

class Rules : public testing::TestWithParam<Row> {};

TEST_P(Rules, Say) {
  const Row& row = GetParam();
  Validation got = run(row.kind, api_of(row.kind), row.spec);
  std::string all = object::to_string(got.errors);
  if (row.want.empty()) {
    EXPECT_EQ(all, "") << row.spec;
    return;
  }
  ASSERT_EQ(got.errors.size(), 1u) << row.spec << "\n" << all;
  EXPECT_TRUE(all.starts_with(row.want)) << all;
}

INSTANTIATE_TEST_SUITE_P(
    VirtualService, Rules,
    testing::ValuesIn(std::vector<Row>{
        {"VirtualService", "{hosts: [r], http: [{route: [{destination: {host: r}}]}]}", ""},
        {"VirtualService", "{hosts: [r], http: [{route: [{destination: {host: r}}]}], htp: []}",
         "spec.htp: unknown field; did you mean \"http\"?"},
        {"VirtualService", "{hosts: [r], http: [{timeout: 5x, route: [{destination: {host: r}}]}]}",
         "spec.http[0].timeout: \"5x\" is not a duration: write a number with a unit"},
        {"VirtualService", "{hosts: [r], http: [{timeout: 5, route: [{destination: {host: r}}]}]}",
         "spec.http[0].timeout: must be a duration such as \"5s\" or \"200ms\", but is 5: write "
         "\"5s\" for seconds"},
        {"VirtualService", "{hosts: [r], http: [{route: [{destination: {host: r}, weight: -1}]}]}",
         "spec.http[0].route[0].weight: -1 is negative: write a share from 0 to 100"},
        {"VirtualService",
         "{hosts: [r], http: [{route: [{destination: {host: r}, weight: 0}, {destination: {host: "
         "r, subset: v2}, weight: 0}]}]}",
         "spec.http[0].route[1].weight: all weights are 0, nothing would be sent anywhere: write "
         "weights that add up to 100"},
        {"VirtualService",
         "{hosts: [r], http: [{route: [{destination: {host: r}, weight: \"80\"}]}]}",
         "spec.http[0].route[0].weight: must be a whole number, but is text (\"80\"): write it "
         "without quotes"},
        {"VirtualService", "{hosts: [r], http: [{route: [{destination: {subset: v1}}]}]}",
         "spec.http[0].route[0].destination.host: is missing: write the service's name, such as "
         "host: reviews"},
        {"VirtualService", "{hosts: [r], http: [{route: [{weight: 100}]}]}",
         "spec.http[0].route[0].destination: is missing: write destination with a host"},
        {"VirtualService",
         "{hosts: [r], http: [{match: [{uri: {regex: \"[\"}}], route: [{destination: {host: "
         "r}}]}]}",
         "spec.http[0].match[0].uri.regex: \"[\" is not an RE2 regular expression: missing ]: [; "
         "to match the character itself"},
        {"VirtualService",
         "{hosts: [r], http: [{match: [{uri: {exact: /a, prefix: /b}}], route: [{destination: "
         "{host: r}}]}]}",
         "spec.http[0].match[0].uri.prefix: cannot stand together with \"exact\""},
        {"VirtualService", "{hosts: [\"*\"], http: [{route: [{destination: {host: r}}]}]}",
         "spec.hosts[0]: wildcard host * is not allowed for virtual services bound to the mesh "
         "gateway"},
        {"VirtualService",
         "{hosts: [\"*\"], gateways: [g], http: [{route: [{destination: {host: r}}]}]}", ""},
        {"VirtualService",
         "{hosts: [r], http: [{fault: {abort: {httpStatus: 99, percentage: {value: 1}}}, route: "
         "[{destination: {host: r}}]}]}",
         "spec.http[0].fault.abort.httpStatus: HTTP status 99 is not in range 200-599"},
        {"VirtualService",
         "{hosts: [r], http: [{fault: {delay: {fixedDelay: 7s, percentage: {value: 101}}}, route: "
         "[{destination: {host: r}}]}]}",
         "spec.http[0].fault.delay.percentage.value: 101 is not a percentage"},
        {"VirtualService",
         "{hosts: [r], http: [{route: [{destination: {host: r}}], redirect: {uri: /x}}]}",
         "spec.http[0].redirect: HTTP route cannot contain both route and redirect"},
        {"VirtualService", "{hosts: [], http: [{route: [{destination: {host: r}}]}]}", ""},
        {"VirtualService", "{hosts: [r]}", "spec: has no routes"},
        {"VirtualService",
         "{hosts: [r], http: [{retries: {attempts: 3, retryOn: \"5xx,conect-failure\"}, route: "
         "[{destination: {host: r}}]}]}",
         "spec.http[0].retries.retryOn: \"conect-failure\" is not a retry condition; did you mean "
         "\"connect-failure\"?"},
        {"VirtualService", "{hosts: [r], http: [{route: [{destination: {host: \"http://r\"}}]}]}",
         "spec.http[0].route[0].destination.host: \"http://r\" is a URL"},
        {"VirtualService",
         "{hosts: [r], http: [{route: [{destination: {host: r, port: {number: 70000}}}]}]}",
         "spec.http[0].route[0].destination.port.number: 70000 is no port"},
    }));

INSTANTIATE_TEST_SUITE_P(
    Others, Rules,
    testing::ValuesIn(std::vector<Row>{
        {"DestinationRule", "{host: r, subsets: [{name: v1, labels: {version: v1}}]}", ""},
        {"DestinationRule", "{subsets: [{name: v1, labels: {version: v1}}]}",
         "spec.host: is missing"},
        {"DestinationRule",
         "{host: r, subsets: [{name: v1, labels: {a: b}}, {name: v1, labels: {a: c}}]}",
         "spec.subsets[1].name: a subset \"v1\" is there already"},
        {"DestinationRule", "{host: r, trafficPolicy: {loadBalancer: {simple: ROUND_ROBBIN}}}",
         "spec.trafficPolicy.loadBalancer.simple: \"ROUND_ROBBIN\" is not one of"},
        {"DestinationRule",
         "{host: r, trafficPolicy: {tls: {mode: MUTUAL, clientCertificate: /c}}}",
         "spec.trafficPolicy.tls.privateKey: is needed by mode MUTUAL"},
        {"DestinationRule",
         "{host: r, trafficPolicy: {outlierDetection: {consecutiveErrors: 1, interval: 1s}}}", ""},
        {"DestinationRule",
         "{host: r, trafficPolicy: {connectionPool: {tcp: {maxConnections: -1}}}}",
         "spec.trafficPolicy.connectionPool.tcp.maxConnections: -1 is negative"},
        {"Gateway",
         "{selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: "
         "HTTP}, hosts: [\"*\"]}]}",
         ""},
        {"Gateway",
         "{selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, "
         "protocol: HTTPS}, hosts: [a.com]}]}",
         "spec.servers[0].tls: is needed by protocol HTTPS"},
        {"Gateway",
         "{selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, "
         "protocol: HTTPS}, hosts: [a.com], tls: {mode: SIMPLE}}]}",
         "spec.servers[0].tls.credentialName: mode SIMPLE needs a certificate"},
        {"Gateway", "{servers: []}", "spec.servers: is empty"},
        {"PeerAuthentication", "{mtls: {mode: STRICT}}", ""},
        {"PeerAuthentication", "{mtls: {mode: STRCT}}",
         "spec.mtls.mode: \"STRCT\" is not one of UNSET, DISABLE, PERMISSIVE, STRICT; did you mean "
         "STRICT?"},
        {"PeerAuthentication", "{portLevelMtls: {\"8080\": {mode: DISABLE}}}",
         "spec.portLevelMtls: needs spec.selector"},
        {"AuthorizationPolicy", "{}", ""},
        {"AuthorizationPolicy", "{action: DENY}",
         "spec.rules: is empty, which makes action DENY do nothing"},
        {"AuthorizationPolicy", "{rules: [{from: [{source: {ipBlocks: [10.0.0.0/33]}}]}]}",
         "spec.rules[0].from[0].source.ipBlocks[0]:"},
        {"ServiceEntry",
         "{hosts: [a.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}",
         ""},
        {"ServiceEntry",
         "{hosts: [\"*.a.com\"], ports: [{number: 80, name: http, protocol: HTTP}], resolution: "
         "DNS}",
         "spec.hosts[0]: \"*.a.com\" cannot be looked up"},
        {"Sidecar", "{egress: [{hosts: [reviews]}]}",
         "spec.egress[0].hosts[0]: \"reviews\" lacks its namespace"},
        {"Sidecar", "{egress: [{hosts: [\"./*\"], bind: \"unix:///x\"}]}",
         "spec.egress[0].bind: \"unix:///x\" is not supported"},
        {"ServiceEntry",
         "{hosts: [a.com], ports: [{number: 80, name: http}], resolution: DYNAMIC_DNS}",
         "spec.resolution: DYNAMIC_DNS is not supported"},
        {"ServiceEntry",
         "{hosts: [a.com], ports: [{number: 80, name: http}], resolution: DNS_ROUND_ROBIN, "
         "endpoints: [{address: b.com}, {address: c.com}]}",
         "spec.endpoints: resolution DNS_ROUND_ROBIN takes one endpoint"},
        {"ServiceEntry",
         "{hosts: [a.com], ports: [{number: 80, name: http}], resolution: STATIC, "
         "endpoints: [{address: 10.0.0.1, ports: {htp: 81}}]}",
         "spec.endpoints[0].ports[htp]: no port of this ServiceEntry is named \"htp\""},
        {"WorkloadEntry", "{address: 10.0.0.1, ports: {http: 8080}}", ""},
        {"WorkloadEntry", "{labels: {app: x}}", "spec.address: is empty"},
        {"WorkloadEntry", "{address: \"unix:///x\", ports: {http: 80}}",
         "spec.ports[http]: a UNIX socket has no ports"},
        {"WorkloadGroup", "{template: {serviceAccount: vm, ports: {http: 8080}}}", ""},
        {"WorkloadGroup", "{metadata: {labels: {app: x}}}",
         "spec.template: is missing: write what"},
        {"WorkloadGroup", "{template: {address: 10.0.0.1}}",
         "spec.template.address: has no meaning"},
        {"WorkloadGroup", "{template: {}, probe: {httpGet: {port: 80}}}",
         "spec.probe: is not supported"},
    }));

TEST(Validate, UnknownKindSuggests) {
  Validation got =
      validate(Json{{"apiVersion", "networking.istio.io/v1beta2"}, {"kind", "VirtualService"}});
  ASSERT_EQ(got.errors.size(), 1u);
  EXPECT_NE(got.errors[0].message.find("write apiVersion: networking.istio.io/v1"),
            std::string::npos);
}

TEST(Unacted, NamesTheField) {
  Json object = {{"spec", yaml("{tracing: [{disableSpanReporting: true}]}")}};
  EXPECT_EQ(unacted_fields(*find_kind("telemetry.istio.io", "Telemetry"), object),
            std::vector<std::string>{"spec.tracing"});
  EXPECT_TRUE(unacted_fields(*find_kind("networking.istio.io", "Gateway"), object).empty());
}

TEST(Modernise, OldNames) {
  Json object = {{"spec", yaml("{host: r, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}, "
                               "outlierDetection: {consecutiveErrors: 7}}}")}};
  modernise(*find_kind("networking.istio.io", "DestinationRule"), object);
  EXPECT_EQ(object["spec"]["trafficPolicy"],
            yaml("{loadBalancer: {simple: LEAST_REQUEST}, outlierDetection: "
                 "{consecutiveGatewayErrors: 7, consecutive5xxErrors: 0}}"));
}

TEST(Kinds, AreComplete) {
  for (const Kind& kind : kinds()) {
    EXPECT_NE(kind.descriptor, nullptr) << kind.kind;
  }
  EXPECT_EQ(find_by_any_name("vs")->kind, "VirtualService");
  EXPECT_EQ(find_by_any_name("gateways.networking.istio.io")->kind, "Gateway");
  EXPECT_EQ(find_by_any_name("po")->plural, "pods");
}

TEST(Crds, AreStructuralAndAccepted) {
  auto list = crds();
  EXPECT_EQ(list.size(), 15u);
  const Kind* kind = find_kind("apiextensions.k8s.io", "CustomResourceDefinition");
  for (const Json& crd : list) {
    Validation got = validate(*kind, crd);
    EXPECT_TRUE(got.errors.empty()) << object::to_string(got.errors);
  }
}

TEST(KubernetesProtobuf, RoundTrip) {
  const Kind* kind = find_kind("apps", "Deployment");
  Json object = yaml(R"(
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, labels: {a: b}, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  replicas: 0
  selector: {matchLabels: {a: b}}
  strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 1}}
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
      - name: c
        image: i
        resources: {limits: {cpu: 100m, memory: 1Gi}}
        livenessProbe: {httpGet: {path: /, port: http}, periodSeconds: 5}
        env: [{name: E, valueFrom: {secretKeyRef: {name: s, key: k, optional: false}}}]
      volumes: [{name: v, emptyDir: {}}, {name: w, configMap: {name: m, defaultMode: 420}}]
)");
  auto bytes = object::encode_kubernetes_protobuf(object, *kind->descriptor);
  ASSERT_TRUE(bytes) << bytes.error().message;
  auto envelope = object::open_kubernetes_protobuf(*bytes);
  ASSERT_TRUE(envelope);
  auto back = object::decode_kubernetes_protobuf(*envelope, *kind->descriptor);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, object);
}

}  // namespace
}  // namespace mizzen::config
