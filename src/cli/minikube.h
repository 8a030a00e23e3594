// The words of minikube, for documents that use it: the local cluster under another name.
#pragma once

namespace mizzen::cli {

// start, stop, delete, status, ip, service, tunnel, dashboard, addons, config, profile, kubectl,
// logs, version; -p names one of several clusters. The exit code.
int run_minikube(int argc, char** argv);

}  // namespace mizzen::cli
