// Upgrades and CONNECT on HTTP/1: what passes, who is told, what must not be left behind.
#include <gtest/gtest.h>

#include "http/codec.h"
#include "http/codec_recorder.h"

namespace mizzen::http {
namespace {

RequestHead upgrade_to_thing() {
  RequestHead head;
  head.method = "GET";
  head.authority = "a";
  head.path = "/";
  head.upgrade = "thing";
  return head;
}
constexpr std::string_view kAccepted =
    "HTTP/1.1 101 Switching\r\nupgrade: thing\r\nconnection: upgrade\r\n\r\n";

// Else a client could fill the memory of a proxy whose upstream does not answer.
TEST(H1Client, WhatWaitsForATunnelHoldsItsSenderBack) {
  ConnectionRecorder recorder;
  StreamRecorder stream;
  CodecOptions options;
  options.limits.send_buffer = 1000;
  auto client = make_h1_client(options, &recorder);
  const StreamId id = client->submit(upgrade_to_thing(), false, &stream);
  pull(*client);
  client->send_data(id, std::string(1500, 'x'), false);
  EXPECT_EQ(client->buffered(id), 1500u);
  EXPECT_EQ(pull(*client), "");
  ASSERT_TRUE(client->feed(kAccepted));
  EXPECT_EQ(client->buffered(id), 1500u);
  EXPECT_EQ(pull(*client).size(), 1500u);
  EXPECT_EQ(client->buffered(id), 0u);
  EXPECT_TRUE(stream.log.ends_with("writable")) << stream.log;
}

// Whoever has a stream on a connection that goes must hear of it, whatever half had ended.
TEST(H1Client, ALostConnectionTellsWhoeverIsLeft) {
  enum class Before { kNothing, kHalfClosed, kHeldBack, kHeldBackAndEnded };
  for (const Before before :
       {Before::kNothing, Before::kHalfClosed, Before::kHeldBack, Before::kHeldBackAndEnded}) {
    ConnectionRecorder recorder;
    StreamRecorder stream;
    CodecOptions options;
    options.limits.stream_window = 10;
    auto client = make_h1_client(options, &recorder);
    client->submit(upgrade_to_thing(), false, &stream);
    pull(*client);
    ASSERT_TRUE(client->feed(kAccepted));
    if (before >= Before::kHeldBack) {
      ASSERT_TRUE(client->feed("more than ten"));
      ASSERT_TRUE(client->feed("and more"));
    }
    if (before == Before::kHalfClosed || before == Before::kHeldBackAndEnded)
      client->end_of_input();
    EXPECT_EQ(client->open_streams(), 1u);
    client->connection_lost();
    EXPECT_TRUE(stream.log.ends_with("reset")) << stream.log;
    EXPECT_EQ(client->open_streams(), 0u);
    EXPECT_TRUE(client->finished());
  }
}

// What came for a tunnel that was refused must not become part of another's request.
TEST(H1Client, ARefusedUpgradeLeavesNothingBehind) {
  ConnectionRecorder recorder;
  StreamRecorder stream;
  auto client = make_h1_client({}, &recorder);
  RequestHead head = upgrade_to_thing();
  head.headers.add("content-length", "5");
  const StreamId id = client->submit(head, false, &stream);
  client->send_data(id, "12345", true);
  EXPECT_EQ(pull(*client).find("content-length"), std::string::npos);
  ASSERT_TRUE(client->feed("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
  EXPECT_EQ(pull(*client), "");
  EXPECT_TRUE(stream.log.ends_with("complete")) << stream.log;
  EXPECT_FALSE(client->can_submit());
  EXPECT_TRUE(client->finished());
}

TEST(H1, UpgradePassesBytesBothWaysAndHalfCloses) {
  ConnectionRecorder at_server;
  ConnectionRecorder at_client;
  StreamRecorder stream;
  auto server = make_h1_server({}, &at_server);
  auto client = make_h1_client({}, &at_client);
  const StreamId id = client->submit(upgrade_to_thing(), false, &stream);
  client->send_data(id, "early", false);
  exchange(*client, *server);
  ASSERT_EQ(at_server.requests.size(), 1u);
  EXPECT_EQ(at_server.requests[0].head.upgrade, "thing");
  EXPECT_FALSE(at_server.requests[0].end);
  ResponseHead accepted;
  accepted.status = 101;
  server->respond(1, accepted, false);
  server->send_data(1, "hello", false);
  exchange(*client, *server);
  EXPECT_EQ(stream.log, "response(101) data(hello)");
  EXPECT_EQ(at_server.requests[0].stream->log, "data(early)");
  client->send_data(id, "bye", true);
  EXPECT_TRUE(client->output_ended());
  exchange(*client, *server);
  server->end_of_input();
  EXPECT_EQ(at_server.requests[0].stream->log, "data(early) data(bye) end");
  server->send_data(1, "last", true);
  exchange(*client, *server);
  client->end_of_input();
  EXPECT_EQ(stream.log, "response(101) data(hello) data(last) end complete");
  EXPECT_TRUE(at_server.requests[0].stream->log.ends_with("complete"));
}

}  // namespace
}  // namespace mizzen::http
