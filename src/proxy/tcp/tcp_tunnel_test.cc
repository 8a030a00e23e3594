// TCP through an HTTP proxy, over real sockets: the data plane between a client of bytes and a
// server of CONNECT and POST.
#include "proxy/tcp/tcp_tunnel.h"

#include <gtest/gtest.h>

#include <array>

#include "io/stream.h"
#include "proxy/data_plane.h"
#include "proxy/test/patience.h"
#include "proxy/test/wire_peers.h"

namespace mizzen::proxy {
namespace {

using namespace std::chrono_literals;

class Bytes final : public io::StreamHandler {
 public:
  Bytes(io::Loop& loop, const io::Address& to) {
    dial_ = io::connect(loop, to, {}, [this](auto made) {
      if (!made) {
        over = true;
        return;
      }
      stream = std::move(*made);
      stream->set_handler(this);
    });
  }
  ~Bytes() {
    if (stream) stream->set_handler(nullptr);
  }
  void on_readable() override {
    std::array<std::byte, 65536> buffer;
    while (!over) {
      io::IoResult got = stream->read(buffer);
      if (got.status == io::IoStatus::kWouldBlock) return;
      if (got.status != io::IoStatus::kOk) {
        over = true;
        return;
      }
      in.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
    }
  }
  void on_writable() override {
    while (!out.empty()) {
      io::IoResult put = stream->write(std::string_view(out));
      if (put.bytes == 0) return;
      out.erase(0, put.bytes);
    }
  }
  void on_error(const Error&) override { over = true; }
  void send(std::string_view bytes) {
    out += bytes;
    on_writable();
  }
  std::unique_ptr<io::Stream> stream;
  std::string in;
  std::string out;
  bool over = false;

 private:
  std::unique_ptr<io::Connecting> dial_;
};

// Answers with a status, and sends back what comes.
class Far {
 public:
  Far(io::Loop& loop, bool http2, int status) {
    listener_ =
        *io::Listener::listen(loop, io::Address::loopback(0), {}, [=, this, &loop](auto from) {
          peers_.push_back(std::make_unique<Peer>(loop, http2, status, std::move(from)));
        });
  }
  io::Address address() const { return listener_->address(); }
  std::vector<std::string> asked() const {
    std::vector<std::string> all;
    for (const auto& peer : peers_) all.insert(all.end(), peer->asked.begin(), peer->asked.end());
    return all;
  }

 private:
  struct Peer final : WirePeer, http::StreamEvents {
    Peer(io::Loop& loop, bool http2, int its_status, std::unique_ptr<io::Stream> from)
        : WirePeer(loop), status(its_status) {
      codec = http2 ? http::make_h2_server({}, this) : http::make_h1_server({}, this);
      begin(std::move(from), *codec);
    }
    http::StreamEvents* on_request(http::StreamId its_id, http::RequestHead&& head, bool) override {
      id = its_id;
      asked.push_back(std::string(head.method) + " " + std::string(head.authority));
      http::ResponseHead answer;
      answer.status = status;
      codec->respond(id, answer, status != 200);
      return this;
    }
    void on_data(std::string_view bytes, bool end) override {
      codec->consumed(id, bytes.size());
      if (status == 200) codec->send_data(id, bytes, end);
    }
    void on_trailers(http::Headers&&) override {}
    void on_reset(const Error&) override {}
    void on_complete() override {}
    int status;
    http::StreamId id = 0;
    std::unique_ptr<http::ServerCodec> codec;
    std::vector<std::string> asked;
  };
  std::unique_ptr<io::Listener> listener_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

struct How {
  bool http2;
  bool post;
};

class TcpTunnel : public ::testing::TestWithParam<How> {
 protected:
  TcpTunnel() : plane_(loop_, DataPlaneOptions{1, {}, 1s}) {}

  void serve(const io::Address& to) {
    auto settings = std::make_shared<TcpSettings>();
    settings->cluster = "proxy";
    settings->tunnel = {"db.example:5432", GetParam().post};
    auto listener = std::make_shared<Listener>();
    listener->name = "in";
    listener->addresses = {{"127.0.0.1", 0, false}};
    FilterChain chain;
    chain.terminal = std::shared_ptr<const TcpSettings>(settings);
    listener->chains.push_back(chain);
    auto cluster = std::make_shared<Cluster>();
    cluster->name = "proxy";
    cluster->http = GetParam().http2 ? UpstreamHttp::kHttp2 : UpstreamHttp::kHttp1;
    auto endpoints = std::make_shared<Endpoints>();
    Endpoint endpoint;
    endpoint.address = {to.ip(), to.port(), false};
    endpoints->localities.emplace_back().endpoints.push_back(endpoint);
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->listeners.push_back(listener);
    snapshot->clusters["proxy"] = {cluster, endpoints};
    ASSERT_TRUE(plane_.set_snapshot(snapshot));
    ASSERT_TRUE(loop_.run_until([&] { return plane_.listening(); }, kPatience));
  }
  static std::string wanted() {
    return std::string(GetParam().post ? "POST" : "CONNECT") + " db.example:5432";
  }
  bool until(const std::function<bool()>& done) { return loop_.run_until(done, kPatience); }

  io::EpollLoop loop_;
  DataPlane plane_;
};

TEST_P(TcpTunnel, CarriesBytesBothWays) {
  Far far(loop_, GetParam().http2, 200);
  serve(far.address());
  Bytes client(loop_, plane_.address_of("in"));
  ASSERT_TRUE(until([&] { return client.stream != nullptr; }));
  client.send("hello");
  ASSERT_TRUE(until([&] { return client.in == "hello"; })) << client.in;
  EXPECT_EQ(far.asked(), std::vector<std::string>{wanted()});
  // More than all buffers on the way hold.
  const std::string large(6 << 20, 'l');
  client.send(large);
  ASSERT_TRUE(until([&] { return client.in.size() == large.size() + 5; })) << client.in.size();
  client.stream->shutdown_write();
  EXPECT_TRUE(until([&] { return client.over; }));
}

// A proxy that refuses is no connection.
TEST_P(TcpTunnel, EndsTheConnectionWhenItIsRefused) {
  Far far(loop_, GetParam().http2, 403);
  serve(far.address());
  Bytes client(loop_, plane_.address_of("in"));
  ASSERT_TRUE(until([&] { return client.over; }));
  EXPECT_EQ(client.in, "");
  EXPECT_EQ(far.asked(), std::vector<std::string>{wanted()});
}

INSTANTIATE_TEST_SUITE_P(All, TcpTunnel,
                         ::testing::Values(How{false, false}, How{true, false}, How{false, true},
                                           How{true, true}),
                         [](const auto& info) {
                           return std::string(info.param.http2 ? "Http2" : "Http1") +
                                  (info.param.post ? "Post" : "Connect");
                         });

}  // namespace
}  // namespace mizzen::proxy
