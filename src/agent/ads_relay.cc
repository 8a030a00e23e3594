#include "agent/ads_relay.h"

#include "api/names.h"
#include "base/log.h"

namespace mizzen::agent {
namespace {

// Beyond this the faster side waits.
constexpr std::size_t kHighWater = 8U << 20;

}  // namespace

struct AdsRelay::Pair {
  std::shared_ptr<net::GrpcStream> downstream;
  std::unique_ptr<net::HttpClient> http;
  std::unique_ptr<net::GrpcClient> grpc;
  std::unique_ptr<net::GrpcCall> upstream;
};

AdsRelay::AdsRelay(net::GrpcServer& grpc, io::Loop& loop, Dial dial)
    : loop_(loop), dial_(std::move(dial)) {
  for (auto method : {api::kDeltaAdsMethod, api::kSotwAdsMethod}) {
    grpc.streaming(std::string(method), [this, method](std::shared_ptr<net::GrpcStream> stream) {
      accept(method, std::move(stream));
    });
  }
}

AdsRelay::~AdsRelay() = default;

void AdsRelay::accept(std::string_view method, std::shared_ptr<net::GrpcStream> downstream) {
  auto dialled = dial_();
  if (!dialled) {
    log::warning("agent", "no control plane: {}", dialled.error().message);
    downstream->finish({http::GrpcCode::kUnavailable, dialled.error().message});
    return;
  }
  auto pair = std::make_shared<Pair>();
  pair->downstream = std::move(downstream);
  pair->http = std::move(dialled->http);
  pair->grpc = std::make_unique<net::GrpcClient>(*pair->http);
  pairs_.insert(pair);
  std::weak_ptr<Pair> weak = pair;

  net::GrpcCallbacks callbacks;
  callbacks.on_message = [weak](std::string_view message) {
    auto pair = weak.lock();
    if (!pair) return;
    pair->downstream->send(message);
    if (pair->downstream->buffered() > kHighWater && pair->upstream) pair->upstream->pause(true);
  };
  callbacks.on_writable = [weak] {
    if (auto pair = weak.lock()) pair->downstream->pause(false);
  };
  callbacks.on_closed = [this, weak](const http::GrpcStatus& status) {
    auto pair = weak.lock();
    if (!pair) return;
    if (!status.ok()) log::warning("agent", "control plane: {}", status.message);
    pair->downstream->finish(status);
    close(pair);
  };
  pair->upstream = pair->grpc->stream(method, dialled->headers, std::move(callbacks));

  pair->downstream->on_message([weak](std::string_view message) {
    auto pair = weak.lock();
    if (!pair || !pair->upstream) return;
    pair->upstream->send(message);
    if (pair->upstream->buffered() > kHighWater) pair->downstream->pause(true);
  });
  pair->downstream->on_writable([weak] {
    if (auto pair = weak.lock(); pair && pair->upstream) pair->upstream->pause(false);
  });
  pair->downstream->on_half_close([weak] {
    if (auto pair = weak.lock(); pair && pair->upstream) pair->upstream->half_close();
  });
  pair->downstream->on_closed([this, weak] {
    if (auto pair = weak.lock()) close(pair);
  });
}

void AdsRelay::close(const std::shared_ptr<Pair>& pair) {
  // Its callbacks may be on the stack.
  loop_.dispose(std::move(pair->upstream));
  loop_.dispose(std::move(pair->grpc));
  loop_.dispose(std::move(pair->http));
  pairs_.erase(pair);
}

}  // namespace mizzen::agent
