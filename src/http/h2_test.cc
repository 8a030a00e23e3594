#include <gtest/gtest.h>

#include <array>
#include <functional>

#include "http/codec.h"
#include "http/codec_recorder.h"

namespace mizzen::http {
namespace {

// A client and a server with their recorders.
struct Pair {
  explicit Pair(const CodecOptions& options = {})
      : server(make_h2_server(options, &at_server)), client(make_h2_client(options, &at_client)) {
    exchange(*client, *server);
  }
  StreamId ask(StreamRecorder& stream, bool end = true, std::string_view method = "GET") {
    RequestHead head;
    head.method = method;
    head.scheme = "http";
    head.authority = "a.b";
    head.path = "/p?q";
    head.headers.add("X-One", "1");
    return client->submit(head, end, &stream);
  }
  void settle() { exchange(*client, *server); }

  ConnectionRecorder at_server;
  ConnectionRecorder at_client;
  std::unique_ptr<ServerCodec> server;
  std::unique_ptr<ClientCodec> client;
};

ResponseHead status(int code) {
  ResponseHead head;
  head.status = code;
  return head;
}

TEST(H2, RequestAndResponse) {
  Pair pair;
  StreamRecorder stream;
  pair.ask(stream);
  pair.settle();
  ASSERT_EQ(pair.at_server.requests.size(), 1u);
  const auto& request = pair.at_server.requests[0];
  EXPECT_EQ(request.head.method, "GET");
  EXPECT_EQ(request.head.authority, "a.b");
  EXPECT_EQ(request.head.path, "/p?q");
  EXPECT_EQ(request.head.headers.get_or("x-one", ""), "1");
  EXPECT_EQ(request.head.protocol, Protocol::kHttp2);
  EXPECT_TRUE(request.end);
  pair.server->inform(request.id, status(103));
  pair.server->respond(request.id, status(200), false);
  pair.server->send_data(request.id, "hello", false);
  Headers trailers;
  trailers.add("grpc-status", "0");
  pair.server->send_trailers(request.id, trailers);
  pair.settle();
  EXPECT_EQ(stream.log,
            "interim(103) response(200) data(hello) trailers(grpc-status=0;) end complete");
  EXPECT_EQ(request.stream->log, "complete");
  EXPECT_EQ(pair.client->open_streams(), 0u);
  EXPECT_EQ(pair.server->open_streams(), 0u);
}

TEST(H2, ABodyWaitsForItsReader) {
  CodecOptions options;
  options.limits.stream_window = 65535;
  options.limits.send_buffer = 100'000;
  Pair pair(options);
  StreamRecorder stream;
  const StreamId id = pair.ask(stream, false, "POST");
  const std::string body(200'000, 'x');
  pair.client->send_data(id, body, true);
  pair.settle();
  StreamRecorder& at_server = *pair.at_server.requests[0].stream;
  EXPECT_EQ(at_server.body.size(), 65535u);
  EXPECT_EQ(pair.client->buffered(id), body.size() - 65535);
  while (at_server.body.size() < body.size()) {
    const std::size_t before = at_server.body.size();
    pair.server->consumed(id, 65535);
    pair.settle();
    ASSERT_GT(at_server.body.size(), before);
  }
  EXPECT_EQ(stream.log, "writable");
  EXPECT_TRUE(at_server.log.ends_with("end"));
}

TEST(H2, ConsumedAfterTheStreamGivesTheConnectionItsWindowBack) {
  CodecOptions options;
  options.limits.connection_window = 65535;
  Pair pair(options);
  for (int i = 0; i < 20; ++i) {
    StreamRecorder stream;
    const StreamId id = pair.ask(stream, false, "POST");
    pair.client->send_data(id, std::string(30'000, 'x'), true);
    pair.settle();
    ASSERT_EQ(pair.at_server.requests.back().stream->body.size(), 30'000u) << i;
    pair.server->respond(id, status(200), true);
    pair.settle();
    EXPECT_EQ(stream.log, "response(200) end complete");
  }
}

TEST(H2, Resets) {
  Pair pair;
  StreamRecorder first;
  StreamRecorder second;
  const StreamId one = pair.ask(first);
  const StreamId two = pair.ask(second);
  pair.settle();
  pair.server->reset(one, ResetCode::kRefusedStream);
  pair.client->reset(two, ResetCode::kCancel);
  pair.settle();
  EXPECT_EQ(first.log, "reset(safe)");
  EXPECT_EQ(second.log, "");
  EXPECT_EQ(pair.at_server.requests[1].stream->log, "reset");
  EXPECT_EQ(pair.server->open_streams(), 0u);
}

TEST(H2, GracefulDrainLetsStreamsEnd) {
  Pair pair;
  StreamRecorder stream;
  const StreamId id = pair.ask(stream);
  pair.settle();
  pair.server->drain();
  pair.settle();
  EXPECT_EQ(pair.at_client.goaways, 1);
  EXPECT_FALSE(pair.client->can_submit());
  EXPECT_FALSE(pair.server->finished());
  pair.server->respond(id, status(200), true);
  pair.settle();
  EXPECT_EQ(stream.log, "response(200) end complete");
  EXPECT_TRUE(pair.server->finished());
  EXPECT_TRUE(pair.client->finished());
}

TEST(H2, TheEndOfTheConnectionBreaksStreams) {
  Pair pair;
  StreamRecorder stream;
  pair.ask(stream);
  pair.settle();
  pair.client->end_of_input();
  pair.server->end_of_input();
  EXPECT_EQ(stream.log, "reset");
  EXPECT_EQ(pair.at_server.requests[0].stream->log, "reset");
  EXPECT_TRUE(pair.server->finished());
}

TEST(H2, RapidResetEndsTheConnection) {
  Pair pair;
  Status got;
  for (int i = 0; i < 2000 && got; ++i) {
    StreamRecorder stream;
    const StreamId id = pair.ask(stream);
    got = pair.server->feed(pull(*pair.client));
    pair.client->reset(id, ResetCode::kCancel);
    got = pair.server->feed(pull(*pair.client));
  }
  ASSERT_FALSE(got);
  EXPECT_LT(pair.at_server.requests.size(), 600u);
  EXPECT_TRUE(pair.server->finished());
  pair.settle();
  EXPECT_EQ(pair.at_client.goaways, 1);
}

std::string frame(int type, int flags, std::uint32_t id, std::string_view payload) {
  std::string text;
  for (int shift = 16; shift >= 0; shift -= 8) text += static_cast<char>(payload.size() >> shift);
  text += static_cast<char>(type);
  text += static_cast<char>(flags);
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(id >> shift);
  return text.append(payload);
}

const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, "");

// Literal field without indexing, short texts only.
std::string literal(std::string_view name, std::string_view value) {
  std::string text(1, '\0');
  text += static_cast<char>(name.size());
  text.append(name);
  text += static_cast<char>(value.size());
  return text.append(value);
}

const std::string kGet =
    literal(":method", "GET") + literal(":scheme", "http") + literal(":path", "/");

TEST(H2, Floods) {
  struct Case {
    const char* what;
    std::string begin;
    std::string again;
  };
  const Case cases[] = {
      {"empty DATA", frame(1, 4, 1, kGet + literal(":authority", "a")), frame(0, 0, 1, "")},
      {"empty CONTINUATION", frame(1, 0, 1, kGet + literal(":authority", "a")), frame(9, 0, 1, "")},
      {"empty CONTINUATION with a flag of DATA", frame(1, 0, 1, kGet + literal(":authority", "a")),
       frame(9, 1, 1, "")},
      {"WINDOW_UPDATE", frame(1, 4, 1, kGet + literal(":authority", "a")),
       frame(8, 0, 1, std::string("\0\0\0\1", 4))},
      {"PRIORITY", "", frame(2, 0, 3, std::string("\0\0\0\0\1", 5))},
      {"PING", "", frame(6, 0, 0, "12345678")},
      {"SETTINGS", "", frame(4, 0, 0, "")},
  };
  for (const Case& c : cases) {
    ConnectionRecorder recorder;
    auto server = make_h2_server({}, &recorder);
    Status got = server->feed(kPreface + c.begin);
    ASSERT_TRUE(got) << c.what;
    int rounds = 0;
    for (; rounds < 20'000 && got; ++rounds) got = server->feed(c.again);
    EXPECT_FALSE(got) << c.what;
    EXPECT_LT(rounds, 20'000) << c.what;
  }
}

// Whoever reads our answers may not keep us busy for ever either.
TEST(H2, FloodsOfWhoReads) {
  struct Case {
    const char* what;
    std::function<std::string(std::uint32_t)> again;
    int most;
  };
  const Case cases[] = {
      {"SETTINGS", [](std::uint32_t) { return frame(4, 0, 0, std::string("\0\4\0\0\1\0", 6)); },
       101},
      {"heads that are none", [](std::uint32_t id) { return frame(1, 5, id, kGet); }, 501},
      {"heads that are too large",
       [](std::uint32_t id) {
         std::string fields = kGet;
         for (int i = 0; i < 101; ++i) fields += literal("x", "y");
         return frame(1, 5, id, fields);
       },
       501},
  };
  for (const Case& c : cases) {
    ConnectionRecorder recorder;
    auto server = make_h2_server({}, &recorder);
    Status got = server->feed(kPreface);
    int rounds = 0;
    for (std::uint32_t id = 1; rounds < 2000 && got; ++rounds, id += 2) {
      got = server->feed(c.again(id));
      (void)pull(*server);
    }
    EXPECT_FALSE(got) << c.what;
    EXPECT_LE(rounds, c.most) << c.what;
    EXPECT_NE(server->violation(), "") << c.what;
  }
}

TEST(H2, WhoAsksInVainIsSuspectLongBeforeTheEnd) {
  for (const bool in_vain : {true, false}) {
    ConnectionRecorder recorder;
    auto server = make_h2_server({}, &recorder);
    ASSERT_TRUE(server->feed(kPreface));
    for (std::uint32_t id = 1; id < 120; id += 2) {
      EXPECT_EQ(server->is_suspect(), in_vain && id > 2 * 50 + 1) << id;
      ASSERT_TRUE(
          server->feed(frame(1, 5, id, kGet + (in_vain ? "" : literal(":authority", "a")))));
      if (!in_vain) server->respond(static_cast<StreamId>(id), status(204), true);
      (void)pull(*server);
    }
  }
}

TEST(H2, RequestsWaitForTheNextTurn) {
  CodecOptions options;
  options.heads_per_turn = 2;
  ConnectionRecorder recorder;
  auto server = make_h2_server(options, &recorder);
  std::string bytes = kPreface;
  for (std::uint32_t id = 1; id < 10; id += 2) {
    bytes += frame(1, 5, id, kGet + literal(":authority", "a"));
  }
  ASSERT_TRUE(server->feed(bytes));
  EXPECT_EQ(recorder.requests.size(), 2u);
  EXPECT_TRUE(server->wants_turn());
  EXPECT_FALSE(server->wants_input());
  ASSERT_TRUE(server->feed(frame(1, 5, 11, kGet + literal(":authority", "b"))));  // read meanwhile
  EXPECT_EQ(recorder.requests.size(), 4u);
  ASSERT_TRUE(server->feed({}));
  ASSERT_EQ(recorder.requests.size(), 6u);
  EXPECT_EQ(recorder.requests[5].head.authority, "b");
  EXPECT_FALSE(server->wants_turn());
  EXPECT_TRUE(server->wants_input());
}

// A connection that many share is not ended for what one of them writes on it.
TEST(H2, AClientWaitsForAServerThatDoesNotRead) {
  Pair pair;
  StreamRecorder stream;
  int rounds = 0;
  for (; rounds < 100'000 && pair.client->can_submit(); ++rounds) {
    pair.client->reset(pair.ask(stream), ResetCode::kCancel);
  }
  EXPECT_GT(rounds, 10'000);
  EXPECT_LT(rounds, 100'000);
  EXPECT_TRUE(pair.client->feed(frame(6, 0, 0, "12345678")));
  (void)pull(*pair.client);
  EXPECT_TRUE(pair.client->can_submit());
}

TEST(H2, TheLastInitialWindowOfAFrameCounts) {
  Pair pair;
  StreamRecorder stream;
  const StreamId id = pair.ask(stream, false, "POST");
  pair.settle();
  const std::string none("\0\4\0\0\0\0", 6);
  const std::string ten("\0\4\0\0\0\x0a", 6);
  ASSERT_TRUE(pair.client->feed(frame(4, 0, 0, ten + none + ten)));
  pair.client->send_data(id, std::string(100, 'x'), true);
  pair.settle();
  EXPECT_EQ(pair.at_server.requests[0].stream->body.size(), 10u);
}

TEST(H2, MalformedRequestsAreReset) {
  struct Case {
    const char* what;
    std::string fields;
    bool taken;
  };
  const std::string host = literal(":authority", "a");
  const Case cases[] = {
      {"good", kGet + host, true},
      {"host for authority", kGet + literal("host", "a"), true},
      {"upper-case name", kGet + host + literal("X", "1"), false},
      {"connection field", kGet + host + literal("connection", "close"), false},
      {"transfer-encoding", kGet + host + literal("transfer-encoding", "chunked"), false},
      {"line end in value", kGet + host + literal("x", "a\r\nb: c"), false},
      {"line end in name", kGet + host + literal("x: y\r\nz", "a"), false},
      {"no path", literal(":method", "GET") + literal(":scheme", "http") + host, false},
      {"space in path",
       literal(":method", "GET") + literal(":scheme", "http") + literal(":path", "/a b") + host,
       false},
      {"relative path",
       literal(":method", "GET") + literal(":scheme", "http") + literal(":path", "a") + host,
       false},
      {"path twice", kGet + literal(":path", "/") + host, false},
      {"pseudo after field", literal("x", "1") + kGet + host, false},
      {"authority with user", kGet + literal(":authority", "u@a"), false},
      {"response pseudo", kGet + host + literal(":status", "200"), false},
      {"two lengths", kGet + host + literal("content-length", "1") + literal("content-length", "2"),
       false},
      {"length less than nothing", kGet + host + literal("content-length", "-0"), false},
      {"space in method",
       literal(":method", "GET /x") + literal(":scheme", "http") + literal(":path", "/") + host,
       false},
      {"length without body", kGet + host + literal("content-length", "5"), false},
  };
  for (const Case& c : cases) {
    ConnectionRecorder recorder;
    auto server = make_h2_server({}, &recorder);
    (void)server->feed(kPreface + frame(1, 5, 1, c.fields));
    EXPECT_EQ(recorder.requests.size(), c.taken ? 1u : 0u) << c.what;
  }
}

TEST(H2, HeadsBeyondTheLimitAreRefused) {
  ConnectionRecorder recorder;
  CodecOptions options;
  options.limits.head_bytes = 200;
  auto server = make_h2_server(options, &recorder);
  ASSERT_TRUE(server->feed(kPreface + frame(1, 5, 1,
                                            kGet + literal(":authority", "a") +
                                                literal("x", std::string(100, 'a')) +
                                                literal("y", std::string(100, 'a')))));
  EXPECT_TRUE(recorder.requests.empty());
  ASSERT_TRUE(server->feed(frame(1, 5, 3, kGet + literal(":authority", "a"))));
  EXPECT_EQ(recorder.requests.size(), 1u);
}

TEST(H2, CookiesAreJoined) {
  ConnectionRecorder recorder;
  auto server = make_h2_server({}, &recorder);
  ASSERT_TRUE(
      server->feed(kPreface + frame(1, 5, 1,
                                    kGet + literal(":authority", "a") + literal("cookie", "a=1") +
                                        literal("x", "y") + literal("cookie", "b=2"))));
  EXPECT_EQ(recorder.requests[0].head.headers.get_or("cookie", ""), "a=1; b=2");
  EXPECT_EQ(recorder.requests[0].head.headers.size(), 2u);
}

TEST(H2, WebSocketRidesOnExtendedConnect) {
  Pair pair;
  StreamRecorder stream;
  RequestHead head;
  head.method = "GET";
  head.scheme = "http";
  head.authority = "a";
  head.path = "/chat";
  head.upgrade = "websocket";
  head.headers.add("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
  head.headers.add("content-length", "5");
  const StreamId id = pair.client->submit(head, false, &stream);
  pair.settle();
  ASSERT_EQ(pair.at_server.requests.size(), 1u);
  EXPECT_EQ(pair.at_server.requests[0].head.upgrade, "websocket");
  EXPECT_EQ(pair.at_server.requests[0].head.method, "GET");
  EXPECT_FALSE(pair.at_server.requests[0].head.headers.has("sec-websocket-key"));
  EXPECT_FALSE(pair.at_server.requests[0].head.headers.has("content-length"));
  pair.server->respond(id, status(101), false);
  pair.server->send_data(id, "frame", false);
  pair.settle();
  EXPECT_EQ(stream.log, "response(101) data(frame)");
  EXPECT_EQ(stream.response.headers.get_or("sec-websocket-accept", ""),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(H2, Pings) {
  Pair pair;
  pair.client->ping(42);
  pair.settle();
  EXPECT_EQ(pair.at_client.pongs, std::vector<std::uint64_t>{42});
}

constexpr int kData = 0, kHead = 1, kReset = 3, kEnd = 1, kEndHead = 4;
const std::string kGetOfA = kGet + literal(":authority", "a");

void drain_output(ServerCodec& server) {
  std::array<iovec, 16> vectors;
  while (const std::size_t count = server.output(vectors)) {
    std::size_t sent = 0;
    for (std::size_t i = 0; i < count; ++i) sent += vectors[i].iov_len;
    server.drained(sent);
  }
}

// Does a connection go on when `bytes` come after requests on streams 1 and 5 that were answered?
bool goes_on_after_two_answers(const std::string& bytes) {
  ConnectionRecorder recorder;
  auto server = make_h2_server({}, &recorder);
  std::string begin = kPreface;
  for (const int id : {1, 5}) begin += frame(kHead, kEnd | kEndHead, id, kGetOfA);
  EXPECT_TRUE(server->feed(begin));
  for (const auto& request : recorder.requests) server->respond(request.id, status(204), true);
  drain_output(*server);
  EXPECT_EQ(recorder.requests.size(), 2u);
  const Status fed = server->feed(bytes);
  drain_output(*server);
  return fed && server->wants_input();
}

TEST(H2, FramesOnStreamsThatHaveEnded) {
  EXPECT_FALSE(goes_on_after_two_answers(frame(kHead, kEnd | kEndHead, 1, kGetOfA)));
  EXPECT_FALSE(goes_on_after_two_answers(frame(kData, kEnd, 1, "x")));
  EXPECT_FALSE(
      goes_on_after_two_answers(frame(kHead, kEnd | kEndHead, 3, kGetOfA)));  // never opened
  EXPECT_TRUE(goes_on_after_two_answers(frame(kHead, kEnd | kEndHead, 7, kGetOfA)));
  const std::string taken_back =
      frame(kHead, kEndHead, 7, kGetOfA) + frame(kReset, 0, 7, std::string_view("\0\0\0\x8", 4));
  EXPECT_TRUE(goes_on_after_two_answers(taken_back));
  EXPECT_FALSE(goes_on_after_two_answers(taken_back + frame(kData, 0, 7, "x")));
}

TEST(H2, FramesOnTheirWayWhenWeResetTheStream) {
  Pair pair;
  StreamRecorder stream;
  const StreamId id = pair.ask(stream, false, "POST");
  pair.settle();
  pair.server->reset(pair.at_server.requests[0].id, ResetCode::kCancel);
  pair.client->send_data(id, "on its way", true);
  std::array<iovec, 16> vectors;
  pair.server->output(vectors);  // the reset is written, and not read yet
  pair.settle();
  StreamRecorder next;
  pair.ask(next);
  pair.settle();
  EXPECT_EQ(pair.at_server.requests.size(), 2u);
}

TEST(H2, StreamsBeyondTheLimitAreRefusedAndSafeToRetry) {
  CodecOptions options;
  options.limits.concurrent_streams = 1;
  Pair pair(options);
  // Before the server's SETTINGS are known, a client may ask for more.
  auto eager = make_h2_client({}, &pair.at_client);
  auto server = make_h2_server(options, &pair.at_server);
  StreamRecorder first;
  StreamRecorder second;
  RequestHead head;
  head.method = "GET";
  head.authority = "a";
  const StreamId id = eager->submit(head, true, &first);
  eager->submit(head, true, &second);
  exchange(*eager, *server);
  EXPECT_EQ(second.log, "reset(safe)");
  server->respond(id, status(200), true);
  exchange(*eager, *server);
  EXPECT_EQ(first.log, "response(200) end complete");
}

TEST(H2, AnExchangeIsCompleteOnceItWasWritten) {
  ConnectionRecorder recorder;
  auto server = make_h2_server({}, &recorder);
  ASSERT_TRUE(server->feed(kPreface + frame(kHead, kEnd | kEndHead, 1, kGetOfA)));
  server->respond(1, status(200), false);
  server->send_data(1, "body", true);
  ASSERT_TRUE(server->feed({}));
  EXPECT_EQ(recorder.requests[0].stream->log, "");
  std::array<iovec, 4> parts;
  ASSERT_EQ(server->output(parts), 1u);
  server->drained(parts[0].iov_len - 1);
  EXPECT_EQ(recorder.requests[0].stream->log, "");
  server->drained(1);
  EXPECT_EQ(recorder.requests[0].stream->log, "complete");
}

TEST(H2, BodiesMustBeAsLongAsTheirHeadsSay) {
  const std::string post = kGetOfA + literal("content-length", "3");
  struct Case {
    const char* what;
    std::string frames;
    const char* log;
  };
  const Case cases[] = {
      {"as long", frame(kData, kEnd, 1, "abc"), "data(abc) end"},
      {"shorter", frame(kData, kEnd, 1, "ab"), "reset"},
      {"longer", frame(kData, 0, 1, "abcd"), "reset"},
      {"shorter, with trailers",
       frame(kData, 0, 1, "ab") + frame(kHead, kEnd | kEndHead, 1, literal("x", "1")),
       "data(ab) reset"},
  };
  for (const Case& c : cases) {
    ConnectionRecorder recorder;
    auto server = make_h2_server({}, &recorder);
    EXPECT_TRUE(server->feed(kPreface + frame(kHead, kEndHead, 1, post) + c.frames)) << c.what;
    ASSERT_EQ(recorder.requests.size(), 1u);
    EXPECT_EQ(recorder.requests[0].stream->log, c.log) << c.what;
  }
}

TEST(H2, AHeadWithoutAnEndEndsTheConnection) {
  ConnectionRecorder recorder;
  auto server = make_h2_server({}, &recorder);
  Status fed = server->feed(kPreface + frame(kHead, kEnd, 1, kGetOfA));
  const std::string more = frame(9, 0, 1, literal("x", std::string(100, 'a')));
  EXPECT_TRUE(server->head_pending());
  std::size_t bytes = 0;
  for (; fed && bytes < 10'000'000; bytes += more.size()) fed = server->feed(more);
  EXPECT_FALSE(fed);
  EXPECT_LT(bytes, 400'000u);
}

TEST(H2, LargeBodiesTakeTurns) {
  ConnectionRecorder recorder;
  CodecOptions options;
  auto server = make_h2_server(options, &recorder);
  const std::string window("\0\x4\0\x10\0\0", 6);  // SETTINGS_INITIAL_WINDOW_SIZE 1 MiB
  ASSERT_TRUE(server->feed(
      kPreface + frame(4, 0, 0, window) + frame(8, 0, 0, std::string("\0\x10\0\0", 4)) +
      frame(kHead, kEnd | kEndHead, 1, kGetOfA) + frame(kHead, kEnd | kEndHead, 3, kGetOfA)));
  for (const StreamId id : {1, 3}) {
    server->respond(id, status(200), false);
    server->send_data(id, std::string(400'000, 'x'), true);
  }
  const std::string out = pull(*server);
  std::string order;
  for (std::size_t at = 0; at + 9 <= out.size();) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(out[at + i]); };
    if (byte(3) == kData) order += static_cast<char>('0' + byte(8));
    at += 9 + (std::size_t{byte(0)} << 16 | std::size_t{byte(1)} << 8 | byte(2));
  }
  EXPECT_EQ(order.size(), 50u);
  EXPECT_NE(order.find("3131313131"), std::string::npos) << order;
}

TEST(H2, APrefaceThatIsNoneFails) {
  ConnectionRecorder recorder;
  auto server = make_h2_server({}, &recorder);
  EXPECT_FALSE(server->feed("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
}

}  // namespace
}  // namespace mizzen::http
