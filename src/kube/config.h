// How to reach a Kubernetes API server: kubeconfig files and the in-cluster convention.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace mizzen::kube {

// Credentials as text, read from their files where the kubeconfig names files. The bearer token of
// `token_file` is read again as it changes (projected tokens rotate).
struct Config {
  std::string server;           // https://host:port[/prefix]
  std::string tls_server_name;  // verified instead of the host
  std::string ca_pem;           // "" uses the system's roots
  bool insecure = false;        // insecure-skip-tls-verify
  std::string client_cert_pem;
  std::string client_key_pem;
  std::string token;
  std::string token_file;
  std::string username;  // basic auth
  std::string password;
  std::string name_space = "default";  // of the context
};

// KUBECONFIG (its first existing file), else ~/.kube/config. `context` "": current-context.
// Unsupported user entries (exec, auth-provider) are refused by name.
Result<Config> load_kubeconfig(std::string_view path, std::string_view context = {});
// KUBERNETES_SERVICE_HOST/PORT and /var/run/secrets/kubernetes.io/serviceaccount.
Result<Config> load_in_cluster();
// An explicit path, else in-cluster when its variables are set and KUBECONFIG is not, else the
// default kubeconfig.
Result<Config> load_config(std::string_view explicit_path = {}, std::string_view context = {});

}  // namespace mizzen::kube
