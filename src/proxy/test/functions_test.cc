#include <gtest/gtest.h>

#include "base/strings.h"
#include "proxy/bootstrap/capture.h"
#include "proxy/http/client_certificate.h"
#include "proxy/http/grpc_web.h"
#include "proxy/http/path.h"
#include "proxy/http/rate_limit.h"
#include "proxy/http/retry.h"
#include "proxy/http/stream_headers.h"
#include "proxy/observe/peer_metadata.h"
#include "proxy/observe/stats.h"
#include "proxy/tcp/proxy_protocol.h"

namespace mizzen::proxy {
namespace {

std::string normal(std::string_view path, HttpSettings settings) {
  std::string out;
  switch (normalize_path(path, settings, out)) {
    case PathVerdict::kUnchanged:
      return std::string(path);
    case PathVerdict::kRefuse:
      return "refused";
    case PathVerdict::kRedirect:
      return "redirect " + out;
    case PathVerdict::kChanged:
      return out;
  }
  return {};
}

TEST(Path, NormalisesAsEnvoyDoes) {
  HttpSettings plain;
  plain.normalize_path = true;
  EXPECT_EQ(normal("/anything/a//b/./c/../d?x=%2F&y=1", plain), "/anything/a//b/d?x=%2F&y=1");
  EXPECT_EQ(normal("/a/../../b", plain), "/b");
  EXPECT_EQ(normal("/%61%2f?q=/../", plain), "/a%2f?q=/../");
  EXPECT_EQ(normal("/a/..", plain), "/");
  EXPECT_EQ(normal("/a%00", plain), "refused");
  EXPECT_EQ(normal("/a%4", plain), "refused");
  EXPECT_EQ(normal("*", plain), "*");
  HttpSettings merging = plain;
  merging.merge_slashes = true;
  EXPECT_EQ(normal("//a///b", merging), "/a/b");
  HttpSettings strict = plain;
  strict.escaped_slashes = HttpSettings::EscapedSlashes::kReject;
  EXPECT_EQ(normal("/a%2Fb", strict), "refused");
  strict.escaped_slashes = HttpSettings::EscapedSlashes::kUnescapeRedirect;
  EXPECT_EQ(normal("/a%2Fb", strict), "redirect /a/b");
}

TEST(GrpcWeb, TextIsBase64InSegments) {
  http::RequestHead head;
  head.headers.add("content-type", "application/grpc-web-text+proto");
  head.headers.add("content-length", "8");
  auto web = GrpcWeb::accept(head);
  ASSERT_NE(web, nullptr);
  EXPECT_EQ(head.headers.get_or("content-type", ""), "application/grpc+proto");
  EXPECT_EQ(head.headers.get_or("te", ""), "trailers");
  EXPECT_FALSE(head.headers.has("content-length"));
  // Two padded segments, cut anywhere.
  const std::string sent = base64_encode("hello") + base64_encode("wide world");
  for (std::size_t cut = 0; cut <= sent.size(); ++cut) {
    http::RequestHead again;
    again.headers.add("content-type", "application/grpc-web-text");
    auto one = GrpcWeb::accept(again);
    std::string got = *one->request_data(sent.substr(0, cut));
    got += *one->request_data(sent.substr(cut));
    EXPECT_EQ(got, "hellowide world");
  }
  EXPECT_FALSE(web->request_data("????"));
  http::ResponseHead response;
  response.headers.add("content-type", "application/grpc");
  response.headers.add("content-length", "5");
  web->response_head(response);
  EXPECT_EQ(response.headers.get_or("content-type", ""), "application/grpc-web-text+proto");
  EXPECT_FALSE(response.headers.has("content-length"));
  http::Headers trailers;
  trailers.add("grpc-status", "0");
  EXPECT_EQ(*base64_decode(web->response_trailers(trailers)),
            std::string("\x80\0\0\0\x0fgrpc-status:0\r\n", 20));
}

TEST(GrpcWeb, OtherRequestsStayAsTheyAre) {
  for (std::string_view type : {"application/grpc", "application/grpc-webby", "text/plain"}) {
    http::RequestHead head;
    head.headers.add("content-type", type);
    EXPECT_EQ(GrpcWeb::accept(head), nullptr) << type;
    EXPECT_EQ(head.headers.get_or("content-type", ""), type);
  }
}

TEST(Retry, Conditions) {
  route::RetryPolicy policy;
  policy.on = route::RetryPolicy::kConnectFailure | route::RetryPolicy::kRefusedStream |
              route::RetryPolicy::kGrpcUnavailable;
  EXPECT_TRUE(retries_failure(policy, {UpstreamFault::kConnectFailure, "", true}));
  EXPECT_TRUE(retries_failure(policy, {UpstreamFault::kRemoteRefused, "", true}));
  EXPECT_FALSE(retries_failure(policy, {UpstreamFault::kConnectionTermination, "", false}));
  EXPECT_FALSE(retries_failure(policy, {UpstreamFault::kOverflow, "", true}));
  http::ResponseHead head;
  head.status = 503;
  EXPECT_FALSE(retries_response(policy, head));
  policy.on |= route::RetryPolicy::kResetBeforeRequest;
  EXPECT_TRUE(retries_failure(policy, {UpstreamFault::kConnectionTermination, "", true}));
  policy.on = route::RetryPolicy::k5xx;
  EXPECT_TRUE(retries_response(policy, head));
  EXPECT_LT(backoff(policy, 1, 12345678901), std::chrono::milliseconds(25));
  EXPECT_LT(backoff(policy, 30, ~0ULL), std::chrono::milliseconds(250));
}

TEST(Headers, AdmitsAtTheEdge) {
  HttpSettings settings;
  settings.use_remote_address = true;
  ConnectionInfo connection;
  connection.remote = *io::Address::parse("10.244.0.18:999");
  http::RequestHead head;
  head.headers.add("x-forwarded-for", "1.2.3.4");
  head.headers.add("x-envoy-retry-on", "5xx");
  head.headers.add("x-forwarded-client-cert", "By=me");
  io::Address remote;
  std::uint64_t random[2] = {1, 2};
  admit_request(head, settings, connection, random, remote);
  EXPECT_EQ(head.headers.get_or("x-forwarded-for", ""), "1.2.3.4,10.244.0.18");
  EXPECT_EQ(head.headers.get_or("x-envoy-external-address", ""), "10.244.0.18");
  EXPECT_EQ(head.headers.get_or("x-forwarded-proto", ""), "http");
  EXPECT_FALSE(head.headers.has("x-envoy-retry-on"));
  EXPECT_FALSE(head.headers.has("x-forwarded-client-cert"));
  EXPECT_EQ(head.headers.get_or("x-request-id", ""), "00000000-0000-4001-8000-000000000002");
}

// As Envoy documents xff_num_trusted_hops: without the peer's own address N + 1 from the right,
// with it N; who has sent fewer is the peer.
TEST(Headers, TheClientBehindTrustedHops) {
  struct Case {
    bool edge;
    std::uint32_t hops;
    const char* forwarded;
    const char* client;
  };
  const Case cases[] = {
      {false, 0, "1.1.1.1, 2.2.2.2", "2.2.2.2"}, {false, 1, "1.1.1.1, 2.2.2.2", "1.1.1.1"},
      {false, 2, "1.1.1.1, 2.2.2.2", "9.9.9.9"}, {false, 0, "nonsense", "9.9.9.9"},
      {false, 1, "nonsense,2.2.2.2", "9.9.9.9"}, {false, 0, nullptr, "9.9.9.9"},
      {true, 0, "1.1.1.1, 2.2.2.2", "9.9.9.9"},  {true, 1, "1.1.1.1, 2.2.2.2", "2.2.2.2"},
      {true, 2, "1.1.1.1, 2.2.2.2", "1.1.1.1"},  {true, 3, "1.1.1.1, 2.2.2.2", "9.9.9.9"},
      {true, 1, "nonsense", "9.9.9.9"},          {true, 1, nullptr, "9.9.9.9"},
  };
  for (const Case& c : cases) {
    HttpSettings settings;
    settings.use_remote_address = c.edge;
    settings.xff_trusted_hops = c.hops;
    ConnectionInfo connection;
    connection.remote = *io::Address::parse("9.9.9.9:999");
    http::RequestHead head;
    if (c.forwarded != nullptr) head.headers.add("x-forwarded-for", c.forwarded);
    io::Address remote;
    std::uint64_t random[2] = {1, 2};
    admit_request(head, settings, connection, random, remote);
    EXPECT_EQ(remote.ip(), c.client) << c.edge << c.hops << (c.forwarded ? c.forwarded : "");
  }
}

TEST(Headers, AppendsTheClientCertificate) {
  HttpSettings settings;
  settings.forward_client_cert = HttpSettings::ClientCert::kAppendForward;
  settings.xfcc_subject = settings.xfcc_uri = settings.xfcc_dns = true;
  ConnectionInfo connection;
  connection.mutual_tls = true;
  io::PeerCertificate peer, own;
  peer.sha256 = "abc";
  peer.uri_sans = {"spiffe://cluster.local/ns/default/sa/curl"};
  own.uri_sans = {"spiffe://cluster.local/ns/default/sa/httpbin"};
  connection.peer = std::make_shared<io::PeerCertificate>(peer);
  connection.own = std::make_shared<io::PeerCertificate>(own);
  http::Headers headers;
  forward_client_certificate(headers, settings, connection);
  EXPECT_EQ(headers.get_or("x-forwarded-client-cert", ""),
            "By=spiffe://cluster.local/ns/default/sa/httpbin;Hash=abc;Subject=\"\";URI=spiffe://"
            "cluster.local/ns/default/sa/curl");
  // Another client, and one that other proxies stand before.
  peer.sha256 = "def";
  connection.peer = std::make_shared<io::PeerCertificate>(peer);
  settings.xfcc_subject = settings.xfcc_uri = false;
  headers.clear();
  headers.add("x-forwarded-client-cert", "Hash=first");
  forward_client_certificate(headers, settings, connection);
  EXPECT_EQ(headers.get_or("x-forwarded-client-cert", ""),
            "Hash=first,By=spiffe://cluster.local/ns/default/sa/httpbin;Hash=def");
  connection.own = nullptr;
  settings.forward_client_cert = HttpSettings::ClientCert::kSanitizeSet;
  settings.xfcc_uri = true;
  forward_client_certificate(headers, settings, connection);
  EXPECT_EQ(headers.get_or("x-forwarded-client-cert", ""),
            "Hash=def;URI=spiffe://cluster.local/ns/default/sa/curl");
}

TEST(Headers, IdsAreUuidsOfVersion4) {
  const std::uint64_t random[2] = {0x0123456789abcdef, 0xfedcba9876543210};
  char id[kUuidSize];
  write_uuid(id, random);
  EXPECT_EQ(std::string_view(id, sizeof id), "01234567-89ab-4def-bedc-ba9876543210");
}

TEST(PeerMetadata, ThereAndBack) {
  PeerWorkload workload{"reviews-v1", "default", "reviews", "v1", "Kubernetes", "reviews", "v1"};
  PeerRef parsed = parse_peer_metadata(make_peer_metadata(workload, "reviews-v1-abc"));
  ASSERT_NE(parsed, nullptr);
  EXPECT_EQ(*parsed, workload);
  EXPECT_EQ(parse_peer_metadata("!!"), nullptr);
}

TEST(RateLimits, RefillsByInterval) {
  RateLimits limits;
  route::LocalRateLimit policy;
  policy.max_tokens = 2;
  policy.tokens_per_fill = 2;
  policy.fill_interval = std::chrono::seconds(60);
  MonoTime now{};
  EXPECT_TRUE(limits.take(policy, now));
  EXPECT_TRUE(limits.take(policy, now));
  EXPECT_FALSE(limits.take(policy, now));
  EXPECT_TRUE(limits.take(policy, now + std::chrono::seconds(61)));
}

TEST(ProxyProtocol, WhatIsWrittenReadsBack) {
  const auto address = [](std::string_view text) { return *io::Address::parse(text); };
  for (auto version : {ProxyHeaderVersion::kV1, ProxyHeaderVersion::kV2}) {
    for (auto [from, to] :
         {std::pair("1.2.3.4:5", "6.7.8.9:80"), std::pair("[::1]:5", "[fe80::1]:443")}) {
      const std::string bytes = make_proxy_header(version, address(from), address(to));
      ProxyHeader header;
      ASSERT_EQ(parse_proxy_header(bytes + "x", header), ProxyHeaderStatus::kDone);
      EXPECT_EQ(header.size, bytes.size());
      EXPECT_EQ(header.source, address(from));
      EXPECT_EQ(header.destination, address(to));
    }
    const std::string bytes = make_proxy_header(version, address("1.2.3.4:5"), io::Address());
    ProxyHeader header;
    ASSERT_EQ(parse_proxy_header(bytes, header), ProxyHeaderStatus::kDone);
    EXPECT_FALSE(header.source);
  }
  ProxyHeader header;
  EXPECT_EQ(parse_proxy_header("PROXY TCP4 ::1 ::2 1 2\r\n", header), ProxyHeaderStatus::kInvalid);
}

TEST(ProxyProtocol, BothVersions) {
  ProxyHeader header;
  EXPECT_EQ(parse_proxy_header("PROXY TCP4 1.2.3.4 5.6.7.8 10 20\r\nGET", header),
            ProxyHeaderStatus::kDone);
  EXPECT_EQ(header.size, 34u);
  EXPECT_EQ(header.source.to_string(), "1.2.3.4:10");
  EXPECT_EQ(header.destination.to_string(), "5.6.7.8:20");
  EXPECT_EQ(parse_proxy_header("PROXY UNKNOWN\r\n", header), ProxyHeaderStatus::kDone);
  EXPECT_FALSE(header.source);
  EXPECT_EQ(parse_proxy_header("PROX", header), ProxyHeaderStatus::kNeedMore);
  EXPECT_EQ(parse_proxy_header("GET / HTTP/1.1", header), ProxyHeaderStatus::kInvalid);
  EXPECT_EQ(parse_proxy_header("PROXY TCP4 x y 1 2\r\n", header), ProxyHeaderStatus::kInvalid);
  std::string v2("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 16);
  v2 += std::string("\x01\x02\x03\x04\x05\x06\x07\x08\0\x0a\0\x14", 12);
  EXPECT_EQ(parse_proxy_header(v2, header), ProxyHeaderStatus::kDone);
  EXPECT_EQ(header.size, 28u);
  EXPECT_EQ(header.source.to_string(), "1.2.3.4:10");
  EXPECT_EQ(parse_proxy_header(v2.substr(0, 20), header), ProxyHeaderStatus::kNeedMore);
}

TEST(Capture, ReadsIstiosArguments) {
  std::vector<std::string> arguments = {"-p",
                                        "15001",
                                        "-z",
                                        "15006",
                                        "-u",
                                        "1337",
                                        "-m",
                                        "REDIRECT",
                                        "-i",
                                        "*",
                                        "-x",
                                        "10.0.0.0/8",
                                        "-b",
                                        "*",
                                        "-d",
                                        "15090,15021,15020",
                                        "--log_output_level=default:info"};
  auto options = parse_capture(arguments);
  ASSERT_TRUE(options) << options.error().message;
  std::string rules = nft_rules(*options);
  EXPECT_NE(rules.find("tcp dport 15021 return"), std::string::npos);
  EXPECT_NE(rules.find("tcp dport 0-65535 redirect to :15006"), std::string::npos);
  EXPECT_NE(rules.find("ip daddr 10.0.0.0/8 return"), std::string::npos);
  EXPECT_NE(rules.find("meta skuid 1337 return"), std::string::npos);
  EXPECT_NE(iptables_rules(*options, false).find("--uid-owner 1337 -j RETURN"), std::string::npos);
  EXPECT_EQ(rules.find("udp"), std::string::npos);
  options->dns = true;
  rules = nft_rules(*options);
  EXPECT_LT(rules.find("meta l4proto udp meta skuid 1337 return"),
            rules.find("udp dport 53 redirect to :15053"));
  EXPECT_NE(iptables_rules(*options, false).find("-p udp -j REDIRECT --to-ports 15053"),
            std::string::npos);
  EXPECT_EQ(iptables_rules(*options, true).find("15053"), std::string::npos);
  EXPECT_TRUE(parse_capture(std::vector<std::string>{"--redirect-dns", "--capture-all-dns"})->dns);
  EXPECT_FALSE(parse_capture(std::vector<std::string>{"-m", "TPROXY"}));
  EXPECT_FALSE(parse_capture(std::vector<std::string>{"--what"}));
  EXPECT_FALSE(parse_capture(std::vector<std::string>{"-d", "http"}));
}

TEST(Retry, TheAnswerSaysWhenToComeBack) {
  route::RetryPolicy policy;
  policy.reset_headers = {{"x-reset", true}, {"retry-after", false}};
  policy.max_reset = std::chrono::seconds(60);
  const WallTime now{std::chrono::seconds(1000)};
  http::ResponseHead head;
  EXPECT_FALSE(reset_after(policy, head, now));
  head.headers.add("retry-after", "7");
  EXPECT_EQ(reset_after(policy, head, now), std::chrono::seconds(7));
  head.headers.add("x-reset", "1003");
  EXPECT_EQ(reset_after(policy, head, now), std::chrono::seconds(3));
  head.headers.set("x-reset", "900");
  EXPECT_EQ(reset_after(policy, head, now), Duration::zero());
  head.headers.set("x-reset", "99999999999");
  head.headers.set("retry-after", "61");
  EXPECT_FALSE(reset_after(policy, head, now));
}

TEST(Retry, TheResponsesThatAHeaderNames) {
  route::RetryPolicy policy;
  policy.on = route::RetryPolicy::kRetriableHeaders;
  route::HeaderMatcher again;
  again.name = "x-again";
  again.kind = route::HeaderMatcher::Kind::kPresent;
  route::HeaderMatcher status;
  status.name = ":status";
  status.kind = route::HeaderMatcher::Kind::kRange;
  status.start = 420;
  status.end = 430;
  policy.response_headers = {again, status};
  http::ResponseHead head;
  head.status = 200;
  EXPECT_FALSE(retries_response(policy, head));
  head.status = 429;
  EXPECT_TRUE(retries_response(policy, head));
  head.status = 200;
  head.headers.add("x-again", "1");
  EXPECT_TRUE(retries_response(policy, head));
}

TEST(Retry, OnlyTheRequestsThatThePolicyNames) {
  route::RetryPolicy policy;
  http::RequestHead request;
  request.method = "POST";
  EXPECT_TRUE(retries_request(policy, request));
  route::HeaderMatcher get;
  get.name = ":method";
  get.kind = route::HeaderMatcher::Kind::kString;
  get.text.value = "GET";
  policy.request_headers = {get};
  EXPECT_FALSE(retries_request(policy, request));
  request.method = "GET";
  EXPECT_TRUE(retries_request(policy, request));
}

TEST(Stats, RoutesWithAPrefixAreCountedByThemselves) {
  const SelfFacts self;
  Stats stats(self);
  const ConnectionInfo connection;
  RequestInfo request;
  request.connection = &connection;
  request.virtual_host = "reviews:9080";
  request.status = 200;
  stats.request_done(request);
  request.route_stat_prefix = "critical";
  stats.request_done(request);
  request.status = 503;
  stats.request_done(request);
  const std::string text = stats.report().prometheus();
  const std::string labels = "envoy_virtual_host=\"reviews:9080\",envoy_route=\"critical\"";
  for (const std::string& line :
       {std::string("# TYPE envoy_vhost_route_upstream_rq counter\n"),
        "envoy_vhost_route_upstream_rq_total{" + labels + "} 2\n",
        "envoy_vhost_route_upstream_rq_completed{" + labels + "} 2\n",
        "envoy_vhost_route_upstream_rq{" + labels + ",envoy_response_code=\"503\"} 1\n",
        "envoy_vhost_route_upstream_rq_xx{" + labels + ",envoy_response_code_class=\"2\"} 1\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

}  // namespace
}  // namespace mizzen::proxy
