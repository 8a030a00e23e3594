// mizzend: the mesh's control plane.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>

#include "base/log.h"
#include "daemon.h"
#include "io/loop.h"
#include "kube/config.h"

namespace mizzen::mizzend {
namespace {

std::string environment(const char* name, std::string otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? std::move(otherwise) : std::string(value);
}

int run(const std::string& kubeconfig, Options options) {
  io::EpollLoop loop;
  Result<kube::Config> config = kube::load_config(kubeconfig);
  if (!config) {
    log::error("mizzend", "no way to the Kubernetes API: {}", config.error().message);
    return 1;
  }
  Result<std::unique_ptr<kube::Client>> client = kube::Client::make(loop, std::move(*config));
  if (!client) {
    log::error("mizzend", "Kubernetes API: {}", client.error().message);
    return 1;
  }
  Daemon daemon(**client, std::move(options));
  bool stopping = false;
  const io::Signals signals(loop, {SIGTERM, SIGINT}, [&](int) {
    if (stopping) {
      loop.stop();
      return;
    }
    stopping = true;
    log::info("mizzend", "stopping");
    daemon.drain([&] { loop.stop(); });
    loop.after(std::chrono::seconds(2), [&] { loop.stop(); });
  });
  if (Status started = daemon.start(); !started) {
    log::error("mizzend", "{}", started.error().message);
    return 1;
  }
  loop.run();
  return 0;
}

}  // namespace
}  // namespace mizzen::mizzend

int main(int argc, char** argv) {
  using namespace mizzen;
  mizzend::Options options;
  options.name_space = mizzend::environment("POD_NAMESPACE", "istio-system");
  options.instance = mizzend::environment("POD_NAME", options.instance);
  options.inject.revision = mizzend::environment("REVISION", options.inject.revision);
  options.inject.proxy_image = mizzend::environment("PROXY_IMAGE", options.inject.proxy_image);
  options.mesh.trust_domain = mizzend::environment("TRUST_DOMAIN", options.mesh.trust_domain);
  std::string kubeconfig;
  std::string level = "info";

  CLI::App app{"mizzend: the control plane of a Mizzen service mesh"};
  app.add_option("--kubeconfig", kubeconfig, "kubeconfig; in-cluster or the default one otherwise");
  app.add_option("--log-level", level, "trace, debug, info, warning, error or off");
  app.add_option("--listen-ip", options.listen_ip, "the address of all ports");
  app.add_option("--debug-port", options.debug_port, "/ready and /debug");
  app.add_option("--plain-port", options.plain_port, "xDS without TLS");
  app.add_option("--tls-port", options.tls_port, "xDS and certificates");
  app.add_option("--metrics-port", options.metrics_port, "/metrics and /version");
  app.add_option("--webhook-port", options.webhook_port, "/inject and /validate");
  app.add_option("--service", options.service, "name of the control plane's Service");
  app.add_option("--dns-name", options.extra_dns_names, "more names for the serving certificate");
  app.add_option("--proxy-image", options.inject.proxy_image, "image of injected proxies");
  app.add_subcommand("discovery", "serve (the default)")->fallthrough();
  CLI11_PARSE(app, argc, argv);

  if (const auto parsed = log::parse_level(level)) log::set_level(*parsed);
  options.inject.root_namespace = options.name_space;
  options.inject.trust_domain = options.mesh.trust_domain;
  options.inject.discovery_address = options.service + "." + options.name_space + ".svc:15012";
  options.mesh.root_namespace = options.name_space;
  return mizzend::run(kubeconfig, std::move(options));
}
