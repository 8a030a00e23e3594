// ADS for a foreign proxy, relayed to the control plane: plain gRPC on a UNIX socket on this side,
// TLS and the workload's token on the other, messages untouched. A lost upstream ends the proxy's
// stream, which comes back by itself. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "base/result.h"
#include "net/grpc.h"
#include "net/http_client.h"

namespace mizzen::agent {

class AdsRelay {
 public:
  // `dial` gives a client of the control plane and the headers of a stream (token); called for each
  // stream.
  struct Upstream {
    std::unique_ptr<net::HttpClient> http;
    net::HeaderList headers;
  };
  using Dial = std::function<Result<Upstream>()>;

  AdsRelay(net::GrpcServer& grpc, io::Loop& loop, Dial dial);
  ~AdsRelay();
  AdsRelay(const AdsRelay&) = delete;
  AdsRelay& operator=(const AdsRelay&) = delete;

 private:
  struct Pair;
  void accept(std::string_view method, std::shared_ptr<net::GrpcStream> downstream);
  void close(const std::shared_ptr<Pair>& pair);

  io::Loop& loop_;
  Dial dial_;
  std::set<std::shared_ptr<Pair>> pairs_;
};

}  // namespace mizzen::agent
