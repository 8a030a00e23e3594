// Client and server of this folder against each other, over real sockets on loopback and over
// memory streams that misbehave.
#include <gtest/gtest.h>

#include <array>

#include "io/sim_loop.h"
#include "net/grpc.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace mizzen::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A server on loopback and a client for it.
class Pair {
 public:
  explicit Pair(Handler handler, HttpVersion version = HttpVersion::kHttp1)
      : server(loop, {}, std::move(handler)) {
    auto address = server.listen(io::Address::loopback(0));
    EXPECT_TRUE(address);
    HttpClientOptions options;
    options.base = *parse_base_url("http://" + address->to_string());
    options.version = version;
    client = std::make_unique<HttpClient>(loop, options);
  }

  Result<Response> fetch(Request request) {
    std::optional<Result<Response>> got;
    client->fetch(std::move(request),
                  [&got](Result<Response> response) { got = std::move(response); });
    EXPECT_TRUE(loop.run_until([&got] { return got.has_value(); }, seconds(10)));
    return got ? std::move(*got) : fail(Code::kTimeout, "no answer");
  }

  io::EpollLoop loop;
  HttpServer server;
  std::unique_ptr<HttpClient> client;
};

void echo(const std::shared_ptr<Exchange>& exchange) {
  exchange->read_body(1 << 20, [exchange](Result<std::string> body) {
    if (!body) return exchange->respond(413, {}, body.error().message);
    exchange->respond(200, {{"x-path", std::string(exchange->path())}},
                      std::string(exchange->method()) + " " + *body);
  });
}

class BothVersions : public testing::TestWithParam<HttpVersion> {};

TEST_P(BothVersions, RequestAndResponse) {
  Pair pair(echo, GetParam());
  for (int i = 0; i < 3; ++i) {
    auto response = pair.fetch({.method = "POST", .target = "/a?b=c", .body = "hello"});
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, "POST hello");
    EXPECT_EQ(response->header("x-path"), "/a");
    EXPECT_FALSE(response->header("date").empty());
  }
  EXPECT_EQ(pair.server.connections(), 1U) << "the connection is used again";
}

TEST_P(BothVersions, ManyAtOnce) {
  Pair pair(echo, GetParam());
  int answered = 0;
  for (int i = 0; i < 200; ++i) {
    pair.client->fetch({.method = "POST", .target = "/", .body = std::to_string(i)},
                       [&answered, i](Result<Response> response) {
                         ASSERT_TRUE(response) << response.error().message;
                         EXPECT_EQ(response->body, "POST " + std::to_string(i));
                         ++answered;
                       });
  }
  EXPECT_TRUE(pair.loop.run_until([&answered] { return answered == 200; }, seconds(20)));
}

TEST_P(BothVersions, LargeBodiesUnderBackPressure) {
  Pair pair(echo, GetParam());
  std::string body(900'000, 'x');
  auto response = pair.fetch({.method = "PUT", .target = "/", .body = body});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body.size(), body.size() + 4);
  response = pair.fetch({.method = "PUT", .target = "/", .body = std::string(2'000'000, 'x')});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->status, 413);
}

TEST_P(BothVersions, StreamedAnswer) {
  Pair pair(
      [](const std::shared_ptr<Exchange>& exchange) {
        exchange->begin(200, {});
        for (int i = 0; i < 3; ++i) exchange->write("piece\n");
        exchange->loop().after(milliseconds(5), [exchange] { exchange->end(); });
      },
      GetParam());
  std::string got;
  std::optional<Status> closed;
  StreamCallbacks callbacks;
  callbacks.on_data = [&got](std::string_view bytes) { got += bytes; };
  callbacks.on_closed = [&closed](Status status) { closed = std::move(status); };
  auto call = pair.client->open({.target = "/"}, true, std::move(callbacks));
  ASSERT_TRUE(pair.loop.run_until([&closed] { return closed.has_value(); }, seconds(10)));
  EXPECT_TRUE(*closed);
  EXPECT_EQ(got, "piece\npiece\npiece\n");
}

// A watch has nothing to write for minutes: that its client went must be heard nevertheless.
TEST_P(BothVersions, StreamedAnswerHearsThatItsClientWent) {
  bool begun = false;
  std::optional<bool> complete;
  Pair pair(
      [&](std::shared_ptr<Exchange> exchange) {
        begun = true;
        exchange->begin(200, {});
        exchange->write("first");
        exchange->on_closed([&](bool done) { complete = done; });
      },
      GetParam());
  std::string got;
  StreamCallbacks callbacks;
  callbacks.on_data = [&](std::string_view bytes) { got += bytes; };
  auto call = pair.client->open({}, true, std::move(callbacks));
  ASSERT_TRUE(pair.loop.run_until([&] { return got == "first"; }, seconds(5)));
  call.reset();
  ASSERT_TRUE(pair.loop.run_until([&] { return complete.has_value(); }, seconds(5)));
  EXPECT_FALSE(*complete);
}

TEST_P(BothVersions, TimesOutAndGoesOn) {
  std::vector<std::shared_ptr<Exchange>> kept;
  Pair pair(
      [&kept](const std::shared_ptr<Exchange>& exchange) {
        if (exchange->path() == "/slow") {
          kept.push_back(exchange);
        } else {
          echo(exchange);
        }
      },
      GetParam());
  auto slow = pair.fetch({.target = "/slow", .timeout = milliseconds(30)});
  ASSERT_FALSE(slow);
  EXPECT_EQ(slow.error().code, Code::kTimeout);
  EXPECT_TRUE(pair.fetch({.target = "/"}));
  ASSERT_EQ(kept.size(), 1U);
  kept[0]->respond(200, {}, "too late");  // harmless
}

TEST_P(BothVersions, ClientMayCancelInACallback) {
  Pair pair(
      [](const std::shared_ptr<Exchange>& exchange) {
        exchange->begin(200, {});
        exchange->write("x");
      },
      GetParam());
  std::unique_ptr<ClientCall> call;
  bool cancelled = false;
  StreamCallbacks callbacks;
  callbacks.on_data = [&](std::string_view) {
    cancelled = true;
    call.reset();
  };
  call = pair.client->open({.target = "/"}, true, std::move(callbacks));
  EXPECT_TRUE(pair.loop.run_until([&cancelled] { return cancelled; }, seconds(10)));
}

INSTANTIATE_TEST_SUITE_P(Http, BothVersions,
                         testing::Values(HttpVersion::kHttp1, HttpVersion::kHttp2));

TEST(HttpClient, RefusedConnectionIsSafeToRetry) {
  io::EpollLoop loop;
  HttpClientOptions options;
  options.base = *parse_base_url("http://127.0.0.1:1");
  HttpClient client(loop, options);
  std::optional<Result<Response>> got;
  client.fetch({.target = "/"}, [&got](Result<Response> response) { got = std::move(response); });
  ASSERT_TRUE(loop.run_until([&got] { return got.has_value(); }, seconds(10)));
  ASSERT_FALSE(*got);
  EXPECT_EQ(got->error().code, Code::kUnavailable);
  EXPECT_TRUE(got->error().retry_safe);
}

// The answer to what cannot be understood must not drown in the reset for what follows it.
TEST(HttpServer, AnswersBeforeItClosesOnUnreadBytes) {
  io::EpollLoop loop;
  HttpServer server(loop, {}, echo);
  auto address = server.listen(io::Address::loopback(0));
  ASSERT_TRUE(address);
  struct Client : io::StreamHandler {
    void on_readable() override {
      std::array<std::byte, 4096> buffer;
      while (true) {
        io::IoResult got = stream->read(buffer);
        if (got.status == io::IoStatus::kOk) {
          text.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
          continue;
        }
        over = got.status != io::IoStatus::kWouldBlock;
        failed = got.status == io::IoStatus::kError;
        if (over) stream->set_handler(nullptr);
        return;
      }
    }
    void on_writable() override {}
    void on_error(const Error&) override { over = failed = true; }
    std::unique_ptr<io::Stream> stream;
    std::string text;
    bool over = false, failed = false;
  } client;
  std::string body(200'000, 'x');
  auto connecting = io::connect(loop, *address, {}, [&](auto stream) {
    client.stream = std::move(*stream);
    client.stream->set_handler(&client);
    client.stream->write("GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n" + body);
  });
  ASSERT_TRUE(loop.run_until([&] { return client.over; }, std::chrono::seconds(5)));
  EXPECT_FALSE(client.failed);
  EXPECT_TRUE(client.text.starts_with("HTTP/1.1 400")) << client.text;
  client.stream.reset();
  ASSERT_TRUE(loop.run_until([&] { return server.connections() == 0; }, std::chrono::seconds(5)));
}

TEST(HttpServer, UpgradeCarriesBytesBothWays) {
  // Answers every byte with itself.
  struct Echo : io::StreamHandler {
    explicit Echo(std::unique_ptr<io::Stream> s) : stream(std::move(s)) {
      stream->set_handler(this);
    }
    void on_readable() override {
      std::array<std::byte, 256> buffer;
      for (;;) {
        io::IoResult got = stream->read(buffer);
        if (got.status != io::IoStatus::kOk) return;
        stream->write(std::string_view(reinterpret_cast<char*>(buffer.data()), got.bytes));
      }
    }
    void on_writable() override {}
    void on_error(const Error&) override {}
    std::unique_ptr<io::Stream> stream;
  };
  struct Collect : io::StreamHandler {
    void on_readable() override {
      std::array<std::byte, 256> buffer;
      io::IoResult got = stream->read(buffer);
      if (got.status == io::IoStatus::kOk) {
        text.append(reinterpret_cast<char*>(buffer.data()), got.bytes);
      }
    }
    void on_writable() override {}
    void on_error(const Error&) override {}
    std::unique_ptr<io::Stream> stream;
    std::string text;
  };
  std::unique_ptr<Echo> server_end;
  Collect client_end;
  Pair pair([&server_end](const std::shared_ptr<Exchange>& exchange) {
    auto stream = exchange->upgrade(101, {{"connection", "upgrade"}, {"upgrade", "echo"}});
    ASSERT_NE(stream, nullptr);
    server_end = std::make_unique<Echo>(std::move(stream));
  });
  Request request{.target = "/"};
  request.headers = {{"connection", "upgrade"}, {"upgrade", "echo"}};
  pair.client->upgrade(request, [&client_end](Result<HttpClient::Upgraded> upgraded) {
    ASSERT_TRUE(upgraded) << upgraded.error().message;
    client_end.stream = std::move(upgraded->stream);
    client_end.stream->set_handler(&client_end);
    client_end.stream->write("there and back");
  });
  EXPECT_TRUE(pair.loop.run_until([&client_end] { return client_end.text == "there and back"; },
                                  seconds(10)));
  client_end.stream.reset();
  server_end.reset();
}

TEST(Grpc, UnaryAndBidirectional) {
  GrpcServer grpc;
  grpc.unary("/t.S/Upper", [](std::string request, std::shared_ptr<GrpcStream>, auto done) {
    if (request.empty()) return done({http::GrpcCode::kInvalidArgument, "say something"}, "");
    done({}, request + "!");
  });
  grpc.streaming("/t.S/Chat", [](const std::shared_ptr<GrpcStream>& stream) {
    std::weak_ptr<GrpcStream> weak = stream;
    stream->on_message([weak](std::string_view message) {
      if (auto stream = weak.lock()) stream->send("re: " + std::string(message));
    });
    stream->on_half_close([weak] {
      if (auto stream = weak.lock()) stream->finish({});
    });
  });
  Pair pair(
      [&grpc](const std::shared_ptr<Exchange>& exchange) { ASSERT_TRUE(grpc.handle(exchange)); },
      HttpVersion::kHttp2);
  GrpcClient client(*pair.client);

  std::optional<http::GrpcStatus> status;
  std::string answer;
  auto ask = [&](std::string_view path, std::string_view message) {
    status.reset();
    client.unary(path, {}, message, seconds(5), [&](http::GrpcStatus s, std::string response) {
      status = std::move(s);
      answer = std::move(response);
    });
    EXPECT_TRUE(pair.loop.run_until([&status] { return status.has_value(); }, seconds(10)));
  };
  ask("/t.S/Upper", "hi");
  EXPECT_TRUE(status->ok()) << status->message;
  EXPECT_EQ(answer, "hi!");
  ask("/t.S/Upper", "");
  EXPECT_EQ(status->code, http::GrpcCode::kInvalidArgument);
  EXPECT_EQ(status->message, "say something");
  ask("/t.S/Nothing", "x");
  EXPECT_EQ(status->code, http::GrpcCode::kUnimplemented);

  status.reset();
  std::vector<std::string> said;
  GrpcCallbacks callbacks;
  callbacks.on_message = [&said](std::string_view message) { said.emplace_back(message); };
  callbacks.on_closed = [&status](http::GrpcStatus s) { status = std::move(s); };
  auto call = client.stream("/t.S/Chat", {}, std::move(callbacks));
  call->send("a");
  call->send("b");
  EXPECT_TRUE(pair.loop.run_until([&said] { return said.size() == 2; }, seconds(10)));
  call->half_close();
  EXPECT_TRUE(pair.loop.run_until([&status] { return status.has_value(); }, seconds(10)));
  EXPECT_TRUE(status->ok()) << status->message;
  EXPECT_EQ(said, (std::vector<std::string>{"re: a", "re: b"}));
}

// While a caller is being identified it may not fill our memory.
TEST(Grpc, MessagesThatNobodyHearsYetAreBounded) {
  GrpcServer grpc;
  std::vector<std::shared_ptr<GrpcStream>> kept;
  grpc.streaming("/t.S/Chat",
                 [&kept](const std::shared_ptr<GrpcStream>& stream) { kept.push_back(stream); });
  Pair pair(
      [&grpc](const std::shared_ptr<Exchange>& exchange) { ASSERT_TRUE(grpc.handle(exchange)); },
      HttpVersion::kHttp2);
  GrpcClient client(*pair.client);
  std::optional<http::GrpcStatus> status;
  GrpcCallbacks callbacks;
  callbacks.on_closed = [&status](http::GrpcStatus s) { status = std::move(s); };
  auto call = client.stream("/t.S/Chat", {}, std::move(callbacks));
  const std::string message(10'000, 'x');
  for (int i = 0; i < 100; ++i) call->send(message);
  EXPECT_TRUE(pair.loop.run_until([&status] { return status.has_value(); }, seconds(10)));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, http::GrpcCode::kResourceExhausted);
}

TEST(Grpc, ServerThatEndsIsUnavailable) {
  auto pair = std::make_unique<Pair>([](const std::shared_ptr<Exchange>&) {}, HttpVersion::kHttp2);
  GrpcClient client(*pair->client);
  std::optional<http::GrpcStatus> status;
  client.unary("/t.S/X", {}, "x", seconds(5),
               [&](http::GrpcStatus s, std::string) { status = std::move(s); });
  pair->loop.run_until([&] { return pair->server.connections() == 1; }, seconds(5));
  bool drained = false;
  pair->server.drain([&drained] { drained = true; });
  pair->loop.run_until([&] { return status.has_value(); }, seconds(6));
  ASSERT_TRUE(status);
  EXPECT_FALSE(status->ok());
}

TEST(Memory, EveryRequestIsAnsweredOverAStreamThatMisbehaves) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    for (HttpVersion version : {HttpVersion::kHttp1, HttpVersion::kHttp2}) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      io::SimLoop loop;
      HttpServer server(loop, {}, echo);
      HttpClientOptions options;
      options.base = *parse_base_url("http://127.0.0.1:80");
      options.version = version;
      options.max_connections = 1;
      options.dial = [&](io::ConnectDone done) -> std::unique_ptr<io::Connecting> {
        io::MemoryOptions memory;
        memory.faults = {.seed = seed, .max_read = 50, .max_write = 30, .block_percent = 30};
        auto [near, far] = io::memory_pair(loop, memory);
        server.serve(std::move(far));
        auto shared = std::make_shared<std::unique_ptr<io::Stream>>(std::move(near));
        loop.defer([done, shared] { done(std::move(*shared)); });
        return nullptr;
      };
      HttpClient client(loop, options);
      int answered = 0;
      for (int i = 0; i < 20; ++i) {
        std::string body(static_cast<std::size_t>(i) * 37, 'b');
        client.fetch({.method = "POST", .target = "/", .body = body},
                     [&answered, body](Result<Response> response) {
                       ASSERT_TRUE(response) << response.error().message;
                       EXPECT_EQ(response->body, "POST " + body);
                       ++answered;
                     });
      }
      ASSERT_TRUE(loop.run_until([&answered] { return answered == 20; }, seconds(60)));
    }
  }
}

TEST(Url, ParsesBases) {
  auto url = parse_base_url("https://[::1]:8443/a/b/");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->prefix, "/a/b");
  EXPECT_EQ(url->authority(), "[::1]:8443");
  EXPECT_EQ(parse_base_url("http://x")->authority(), "x");
  EXPECT_FALSE(parse_base_url("ftp://x"));
  EXPECT_FALSE(parse_base_url("http://:80"));
  EXPECT_FALSE(parse_base_url("http://x:99999"));
  EXPECT_EQ(url_decode("a%20b+c%zz"), "a b+c%zz");
  EXPECT_EQ(url_decode("a+b", true), "a b");
  EXPECT_EQ(url_encode("a b/c"), "a%20b%2Fc");
}

}  // namespace
}  // namespace mizzen::net
