// The API server alone, without pods: for developing what talks to it.
#pragma once

#include <string_view>
#include <vector>

namespace mizzen::local {

// --listen ADDRESS:PORT (127.0.0.1:0), --data FOLDER (none: in memory), --kubeconfig FILE (written
// once it listens; - for standard output). Runs until SIGTERM or SIGINT; the exit status.
int run_apiserver(const std::vector<std::string_view>& arguments);

}  // namespace mizzen::local
