#include <gtest/gtest.h>

#include <span>

#include "http/codec.h"
#include "http/codec_recorder.h"

namespace mizzen::http {
namespace {

std::string to_upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

using namespace std::string_literals;

struct Case {
  const char* what;
  std::string input;
  const char* expected;  // "METHOD authority path [upgrade] [end]" | stream log; or "!status"
};

std::string describe(const ConnectionRecorder::Request& request) {
  const RequestHead& head = request.head;
  std::string text = fmt::format("{} {} {}", head.method, head.authority, head.path);
  if (!head.upgrade.empty()) text += fmt::format(" upgrade={}", head.upgrade);
  for (const HeaderField& field : head.headers)
    text += fmt::format(" {}={}", field.name, field.value);
  if (request.end) text += " end";
  if (!request.stream->log.empty()) text += " | " + request.stream->log;
  return text;
}

std::string run_server(std::string_view input, std::size_t step) {
  ConnectionRecorder recorder;
  auto server = make_h1_server({}, &recorder);
  Status status;
  for (std::size_t at = 0; at < input.size() && status; at += step) {
    status = server->feed(input.substr(at, step));
  }
  if (!status) {
    const std::string answer = pull(*server);
    return "!" + answer.substr(9, 3);
  }
  std::string text;
  for (const auto& request : recorder.requests) text += describe(request) + "\n";
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

const std::string kHost = "host: a\r\n";

// Whole, in sevens and byte by byte: the answer must be the same.
void check(std::span<const Case> cases) {
  for (const Case& c : cases) {
    for (std::size_t step : {std::size_t{1} << 20, std::size_t{7}, std::size_t{1}}) {
      if (step == 1 && c.input.size() > 1000) continue;
      std::string got = run_server(c.input, step);
      // Pieces of a body come as they were fed.
      if (step < 1000) {
        std::size_t at;
        while ((at = got.find(") data(")) != std::string::npos) got.erase(at, 7);
      }
      EXPECT_EQ(got, c.expected) << c.what << " in steps of " << step;
    }
  }
}

TEST(H1Server, Requests) {
  const Case cases[] = {
      {"plain", "GET / HTTP/1.1\r\nHost: a.b:80\r\n\r\n", "GET a.b:80 / end"},
      {"names are lower, values trimmed",
       "GET /x?y HTTP/1.1\r\nHost: a\r\nX-Ab:  v w \t\r\nE:\r\n\r\n", "GET a /x?y x-ab=v w e= end"},
      {"empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET a / end"},
      {"absolute form", "GET http://b/p?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET b /p?q end"},
      {"absolute form without path", "GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET b /?q end"},
      {"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS a * end"},
      {"CONNECT", "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "CONNECT b:443 "},
      {"HTTP/1.0 without host", "GET / HTTP/1.0\r\n\r\n", "GET  / end"},
      {"length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
       "POST a / content-length=3 | data(abc) end"},
      {"length twice the same",
       "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
       "POST a / content-length=0 end"},
      {"chunks, extensions, trailers",
       "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n"
       "0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n",
       "POST a / | data(abc) trailers(x-t=1;) end"},
      {"hop fields go, and what Connection names",
       "GET / HTTP/1.1\r\nhost: a\r\nConnection: close, x, foo\r\nfoo: 1\r\nKeep-Alive: 3\r\nTE: "
       "gzip\r\n"
       "Proxy-Connection: k\r\nx-b: 2\r\n\r\n",
       "GET a / x-b=2 end"},
      {"upgrade", "GET / HTTP/1.1\r\nhost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
       "GET a / upgrade=websocket"},
      {"upgrade to h2c is not offered",
       "GET / HTTP/1.1\r\nhost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "
       "h2c\r\nHTTP2-Settings: x\r\n\r\n",
       "GET a / end"},
  };
  check(cases);
}

TEST(H1Server, WhatAnotherParserMightReadDifferentlyIsRefused) {
  const Case cases[] = {
      {"bare line feed", "GET / HTTP/1.1\nHost: a\n\n", "!400"},
      {"bare line feed in fields", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "!400"},
      {"carriage return alone", "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", "!400"},
      {"obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "!400"},
      {"space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "!400"},
      {"no host", "GET / HTTP/1.1\r\n\r\n", "!400"},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "!400"},
      {"host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "!400"},
      {"both framings",
       "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
       "!400"},
      {"both framings, other order",
       "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
       "!400"},
  };
  check(cases);
}

TEST(H1Server, BadLengthsAreRefused) {
  const Case cases[] = {
      {"differing lengths",
       "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "!400"},
      {"list of lengths", "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 3, 3\r\n\r\n", "!400"},
      {"signed length", "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: +3\r\n\r\n", "!400"},
      {"negative length", "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: -3\r\n\r\n", "!400"},
      {"huge length", "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
       "!400"},
      {"hex length", "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 0x3\r\n\r\n", "!400"},
      {"empty length", "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: \r\n\r\n", "!400"},
      {"chunked not last", "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
       "!501"},
      {"other coding", "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "!501"},
      {"coding twice",
       "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
       "chunked\r\n\r\n",
       "!400"},
      {"chunked in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "!400"},
  };
  check(cases);
}

TEST(H1Server, BadChunksAreRefused) {
  const Case cases[] = {
      {"chunk size not hex",
       "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n", "!400"},
      {"chunk size with sign",
       "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n", "!400"},
      {"chunk size too large",
       "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
       "!400"},
      {"chunk longer than said",
       "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", "!400"},
      {"chunk line with bare feed",
       "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n", "!400"},
      {"chunk extension with control",
       "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\x01\r\nabc\r\n",
       "!400"},
  };
  check(cases);
}

TEST(H1Server, BadHeadsAreRefused) {
  const Case cases[] = {
      {"NUL in value", "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n"s, "!400"},
      {"NUL in name", "GET / HTTP/1.1\r\nhost: a\r\nx\0: b\r\n\r\n"s, "!400"},
      {"two spaces", "GET  / HTTP/1.1\r\nhost: a\r\n\r\n", "!400"},
      {"space in target", "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", "!400"},
      {"tab for space", "GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n", "!400"},
      {"no version", "GET /\r\nhost: a\r\n\r\n", "!400"},
      {"version 2.0", "GET / HTTP/2.0\r\nhost: a\r\n\r\n", "!505"},
      {"lower-case version", "GET / http/1.1\r\nhost: a\r\n\r\n", "!400"},
      {"method with colon", "GE:T / HTTP/1.1\r\nhost: a\r\n\r\n", "!400"},
      {"user in authority", "GET http://u@b/ HTTP/1.1\r\nhost: a\r\n\r\n", "!400"},
      {"other scheme", "GET ftp://b/ HTTP/1.1\r\nhost: a\r\n\r\n", "!400"},
      {"head too large", "GET / HTTP/1.1\r\nhost: a\r\nx: " + std::string(70000, 'a') + "\r\n\r\n",
       "!431"},
  };
  check(cases);
}

TEST(H1Server, TooManyFieldsAre431) {
  std::string input = "GET / HTTP/1.1\r\nhost: a\r\n";
  for (int i = 0; i < 101; ++i) input += "x: 1\r\n";
  EXPECT_EQ(run_server(input + "\r\n", 1 << 20), "!431");
}

TEST(H1Server, PipelinedRequestsWaitForTheResponse) {
  ConnectionRecorder recorder;
  auto server = make_h1_server({}, &recorder);
  const std::string one = "GET /1 HTTP/1.1\r\nhost: a\r\n\r\n";
  ASSERT_TRUE(server->feed(one + one + one));
  ASSERT_EQ(recorder.requests.size(), 1u);
  EXPECT_FALSE(server->wants_input());
  ResponseHead head;
  head.status = 200;
  head.headers.add("Content-Length", "2");
  for (std::size_t i = 0; i < 3; ++i) {
    server->respond(recorder.requests[i].id, head, false);
    server->send_data(recorder.requests[i].id, "ok", true);
    EXPECT_EQ(pull(*server), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    EXPECT_EQ(recorder.requests[i].stream->log, "complete");
    EXPECT_EQ(recorder.requests.size(), std::min<std::size_t>(i + 2, 3));
  }
  EXPECT_TRUE(server->wants_input());
  EXPECT_FALSE(server->finished());
}

struct ResponseCase {
  const char* what;
  std::string request;
  int status;
  std::vector<std::pair<const char*, const char*>> headers;
  std::vector<const char*> body;  // empty: end with the head
  const char* expected;
  bool closes;
};

void check(std::span<const ResponseCase> cases) {
  for (const ResponseCase& c : cases) {
    ConnectionRecorder recorder;
    auto server = make_h1_server({}, &recorder);
    ASSERT_TRUE(server->feed(c.request)) << c.what;
    ResponseHead head;
    head.status = c.status;
    for (auto [name, value] : c.headers) head.headers.add(name, value);
    server->respond(1, head, c.body.empty());
    for (std::size_t i = 0; i < c.body.size(); ++i)
      server->send_data(1, c.body[i], i + 1 == c.body.size());
    EXPECT_EQ(server->output_ends(), c.closes) << c.what;
    EXPECT_EQ(pull(*server), c.expected) << c.what;
    EXPECT_EQ(server->finished(), c.closes) << c.what;
    EXPECT_EQ(recorder.requests[0].stream->log, "complete") << c.what;
  }
}

TEST(H1Server, Responses) {
  const std::string get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
  const ResponseCase cases[] = {
      {"empty", get, 404, {}, {}, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", false},
      {"chunked",
       get,
       200,
       {},
       {"abc", ""},
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
       false},
      {"204", get, 204, {}, {}, "HTTP/1.1 204 No Content\r\n\r\n", false},
      {"304 keeps its length",
       get,
       304,
       {{"content-length", "9"}},
       {},
       "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
       false},
      {"HEAD sends no body",
       "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n",
       200,
       {{"content-length", "9"}},
       {"123456789"},
       "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
       false},
      {"never more than the length",
       get,
       200,
       {{"content-length", "2"}},
       {"abcdef"},
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab",
       false},
      {"less than the length closes",
       get,
       200,
       {{"content-length", "5"}},
       {"ab"},
       "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
       true},
      {"close asked for",
       "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
       200,
       {},
       {},
       "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
       true},
      {"1.0 until close",
       "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n",
       200,
       {},
       {"abc"},
       "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc",
       true},
      {"1.0 kept alive",
       "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
       200,
       {{"content-length", "3"}},
       {"abc"},
       "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc",
       false},
      {"hop fields are not written",
       get,
       200,
       {{"transfer-encoding", "chunked"}, {"keep-alive", "1"}},
       {},
       "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
       false},
  };
  check(cases);
}

// What a client was told holds: only an answer that says so is the last.
TEST(H1Server, ADrainIsAnnounced) {
  for (const bool head_has_left : {false, true}) {
    SCOPED_TRACE(head_has_left ? "after the head" : "before the head");
    ConnectionRecorder recorder;
    auto server = make_h1_server({}, &recorder);
    ResponseHead head;
    head.status = 200;
    head.headers.add("content-length", "2");
    const auto ask = [&] {
      ASSERT_TRUE(server->feed("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
      ASSERT_FALSE(recorder.requests.empty());
    };
    ask();
    const StreamId id = recorder.requests.back().id;
    if (!head_has_left) server->drain();
    server->respond(id, head, false);
    if (head_has_left) server->drain();
    server->send_data(id, "ok", true);
    const bool told = pull(*server).contains("connection: close");
    EXPECT_EQ(told, !head_has_left);
    EXPECT_EQ(server->finished(), told);
    if (!head_has_left) continue;
    ask();
    server->respond(recorder.requests.back().id, head, false);
    server->send_data(recorder.requests.back().id, "ok", true);
    EXPECT_TRUE(pull(*server).contains("connection: close"));
    EXPECT_TRUE(server->finished());
  }
}

TEST(H1Server, HoldsInputBackUntilConsumed) {
  ConnectionRecorder recorder;
  CodecOptions options;
  options.limits.stream_window = 10;
  auto server = make_h1_server(options, &recorder);
  ASSERT_TRUE(server->feed("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 40\r\n\r\n"));
  ASSERT_TRUE(server->feed("01234567890123456789"));
  EXPECT_FALSE(server->wants_input());
  ASSERT_TRUE(server->feed("01234567890123456789"));
  EXPECT_EQ(recorder.requests[0].stream->body.size(), 20u);
  recorder.works = 0;
  server->consumed(1, 20);
  EXPECT_EQ(recorder.works, 1);
  EXPECT_TRUE(server->feed({}));
  EXPECT_EQ(recorder.requests[0].stream->body.size(), 40u);
  EXPECT_TRUE(recorder.requests[0].stream->log.ends_with("end"));
}

TEST(H1Server, ADisconnectResetsTheRequest) {
  ConnectionRecorder recorder;
  auto server = make_h1_server({}, &recorder);
  ASSERT_TRUE(server->feed("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
  server->end_of_input();
  EXPECT_EQ(recorder.requests[0].stream->log, "reset");
  EXPECT_TRUE(server->finished());
}

struct ClientCase {
  const char* what;
  const char* method;
  std::string input;
  bool close;
  const char* expected;
  bool reusable;
};

TEST(H1Client, Responses) {
  const ClientCase cases[] = {
      {"length", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", false,
       "response(200) data(abc) end complete", true},
      {"no reason", "GET", "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", false,
       "response(200) end complete", true},
      {"chunked", "GET",
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\na: b\r\n\r\n", false,
       "response(200) data(abc) trailers(a=b;) end complete", true},
      {"until close", "GET", "HTTP/1.1 200 OK\r\n\r\nabc", true,
       "response(200) data(abc) end complete", false},
      {"1.0", "GET", "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", false,
       "response(200) data(a) end complete", false},
      {"HEAD", "HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", false,
       "response(200) end complete", true},
      {"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, "response(204) end complete", true},
      {"304 with length", "GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n", false,
       "response(304) end complete", true},
      {"interim", "GET",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 "
       "x\r\n\r\n",
       false, "interim(100) interim(103) response(204) end complete", true},
      {"cut short", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na", true,
       "response(200) data(a) reset", false},
      {"cut in chunks", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
       true, "response(200) data(abc) reset", false},
      {"cut in the head", "GET", "HTTP/1.1 200 OK\r\ncont", true, "reset", false},
      {"no answer", "GET", "", true, "reset", false},
      {"both framings", "GET",
       "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", false, "reset",
       false},
      {"garbage", "GET", "HTTQ/1.1 200 OK\r\n\r\n", false, "reset", false},
      {"101 unasked", "GET", "HTTP/1.1 101 x\r\n\r\n", false, "reset", false},
      {"more than asked for", "GET", "HTTP/1.1 204 x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false,
       "response(204) end complete", false},
      {"close said", "GET", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
       false, "response(200) end complete", false},
  };
  for (const ClientCase& c : cases) {
    ConnectionRecorder recorder;
    StreamRecorder stream;
    auto client = make_h1_client({}, &recorder);
    RequestHead head;
    head.method = c.method;
    head.authority = "a";
    head.path = "/";
    client->submit(head, true, &stream);
    EXPECT_EQ(pull(*client), fmt::format("{} / HTTP/1.1\r\nhost: a\r\n\r\n", c.method));
    (void)client->feed(c.input);
    if (c.close) client->end_of_input();
    EXPECT_EQ(stream.log, c.expected) << c.what;
    EXPECT_EQ(client->can_submit(), c.reusable) << c.what;
  }
}

TEST(H1Server, AllThatConnectionFieldsNameIsDropped) {
  ConnectionRecorder recorder;
  auto server = make_h1_server({}, &recorder);
  ASSERT_TRUE(
      server->feed("GET / HTTP/1.1\r\nhost: a\r\nConnection: x-a, x-b\r\n"
                   "x-a: 1\r\nx-b: 2\r\nx-c: 3\r\nx-d: 4\r\nConnection: x-d\r\n\r\n"));
  ASSERT_EQ(recorder.requests.size(), 1u);
  const Headers& headers = recorder.requests[0].head.headers;
  EXPECT_EQ(headers.size(), 1u);
  EXPECT_EQ(headers.get_or("x-c", ""), "3");
}

TEST(H1Client, KeepsHeaderCaseWhenAsked) {
  ConnectionRecorder recorder;
  StreamRecorder stream;
  CodecOptions options;
  options.header_case = HeaderCase::kAsReceived;
  auto server = make_h1_server(options, &recorder);
  ASSERT_TRUE(server->feed("GET / HTTP/1.1\r\nHost: a\r\nX-ReQuest: 1\r\n\r\n"));
  auto client = make_h1_client(options, &recorder);
  client->submit(recorder.requests[0].head, true, &stream);
  EXPECT_EQ(pull(*client), "GET / HTTP/1.1\r\nHost: a\r\nX-ReQuest: 1\r\n\r\n");
  EXPECT_EQ(recorder.requests[0].head.headers.get_or("x-request", ""), "1");
}

TEST(H1Client, WritesProperCaseWhenAsked) {
  ConnectionRecorder recorder;
  StreamRecorder stream;
  CodecOptions options;
  options.header_case = HeaderCase::kProper;
  auto client = make_h1_client(options, &recorder);
  RequestHead head;
  head.method = "POST";
  head.authority = "a";
  head.path = "/";
  head.headers.add("content-type", "t");
  head.headers.add("x-b3-traceid", "1");
  client->submit(head, false, &stream);
  EXPECT_EQ(pull(*client),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: t\r\nX-B3-Traceid: 1\r\n"
            "Transfer-Encoding: chunked\r\n\r\n");
}

// A list knows by a bit which names it cannot have; many share one.
TEST(Headers, AnswerLikeAListWithoutBits) {
  std::vector<std::string> names = {"", "a", "te", "date", "etag"};
  for (int i = 0; i < 60; ++i) names.push_back("x-name-" + std::to_string(i * 7));
  std::vector<std::pair<std::string, std::string>> model;
  Headers headers;
  std::uint32_t state = 1;
  const auto random = [&state](std::uint32_t below) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % below;
  };
  for (int step = 0; step < 20'000; ++step) {
    const std::string& name = names[random(static_cast<std::uint32_t>(names.size()))];
    const std::string value = std::to_string(step);
    const auto is_it = [&name](const auto& field) { return field.first == name; };
    const auto first = std::ranges::find_if(model, is_it);
    switch (random(20)) {
      case 0:
        headers.clear();
        model.clear();
        break;
      case 1:
        headers = headers.clone();
        break;
      case 2: {
        Headers moved(std::move(headers));
        EXPECT_FALSE(headers.has(name));
        headers = std::move(moved);
        break;
      }
      case 3:
      case 4:
      case 5: {
        const auto was = static_cast<std::size_t>(std::ranges::count_if(model, is_it));
        EXPECT_EQ(headers.remove(name), was);
        std::erase_if(model, is_it);
        break;
      }
      case 6:
      case 7:
      case 8: {
        headers.set(random(2) == 0 ? name : to_upper(name), value);
        if (first == model.end()) {
          model.emplace_back(name, value);
        } else {
          first->second = value;
          model.erase(std::remove_if(first + 1, model.end(), is_it), model.end());
        }
        break;
      }
      case 9:
      case 10:
        headers.add(name, value);
        model.emplace_back(name, value);
        break;
      default:
        ASSERT_EQ(headers.has(name), first != model.end()) << name;
        EXPECT_EQ(headers.get_or(name, "none"), first == model.end() ? "none" : first->second);
    }
    ASSERT_EQ(headers.size(), model.size());
  }
}

TEST(Headers, NamesAreLowered) {
  // Every character at every place of a word of eight and of what is left beside it.
  for (int c = 0; c < 256; ++c) {
    for (std::size_t at = 0; at < 11; ++at) {
      std::string name(11, 'x');
      name[at] = static_cast<char>(c);
      std::string wanted = name;
      if (c >= 'A' && c <= 'Z') wanted[at] = static_cast<char>(c + ('a' - 'A'));
      Headers headers;
      headers.add(name, "v");
      EXPECT_EQ(headers.begin()->name, wanted) << c << " at " << at;
    }
  }
}

}  // namespace
}  // namespace mizzen::http
