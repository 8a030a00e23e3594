#include "proxy/observe/access_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "api/access_log.h"
#include "base/strings.h"
#include "io/sim_loop.h"
#include "io/unique_fd.h"
#include "proxy/http/local_reply.h"
#include "proxy/observe/commands.h"
#include "proxy/observe/stats.h"

namespace mizzen::proxy {
namespace {

struct Sample {
  ConnectionInfo connection;
  http::RequestHead request;
  http::ResponseHead response;
  UpstreamInfo upstream;
  Cluster cluster;
  RequestInfo info;

  Sample() {
    connection.local = *io::Address::parse("10.96.61.10:8000");
    connection.remote = *io::Address::parse("10.244.0.15:40000");
    connection.direction = Direction::kOutbound;
    request.set_method("GET");
    request.set_path("/get");
    request.set_authority("httpbin:8000");
    request.headers.add("user-agent", "curl/7.88.1");
    request.headers.add("x-request-id", "id");
    response.status = 200;
    response.headers.add("x-envoy-upstream-service-time", "1");
    upstream.remote = *io::Address::parse("10.244.0.16:8080");
    upstream.local = *io::Address::parse("10.244.0.15:50000");
    info.connection = &connection;
    info.request = &request;
    info.response = &response;
    info.upstream = &upstream;
    info.protocol = http::Protocol::kHttp11;
    info.started = FakeClock().wall();
    info.duration = std::chrono::milliseconds(2);
    info.status = 200;
    info.details = "via_upstream";
    info.bytes_sent = 634;
    info.route_name = "default";
    info.cluster_name = "outbound|8000||httpbin.default.svc.cluster.local";
    info.cluster = &cluster;
    cluster.services = {{"httpbin.default.svc.cluster.local", "httpbin", "default"}};
  }
};

TEST(AccessLog, ANameThatAClientMadeUpStaysInItsPlace) {
  Sample s;
  s.connection.server_name = "a.b\n[2026-01-01] \"GET / 200";
  auto format = Format::compile("%REQUESTED_SERVER_NAME%|");
  ASSERT_TRUE(format);
  std::string line;
  format->append(line, s.info);
  EXPECT_EQ(line, "a.b__2026-01-01___GET___200|");
}

TEST(AccessLog, IstioDefaultLine) {
  Sample s;
  std::string line;
  Format::compile(api::kIstioAccessLog)->append(line, s.info);
  EXPECT_EQ(line,
            "[2026-01-01T00:00:00.000Z] \"GET /get HTTP/1.1\" 200 - via_upstream - \"-\" 0 634 2 1 "
            "\"-\" \"curl/7.88.1\" \"id\" \"httpbin:8000\" \"10.244.0.16:8080\" "
            "outbound|8000||httpbin.default.svc.cluster.local 10.244.0.15:50000 10.96.61.10:8000 "
            "10.244.0.15:40000 - default\n");
}

TEST(AccessLog, LineOfAConnectionWithoutAChain) {
  ConnectionInfo connection;
  connection.local = *io::Address::parse("10.244.0.16:8080");
  connection.remote = *io::Address::parse("10.244.0.18:1");
  RequestInfo info;
  info.connection = &connection;
  info.started = FakeClock().wall();
  info.is_tcp = true;
  info.flags = static_cast<std::uint32_t>(Flag::kNR);
  info.details = "filter_chain_not_found";
  std::string line;
  Format::compile(api::kIstioAccessLog)->append(line, info);
  EXPECT_EQ(
      line,
      "[2026-01-01T00:00:00.000Z] \"- - -\" 0 NR filter_chain_not_found - \"-\" 0 0 0 - \"-\" "
      "\"-\" \"-\" \"-\" \"-\" - - 10.244.0.16:8080 10.244.0.18:1 - -\n");
}

TEST(AccessLog, LimitsEscapesAndRefusals) {
  Sample s;
  std::string line;
  Format::compile("%REQ(USER-AGENT):4% 100%% %START_TIME(%Y/%3f)%")->append(line, s.info);
  EXPECT_EQ(line, "curl 100% 2026/000");
  EXPECT_FALSE(Format::compile("%NOPE%"));
  EXPECT_FALSE(Format::compile("%REQ(X"));
  EXPECT_FALSE(Format::compile("50%"));
}

std::string read(const std::string& path) {
  std::ostringstream all;
  all << std::ifstream(path).rdbuf();
  return all.str();
}

TEST(AccessLog, LinesOfTextAndJsonReachTheirFiles) {
  char folder[] = "/tmp/access_log_test.XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string text = std::string(folder) + "/text", json = std::string(folder) + "/json";
  AccessLog plain{.path = text, .format = "%RESPONSE_CODE% %DOWNSTREAM_REMOTE_ADDRESS%"};
  AccessLog members{.path = json,
                    .format = std::string(1, '\0') + "x",
                    .json = {{"{\"code\":", "%RESPONSE_CODE%"},
                             {",\"sni\":", "%REQUESTED_SERVER_NAME%"},
                             {",\"flags\":", "%RESPONSE_FLAGS%"},
                             {",\"both\":", "%RESPONSE_CODE% %REQUESTED_SERVER_NAME%"},
                             {"}", ""}}};
  Sample s;
  s.connection.remote = *io::Address::parse("[2001:db8::1]:65535");
  io::SimLoop loop;
  AccessLogFiles files(loop);
  files.log({plain, members}, s.info);
  EXPECT_EQ(read(text), "");
  loop.advance(std::chrono::seconds(2));
  EXPECT_EQ(read(text), "200 [2001:db8::1]:65535\n");
  EXPECT_EQ(read(json), "{\"code\":200,\"sni\":null,\"flags\":\"-\",\"both\":\"200 -\"}\n");
  // A batch is written as soon as it is full, and what the quiet second gave back comes again.
  const std::string line = read(text);
  for (int i = 0; i < 3000; ++i) files.log({plain}, s.info);
  EXPECT_GE(read(text).size(), 64 * 1024u);
  files.flush();
  EXPECT_EQ(read(text).size(), 3001 * line.size());
  ::unlink(text.c_str());
  ::unlink(json.c_str());
  ::rmdir(folder);
}

// What a pipe keeps together are PIPE_BUF bytes: others, who write to it too, come between lines.
TEST(AccessLog, APipeGetsWholeLines) {
  char folder[] = "/tmp/access_log_test.XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  io::UniqueFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  AccessLog log{.path = path, .format = "%REQ(X)%"};
  Sample s;
  const std::string word(700, 'x');
  s.request.headers.add("x", word);
  io::SimLoop loop;
  AccessLogFiles files(loop);
  std::string got;
  const auto take = [&] {  // pages of a pipe are writes, as long as each is a page at most
    std::string page(4096, 0);
    const ssize_t n = ::read(reader.get(), page.data(), page.size());
    got += page.substr(0, n > 0 ? static_cast<std::size_t>(n) : 0);
    return n > 0;
  };
  for (int i = 0; i < 200; ++i) files.log({log}, s.info);  // more than a pipe holds
  int other = 0;
  io::UniqueFd writer(::open(path.c_str(), O_WRONLY | O_NONBLOCK));
  for (int round = 0; round < 500; ++round) {
    if (!take()) break;
    if (::write(writer.get(), "other\n", 6) == 6) ++other;  // into the room that there is now
    files.flush();
  }
  while (take()) {
  }
  int lines = 0;
  for (std::string_view line : split(std::string_view(got).substr(0, got.size() - 1), '\n')) {
    if (line == "other") continue;
    EXPECT_EQ(line, word);
    ++lines;
  }
  EXPECT_EQ(lines, 200);
  EXPECT_GT(other, 0);
  ::unlink(path.c_str());
  ::rmdir(folder);
}

TEST(Text, CopiesEveryLength) {
  const std::string all = "0123456789abcdefghijklmnopqrstuvwxyz";
  Text text;
  std::string expected;
  for (int round = 0; round < 50; ++round) {  // past what it grew to
    for (std::size_t i = 0; i <= all.size(); ++i) {
      text += std::string_view(all).substr(0, i);
      expected += all.substr(0, i);
    }
    text += '|';
    expected += '|';
  }
  EXPECT_EQ(text.view(), expected);
  text.drop(30'000);
  EXPECT_EQ(text.view(), std::string_view(expected).substr(30'000));
  text.resize(3);
  EXPECT_EQ(text.size(), 3u);
  text.release();
  text.drop(0);
  EXPECT_EQ(text.view(), "");
}

TEST(AccessLog, TimesOfARequest) {
  Sample s;
  s.info.request_duration = std::chrono::milliseconds(3);
  s.info.response_duration = std::chrono::milliseconds(40);
  s.info.duration = std::chrono::milliseconds(41);
  std::string line;
  const std::string_view all = "%REQUEST_DURATION% %RESPONSE_DURATION% %DURATION%";
  Format::compile(all)->append(line, s.info);
  EXPECT_EQ(line, "3 40 41");
  s.info.request_duration = s.info.response_duration = std::nullopt;
  line.clear();
  Format::compile(all)->append(line, s.info);
  EXPECT_EQ(line, "- - 41");
}

std::string line_of(std::string_view format, const RequestInfo& info) {
  std::string line;
  Format::compile(format)->append(line, info);
  return line;
}

TEST(AccessLog, EveryCommandIsWritten) {
  for (const FormatCommand& command : format_commands()) {
    EXPECT_NE(find_writer(command.name), nullptr) << command.name;
  }
  EXPECT_EQ(find_writer("NOPE"), nullptr);
}

// As stock Envoy refuses them (1.40, --mode validate).
TEST(AccessLog, WhatACommandDoesNotTakeIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"%DURATION(x)%", "format: %DURATION% takes no arguments"},
      {"%DURATION:3%", "format: %DURATION% takes no length"},
      {"%START_TIME(%s):3%", "format: %START_TIME% takes no length"},
      {"%REQ%", "format: %REQ% needs a name in brackets"},
      {"%REQ()%", "format: %REQ% needs a name in brackets"},
      {"%ENVIRONMENT%", "format: %ENVIRONMENT% needs a name in brackets"},
      {"%REQ(a?b?c)%", "format: %REQ(a?b?c)%: more than one alternative"},
      {"%GRPC_STATUS(X)%",
       "format: %GRPC_STATUS(X)%: what may stand there: CAMEL_STRING SNAKE_STRING NUMBER"},
      {"%NOPE%", "format: unknown command %NOPE%"},
      {"%REQ(a):x%", "format: bad length in %REQ"},
      {"%REQ(a", "format: %REQ( is not closed"},
      {"%REQ(a)", "format: %REQ has no closing '%'"},
      {"50%", "format: '%' without an end at 2"},
  };
  for (const auto& [format, why] : cases) {
    auto made = Format::compile(format);
    ASSERT_FALSE(made) << format;
    EXPECT_EQ(made.error().message, why);
  }
}

// A header's value, whatever the header is called, is a client's: JSON puts it in quotes.
TEST(AccessLog, OnlyNumbersAreNumbers) {
  EXPECT_TRUE(Format::compile("%RESPONSE_CODE%")->is_number());
  EXPECT_TRUE(Format::compile("%GRPC_STATUS(NUMBER)%")->is_number());
  for (const char* text : {"%GRPC_STATUS%", "%REQ(NUMBER)%", "%RESPONSE_CODE% ", " %DURATION%",
                           "%ENVIRONMENT(NUMBER)%", "5"}) {
    EXPECT_FALSE(Format::compile(text)->is_number()) << text;
  }
}

TEST(AccessLog, StatusOfGrpcHasThreeStyles) {
  Sample s;
  const std::string_view all =
      "%GRPC_STATUS% %GRPC_STATUS(CAMEL_STRING)% %GRPC_STATUS(SNAKE_STRING)% "
      "%GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%";
  EXPECT_EQ(line_of(all, s.info), "- - - - -");
  s.info.is_grpc = true;
  s.info.grpc_status = 3;
  EXPECT_EQ(line_of(all, s.info), "InvalidArgument InvalidArgument INVALID_ARGUMENT 3 3");
  s.info.grpc_status = 1;
  EXPECT_EQ(line_of(all, s.info), "Canceled Canceled CANCELLED 1 1");
  s.info.grpc_status = 17;
  EXPECT_EQ(line_of(all, s.info), "17 17 17 17 17");
  s.info.grpc_status = -1;
  EXPECT_EQ(line_of(all, s.info), "-1 -1 -1 -1 -1");
  s.info.grpc_status.reset();  // then it is what the HTTP status means
  s.info.status = 503;
  EXPECT_EQ(line_of(all, s.info), "Unavailable Unavailable UNAVAILABLE 14 14");
  s.info.status = 0;
  EXPECT_EQ(line_of(all, s.info), "- - - - -");
}

TEST(AccessLog, LongFlagsSpacesEnvironmentAndTls) {
  Sample s;
  EXPECT_EQ(line_of("%RESPONSE_FLAGS_LONG%", s.info), "-");
  s.info.flags = static_cast<std::uint32_t>(Flag::kUF) | static_cast<std::uint32_t>(Flag::kURX);
  EXPECT_EQ(line_of("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%", s.info),
            "UF,URX UpstreamConnectionFailure,UpstreamRetryLimitExceeded");
  s.info.details = "a b";
  EXPECT_EQ(line_of("%RESPONSE_CODE_DETAILS%|%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", s.info),
            "a_b|a b");
  ::setenv("MIZZEN_TEST_WORD", "word", 1);
  EXPECT_EQ(line_of("%ENVIRONMENT(MIZZEN_TEST_WORD):3% %ENVIRONMENT(MIZZEN_TEST_NONE)%", s.info),
            "wor -");
  EXPECT_EQ(line_of("%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER%", s.info), "- -");
  s.connection.tls_version = "TLSv1.3";
  s.connection.tls_cipher = "TLS_AES_128_GCM_SHA256";
  EXPECT_EQ(line_of("%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_TLS_CIPHER%", s.info),
            "TLSv1.3 TLS_AES_128_GCM_SHA256");
}

TEST(AccessLog, LiteralsOfEveryLength) {
  const Sample s;
  std::string text;
  for (int i = 0; i < 70; ++i) {
    std::string line;
    Format::compile(text + "%RESPONSE_CODE%" + text)->append(line, s.info);
    EXPECT_EQ(line, text + "200" + text);
    text += static_cast<char>('a' + i % 26);
  }
}

// Most requests are of the series before, which is asked first.
TEST(Stats, EachTraitTellsSeriesApart) {
  SelfFacts self;
  Stats stats(self);
  Sample s;
  std::size_t series = 0;
  const auto counts_anew = [&] {
    stats.request_done(s.info);
    stats.request_done(s.info);
    const StatsReport report = stats.report();
    std::uint64_t all = 0;
    for (const auto& [labels, one] : report.requests) all += one.requests;
    EXPECT_EQ(all, 2 * (series + 1));
    return report.requests.size() == ++series;
  };
  EXPECT_TRUE(counts_anew());
  s.info.status = 503;
  EXPECT_TRUE(counts_anew());
  s.info.flags = static_cast<std::uint32_t>(Flag::kUF);
  EXPECT_TRUE(counts_anew());
  s.info.is_grpc = true;
  EXPECT_TRUE(counts_anew());
  s.info.grpc_status = 3;
  EXPECT_TRUE(counts_anew());
  Endpoint endpoint;
  endpoint.workload = std::make_shared<Workload>(Workload{"httpbin", "default"});
  s.upstream.endpoint = &endpoint;
  EXPECT_TRUE(counts_anew());
  io::PeerCertificate peer;
  peer.uri_sans = {"spiffe://cluster.local/ns/default/sa/httpbin"};
  s.upstream.peer = std::make_shared<io::PeerCertificate>(peer);
  EXPECT_TRUE(counts_anew());
  Cluster other;
  other.services = {{"other.default.svc.cluster.local", "other", "default"}};
  s.info.cluster = &other;
  EXPECT_TRUE(counts_anew());
  s.connection.direction = Direction::kInbound;
  EXPECT_TRUE(counts_anew());
  s.connection.peer = s.upstream.peer;
  s.connection.mutual_tls = true;
  EXPECT_TRUE(counts_anew());
  s.connection.peer_workload = std::make_shared<PeerWorkload>(PeerWorkload{"curl", "default"});
  EXPECT_TRUE(counts_anew());
  peer.uri_sans = {"spiffe://cluster.local/ns/default/sa/me"};
  s.connection.own = std::make_shared<io::PeerCertificate>(peer);
  EXPECT_TRUE(counts_anew());
  other.services.clear();
  stats.forget_recent();
  EXPECT_TRUE(counts_anew());
  s.request.set_authority("made-up");
  EXPECT_TRUE(counts_anew());
  s.info.cluster = nullptr;
  s.info.cluster_name = "nowhere";
  EXPECT_TRUE(counts_anew());
  s.info.cluster_name = "elsewhere";
  EXPECT_TRUE(counts_anew());
}

// Who asks for hosts that nobody has may not fill our memory with their names.
TEST(Stats, SeriesAreBounded) {
  SelfFacts self;
  Stats stats(self);
  Sample s;
  s.info.cluster = nullptr;
  for (int i = 0; i < 2000; ++i) {
    s.request.set_authority("host" + std::to_string(i));
    s.info.grpc_status = i;
    stats.request_done(s.info);
  }
  s.info.is_tcp = true;
  s.info.request = nullptr;
  std::string name;
  for (int i = 0; i < 2000; ++i) {
    name = "sni" + std::to_string(i);
    s.info.cluster_name = name;
    stats.tcp_opened(s.info);
  }
  const StatsReport report = stats.report();
  EXPECT_LT(report.requests.size() + report.tcp.size(), 600u);
  std::uint64_t all = 0;
  for (const auto& [labels, series] : report.requests) all += series.requests;
  EXPECT_EQ(all, 2000u);
}

TEST(Stats, RequestSeriesHasTwentyFiveLabels) {
  SelfFacts self;
  self.workload = {"curl-v1", "default", "curl", "v1", "Kubernetes", "curl", "v1"};
  self.principal = "spiffe://cluster.local/ns/default/sa/curl";
  Stats stats(self);
  Sample s;
  Endpoint endpoint;
  endpoint.workload =
      std::make_shared<Workload>(Workload{"httpbin", "default", "httpbin", "v1", "Kubernetes"});
  s.upstream.endpoint = &endpoint;
  stats.request_done(s.info);
  stats.request_done(s.info);
  StatsReport report = stats.report();
  ASSERT_EQ(report.requests.size(), 1u);
  const std::string& labels = report.requests.begin()->first;
  EXPECT_EQ(std::count(labels.begin(), labels.end(), '='), 25) << labels;
  EXPECT_EQ(report.requests.begin()->second.requests, 2u);
  EXPECT_NE(labels.find("source_workload=\"curl-v1\""), std::string::npos);
  EXPECT_NE(labels.find("destination_version=\"v1\""), std::string::npos);
  EXPECT_NE(labels.find("destination_service=\"httpbin.default.svc.cluster.local\""),
            std::string::npos);
  StatsReport twice = report;
  twice.merge(report);
  std::string text = twice.prometheus();
  EXPECT_NE(text.find("# TYPE istio_requests_total counter"), std::string::npos);
  EXPECT_NE(text.find("} 4\n"), std::string::npos);
}

TEST(LocalReply, EnvoysWords) {
  UpstreamFailure failure{UpstreamFault::kConnectFailure,
                          "delayed connect error: Connection refused", true};
  LocalReply reply = reply_for(failure, false);
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(
      reply.body,
      "upstream connect error or disconnect/reset before headers. reset reason: remote "
      "connection failure, transport failure reason: delayed connect error: Connection refused");
  EXPECT_EQ(flags_text(reply.flags), "UF");
  EXPECT_EQ(reply_for({UpstreamFault::kOverflow, "", true}, false).body.size(), 81u);
  EXPECT_EQ(reply_for({UpstreamFault::kConnectionTermination, "", false}, false).body.size(), 95u);
  http::ResponseHead head;
  EXPECT_EQ(fill_local_reply(reply, true, head), "");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.get_or("grpc-status", ""), "14");
}

}  // namespace
}  // namespace mizzen::proxy
