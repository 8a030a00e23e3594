// A short, repeatable run of what the fuzzers do: good inputs, damaged at random.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

#include "http/fuzz_inputs.h"

namespace mizzen::http {
namespace {

std::string damage(std::string text, std::mt19937& random) {
  const std::size_t wounds = 1 + random() % 4;
  for (std::size_t i = 0; i < wounds && text.size() > 2; ++i) {
    const std::size_t at = random() % text.size();
    switch (random() % 5) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, 1 + random() % 8);
        break;
      case 2:
        text.insert(at, 1 + random() % 3, "\r\n\0: ;0\xff"[random() % 8]);
        break;
      case 3:
        text.insert(at, text.substr(random() % text.size(), random() % 40));
        break;
      case 4:
        text[at] = static_cast<char>(text[at] ^ (1 << (random() % 8)));
        break;
    }
  }
  return text;
}

void run(const std::vector<std::string>& seeds, const std::function<void(std::string_view)>& fuzz) {
  const char* given = std::getenv("MIZZEN_SEED");
  const auto seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                     : std::random_device{}();
  SCOPED_TRACE("MIZZEN_SEED=" + std::to_string(seed));
  std::printf("MIZZEN_SEED=%u\n", seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 4000; ++i) {
    const char cut = static_cast<char>(random());
    fuzz(cut + damage(seeds[static_cast<std::size_t>(i) % seeds.size()], random));
  }
}

TEST(Mutations, Http1) {
  const std::string get = "GET /a?b HTTP/1.1\r\nHost: a.b\r\nX-Y: z\r\n\r\n";
  run({get + get, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + get,
       "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: "
       "b\r\n\r\n" +
           get,
       "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
       "chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
       "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: "
       "websocket\r\n\r\nbytes"},
      fuzz_h1);
}

// What a client or a server writes, recorded.
std::string http2_bytes(bool of_client) {
  ConnectionRecorder at_server;
  ConnectionRecorder at_client;
  auto server = make_h2_server({}, &at_server);
  auto client = make_h2_client({}, &at_client);
  std::string from_client = pull(*client);
  std::string from_server = pull(*server);
  (void)server->feed(from_client);
  (void)client->feed(from_server);
  RequestHead head;
  head.method = "POST";
  head.scheme = "http";
  head.authority = "a.b";
  head.path = "/c";
  head.headers.add("x-y", "z");
  StreamRecorder stream;
  const StreamId id = client->submit(head, false, &stream);
  client->send_data(id, "hello", false);
  Headers trailers;
  trailers.add("t", "1");
  client->send_trailers(id, trailers);
  client->ping(1);
  std::string more = pull(*client);
  from_client += more;
  (void)server->feed(more);
  ResponseHead response;
  response.status = 200;
  server->respond(id, response, false);
  server->send_data(id, "world", false);
  server->send_trailers(id, trailers);
  server->drain();
  from_server += pull(*server);
  return of_client ? from_client : from_server;
}

TEST(Mutations, Http2) { run({http2_bytes(true), http2_bytes(false)}, fuzz_h2); }

TEST(Mutations, WebSocket) {
  std::vector<std::string> seeds;
  for (auto role : {websocket::Role::kClient, websocket::Role::kServer}) {
    std::string bytes;
    websocket::append_frame(bytes, role, websocket::Opcode::kText, "hello");
    websocket::append_frame(bytes, role, websocket::Opcode::kBinary, std::string(300, 'x'));
    websocket::append_frame(bytes, role, websocket::Opcode::kPing, "p");
    websocket::append_close(bytes, role, 1000, "bye");
    seeds.push_back(std::move(bytes));
  }
  run(seeds, fuzz_websocket);
}

}  // namespace
}  // namespace mizzen::http
