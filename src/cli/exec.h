// `kubectl exec` without a terminal, over a WebSocket (Kubernetes' v5.channel.k8s.io: the first
// byte of each message is the channel: 1 standard output, 2 standard error, 3 the result as a
// Status).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "kube/config.h"

namespace mizzen::io {
class Loop;
}

namespace mizzen::cli {

struct ExecRequest {
  std::string name_space;
  std::string pod;
  std::string container;
  std::vector<std::string> command;
};

// One execution; destroying it breaks it off. `done` gets the standard output, or what failed with
// the command's standard error. Loop thread only; `done` may destroy it by Loop::dispose() only.
class Exec {
 public:
  virtual ~Exec() = default;
  static Result<std::unique_ptr<Exec>> start(io::Loop& loop, const kube::Config& config,
                                             const ExecRequest& request,
                                             std::function<void(Result<std::string>)> done);
};

}  // namespace mizzen::cli
