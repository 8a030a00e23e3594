// A request or a connection that waits for the control plane's word on its destination. Worker
// thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/worker.h"

namespace mizzen::proxy {

class Lookup {
 public:
  // Asks for `names`. Once all are known, or when the limit has passed (then `known` is false),
  // `done` is called, never from inside the constructor; it may give this to Loop::dispose().
  Lookup(Worker& worker, std::vector<std::string> names, std::function<void(bool known)> done);
  ~Lookup();
  Lookup(const Lookup&) = delete;

  // From the worker: there is another configuration.
  void look();

 private:
  void on_timeout();
  void end(bool known);

  Worker& worker_;
  std::vector<std::string> names_;
  std::function<void(bool)> done_;
  std::shared_ptr<Lookup*> self_;
  io::Timer timer_;
};

}  // namespace mizzen::proxy
