// A port of this machine that leads to a port of a pod, over the API server: one WebSocket per
// connection, Kubernetes' v4.channel.k8s.io (channel 0 carries the bytes, channel 1 an error; the
// first message of each is the port, two bytes, low one first).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/result.h"
#include "io/listener.h"
#include "kube/config.h"
#include "net/http_client.h"

namespace mizzen::cli {

struct PodPort {
  std::string name_space;
  std::string pod;
  std::uint16_t port = 0;
};

// Loop thread only.
class PortForward {
 public:
  // `problem` is told what a connection met (one line each); the others go on. At most 1,000
  // connections at a time. Errors: the address is taken, credentials that do not load.
  static Result<std::unique_ptr<PortForward>> start(io::Loop& loop, const kube::Config& config,
                                                    PodPort to, const io::Address& listen,
                                                    std::function<void(const Error&)> problem);
  ~PortForward();

  // The bound address: with the port that the kernel chose.
  const io::Address& address() const { return listener_->address(); }

 private:
  class Link;
  PortForward(io::Loop& loop, net::HttpClientOptions options, net::HeaderList authorization,
              PodPort to, std::function<void(const Error&)> problem);
  void accepted(std::unique_ptr<io::Stream> stream);
  void remove(Link* link);

  io::Loop& loop_;
  net::HttpClient client_;
  net::HeaderList authorization_;
  PodPort to_;
  std::function<void(const Error&)> problem_;
  std::unique_ptr<io::Listener> listener_;
  std::unordered_map<Link*, std::shared_ptr<Link>> links_;
};

}  // namespace mizzen::cli
