#include "kube/http_options.h"

#include "io/tls.h"

namespace mizzen::kube {

Result<net::HttpClientOptions> http_options(const Config& config) {
  net::HttpClientOptions options;
  auto base = net::parse_base_url(config.server);
  if (!base) return std::unexpected(base.error().in("clusters[].cluster.server"));
  options.base = *base;
  options.tls_host = config.tls_server_name;
  if (!base->tls) return options;
  io::TlsClientOptions tls;
  tls.trust_bundle_pem = config.ca_pem;
  tls.system_roots = config.ca_pem.empty();
  tls.insecure = config.insecure;
  tls.verify_host = !config.insecure;
  tls.identity = {config.client_cert_pem, config.client_key_pem};
  auto context = io::make_tls_client_context(tls);
  if (!context) return std::unexpected(context.error().in("kubeconfig"));
  options.tls = *context;
  return options;
}

}  // namespace mizzen::kube
