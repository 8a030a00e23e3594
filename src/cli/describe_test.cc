#include "cli/describe.h"

#include <gtest/gtest.h>

#include "cli/explain.h"
#include "object/yaml.h"

namespace mizzen::cli {
namespace {

constexpr std::string_view kObjects = R"(
kind: Pod
metadata:
  name: reviews-v2-a
  namespace: default
  labels: {app: reviews, version: v2, istio.io/rev: default}
spec:
  containers:
  - {name: reviews, ports: [{containerPort: 9080}]}
  - {name: istio-proxy, ports: [{containerPort: 15090}]}
status: {phase: Running}
---
kind: Pod
metadata: {name: reviews-v1-a, namespace: default, labels: {app: reviews, version: v1}}
spec: {containers: [{name: reviews, ports: [{containerPort: 9080}]}]}
status: {phase: Running}
---
kind: Service
metadata: {name: reviews, namespace: default}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080, targetPort: 9080}]}
---
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {clusterIP: 10.96.0.9, selector: {istio: ingressgateway}, ports: [{name: http2, port: 80}]}
status: {loadBalancer: {ingress: [{ip: 10.245.0.1}]}}
---
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v1}}]
---
kind: Gateway
metadata: {name: front, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: []}
---
kind: VirtualService
metadata: {name: site, namespace: default}
spec:
  hosts: ["*"]
  gateways: [front]
  http:
  - match: [{uri: {exact: /reviews}}, {uri: {prefix: /static}}]
    route: [{destination: {host: reviews}}]
---
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {mtls: {mode: STRICT}}
)";

MeshObjects mesh() {
  MeshObjects out;
  auto documents = object::parse_manifest(kObjects);
  for (auto& document : *documents) {
    const std::string kind = document.value.value("kind", "");
    auto& list = kind == "Pod"               ? out.pods
                 : kind == "Service"         ? out.services
                 : kind == "DestinationRule" ? out.destination_rules
                 : kind == "VirtualService"  ? out.virtual_services
                 : kind == "Gateway"         ? out.gateways
                                             : out.peer_authentications;
    list.push_back(std::move(document.value));
  }
  return out;
}

TEST(Describe, PodAsIstioctlDoes) {
  const MeshObjects objects = mesh();
  EXPECT_EQ(describe_pod(objects, objects.pods[0]), R"(Pod: reviews-v2-a
   Pod Revision: default
   Pod Ports: 9080 (reviews), 15090 (istio-proxy)
--------------------
Service: reviews
   Port: http 9080/HTTP targets pod port 9080
DestinationRule: reviews for "reviews"
   Matching subsets: v2
      (Non-matching subsets v1)
   No Traffic Policy
VirtualService: reviews
   Match:  when headers are end-user=jason
   1 additional destination(s) that will not reach this pod
--------------------
Exposed on Ingress Gateway http://10.245.0.1
VirtualService: site
   Match: /reviews, Match: /static*
--------------------
Effective PeerAuthentication:
   Workload mTLS mode: STRICT
Applied PeerAuthentication:
   default.istio-system
)");
}

TEST(Describe, ServiceAsIstioctlDoes) {
  const MeshObjects objects = mesh();
  EXPECT_EQ(describe_service(objects, objects.services[0]), R"(Service: reviews
   Port: http 9080/HTTP targets pod port 9080
DestinationRule: reviews for "reviews"
   Matching subsets: v1,v2
   No Traffic Policy
VirtualService: reviews
   Match:  when headers are end-user=jason
--------------------
Exposed on Ingress Gateway http://10.245.0.1
VirtualService: site
   Match: /reviews, Match: /static*
)");
}

TEST(Describe, APodWithoutSidecarIsSaidToBeOutside) {
  const MeshObjects objects = mesh();
  EXPECT_NE(describe_pod(objects, objects.pods[1]).find("not part of mesh; no Istio sidecar"),
            std::string::npos);
}

TEST(Describe, TheNarrowestPolicyDecides) {
  MeshObjects objects = mesh();
  Json own = {
      {"kind", "PeerAuthentication"},
      {"metadata", {{"name", "own"}, {"namespace", "default"}}},
      {"spec",
       {{"selector", {{"matchLabels", {{"app", "reviews"}}}}}, {"mtls", {{"mode", "DISABLE"}}}}}};
  objects.peer_authentications.push_back(own);
  const EffectiveMtls mtls = effective_mtls(objects, objects.pods[0]);
  EXPECT_EQ(mtls.mode, "DISABLE");
  EXPECT_EQ(mtls.applied, (std::vector<std::string>{"own.default", "default.istio-system"}));
}

TEST(Explain, NamesTheObjectsBehindTheConfiguration) {
  EXPECT_EQ(object_of("/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews"),
            "VirtualService default/reviews");
  EXPECT_EQ(object_of("elsewhere"), "elsewhere");
}

TEST(Explain, TellsEachStepAndTheEnd) {
  const Json answer = Json::parse(R"({
    "listener": {"name": "0.0.0.0_9080", "destination": "10.96.0.7:9080"},
    "filterChain": {"name": "", "default": false, "tls": false,
                    "match": {"transportProtocol": "raw_buffer"}},
    "routeConfig": "9080",
    "virtualHost": {"name": "reviews.default.svc.cluster.local:9080", "domains": ["reviews"]},
    "reasons": ["table '9080': virtual host", "route 0: not header end-user = \"jason\"",
                "route 1: matches", "cluster 'outbound|9080|v1|reviews'"],
    "route": {"name": "", "position": 1, "timeoutMs": 0,
              "config": "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews"},
    "filters": [{"name": "envoy.filters.http.fault"}],
    "clusters": [{"name": "outbound|9080|v1|reviews", "percent": 100.0, "subset": "v1",
                  "loadBalancing": "LEAST_REQUEST",
                  "endpoints": [{"address": "10.1.0.2:9080", "health": "HEALTHY", "tls": true}]}],
    "outcome": "goes to outbound|9080|v1|reviews"})");
  int step = 0;
  EXPECT_EQ(explain_text(answer, step),
            R"( 1. Listener 0.0.0.0_9080 takes the connection to 10.96.0.7:9080
 2. Filter chain without a name
      matches by transportProtocol raw_buffer
 3. Route configuration 9080, virtual host reviews.default.svc.cluster.local:9080
      domains reviews
 4. Route 1, from VirtualService default/reviews
      route 0: not header end-user = "jason"
      route 1: matches
      cluster 'outbound|9080|v1|reviews'
 5. Cluster outbound|9080|v1|reviews
      subset v1
      LEAST_REQUEST among 1 endpoint(s):
        10.1.0.2:9080 HEALTHY, by TLS
  => goes to outbound|9080|v1|reviews
)");
  EXPECT_EQ(step, 5);
}

}  // namespace
}  // namespace mizzen::cli
