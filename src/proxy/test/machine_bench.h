// For tests: the downstream half as a whole on an in-memory loop, with an upstream that the test
// scripts.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>

#include "io/sim_loop.h"
#include "proxy/worker.h"

namespace mizzen::proxy {

// Answers each try as the next script line says.
class ScriptedUpstream final : public Upstream {
 public:
  struct Call;
  using Script = std::function<void(Call&)>;

  explicit ScriptedUpstream(io::Loop& loop) : loop_(loop) {}

  struct Call final : UpstreamCall {
    Call(ScriptedUpstream& up, UpstreamEvents& to) : owner(up), events(to) {}
    ~Call() override { *alive = false; }
    void send_data(std::string_view data, bool end) override {
      body += data;
      ended = ended || end;
    }
    void send_trailers(const http::Headers&) override { ended = true; }
    std::size_t buffered() const override { return 0; }
    void consumed(std::size_t) override {}
    void timed_out() override {}
    // Answers in the next turn, unless the call is gone by then.
    void later(std::function<void()> fn) {
      owner.loop_.defer([flag = alive, fn = std::move(fn)] {
        if (*flag) fn();
      });
    }
    void answer(int status, std::string text) {
      later([this, status, text] {
        http::ResponseHead head;
        head.status = status;
        head.headers.add("content-length", std::to_string(text.size()));
        UpstreamEvents& to = events;
        auto flag = alive;
        to.on_upstream_head(std::move(head), text.empty());
        if (!text.empty() && *flag) to.on_upstream_data(text, true);
      });
    }
    void fail(UpstreamFault fault) {
      later([this, fault] { events.on_upstream_failed({fault, "", true}); });
    }
    ScriptedUpstream& owner;
    UpstreamEvents& events;
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
    std::string body;
    bool ended = false;
  };

  std::expected<std::unique_ptr<UpstreamCall>, UpstreamFailure> open(
      const UpstreamAsk& ask, http::RequestHead& head, bool, UpstreamEvents& events) override {
    seen.push_back(head.clone());
    if (script.empty()) return std::unexpected(UpstreamFailure{});
    auto call = std::make_unique<Call>(*this, events);
    info.cluster = ask.entry->cluster.get();
    info.remote = *io::Address::parse("10.0.0.9:80");
    events.on_upstream_host(info);
    Script next = script.front();
    script.pop_front();
    if (next) next(*call);
    return call;
  }
  std::expected<std::unique_ptr<TcpCall>, UpstreamFailure> dial(const UpstreamAsk&,
                                                                TcpEvents& events) override {
    if (!tcp_works) {
      return std::unexpected(UpstreamFailure{UpstreamFault::kNoHealthyUpstream, "", true});
    }
    auto [near, far] = io::memory_pair(loop_);
    server = std::move(far);
    auto shared = std::make_shared<std::unique_ptr<io::Stream>>(std::move(near));
    loop_.defer([this, shared, &events] { events.on_tcp_connected(std::move(*shared), info); });
    return std::make_unique<TcpCall>();
  }
  std::unique_ptr<RetryPlace> retry_place(const UpstreamAsk&) override {
    return std::make_unique<RetryPlace>();
  }
  void set_snapshot(SnapshotRef) override {}
  void set_own_metadata(std::string, std::string) override {}
  void drain() override {}

  std::deque<Script> script;
  std::vector<http::RequestHead> seen;
  UpstreamInfo info;
  bool tcp_works = true;
  std::unique_ptr<io::Stream> server;  // the far end of the last dial

 private:
  io::Loop& loop_;
};

inline std::string read_all(io::Stream& stream, bool* closed = nullptr) {
  std::string out;
  std::array<std::byte, 4096> buffer;
  for (;;) {
    io::IoResult got = stream.read(buffer);
    if (got.status != io::IoStatus::kOk) {
      if (closed) *closed = got.status == io::IoStatus::kEof || got.status == io::IoStatus::kError;
      return out;
    }
    out.append(reinterpret_cast<const char*>(buffer.data()), got.bytes);
  }
}

inline route::Route route_to(std::string prefix, std::string cluster) {
  route::Route route;
  route.name = "default";
  route.match.path.value = std::move(prefix);
  route.forward.cluster = std::move(cluster);
  route.forward.timeout = Duration{0};
  return route;
}

inline constexpr std::string_view kGet = "GET /get HTTP/1.1\r\nhost: a\r\n\r\n";

struct Bench {
  Bench() {
    auto upstream = std::make_unique<ScriptedUpstream>(loop);
    up = upstream.get();
    worker = std::make_unique<Worker>(loop, shared, std::move(upstream));
    settings = std::make_shared<HttpSettings>();
    settings->normalize_path = true;
    settings->upgrades = {"websocket"};
    for (HttpFilter filter :
         {HttpFilter{"fault", false, FaultFilter{}}, HttpFilter{"cors", false, CorsFilter{}},
          HttpFilter{"router", false, RouterFilter{}}}) {
      settings->filters.push_back(filter);
    }
  }

  // One listener "l" with one chain, one virtual host "*" with `routes`, one cluster "c".
  void configure(std::vector<route::Route> routes) {
    auto table = std::make_shared<route::Table>();
    route::VirtualHost host;
    host.name = "h";
    host.domains = {"*"};
    host.include_attempt_count = true;
    host.routes = std::move(routes);
    table->hosts.push_back(std::move(host));
    ASSERT_TRUE(table->index());
    settings->table = table;
    auto listener = std::make_shared<Listener>();
    listener->name = "l";
    listener->direction = Direction::kOutbound;
    FilterChain chain;
    chain.terminal = std::shared_ptr<const HttpSettings>(std::make_shared<HttpSettings>(*settings));
    listener->chains.push_back(std::move(chain));
    publish(listener);
  }

  void publish(std::shared_ptr<const Listener> listener) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->listeners.push_back(std::move(listener));
    auto cluster = std::make_shared<Cluster>();
    cluster->name = "c";
    snapshot->clusters["c"] = {cluster, nullptr};
    worker->set_config(make_live_config(snapshot), {}, {});
  }

  void connect() {
    auto [client, server] = io::memory_pair(loop);
    this->client = std::move(client);
    worker->accept("l", std::move(server));
    loop.settle();
  }

  void send(std::string_view bytes) {
    EXPECT_EQ(client->write(bytes).bytes, bytes.size());
    loop.settle();
  }

  std::string received() { return read_all(*client, &closed); }

  void configure_tcp(std::optional<Duration> idle = std::nullopt) {
    auto listener = std::make_shared<Listener>();
    listener->name = "l";
    auto tcp = std::make_shared<TcpSettings>();
    tcp->cluster = "c";
    if (idle) tcp->idle_timeout = *idle;
    FilterChain chain;
    chain.terminal = std::shared_ptr<const TcpSettings>(tcp);
    listener->chains.push_back(std::move(chain));
    publish(listener);
  }

  std::string ask(std::string_view request) {
    send(request);
    return received();
  }

  io::SimLoop loop;
  WorkerShared shared;
  ScriptedUpstream* up = nullptr;
  std::unique_ptr<Worker> worker;
  std::shared_ptr<HttpSettings> settings;
  std::unique_ptr<io::Stream> client;
  bool closed = false;
};

}  // namespace mizzen::proxy
