#include "local/apiserver/standalone.h"

#include <csignal>
#include <cstdio>
#include <fstream>

#include "base/log.h"
#include "local/apiserver/server.h"

namespace mizzen::local {

int run_apiserver(const std::vector<std::string_view>& arguments) {
  ServerOptions options;
  std::string kubeconfig = "-";
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const auto name = arguments[i];
    const bool known = name == "--listen" || name == "--data" || name == "--kubeconfig";
    if (!known || i + 1 == arguments.size()) {
      std::fprintf(
          stderr, "usage: apiserver [--listen ADDRESS:PORT] [--data FOLDER] [--kubeconfig FILE]\n");
      return 2;
    }
    const auto value = arguments[i + 1];
    if (name == "--data") options.data_dir = value;
    if (name == "--kubeconfig") kubeconfig = value;
    if (name == "--listen") {
      auto address = io::Address::parse(value);
      if (!address) {
        std::fprintf(stderr, "--listen: %s\n", address.error().message.c_str());
        return 2;
      }
      options.listen = *address;
    }
  }
  io::EpollLoop loop;
  io::Signals signals(loop, {SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  auto server = Server::start(loop, std::move(options));
  if (!server) {
    log::error("apiserver", "{}", server.error().message);
    return 1;
  }
  auto config = (*server)->admin_kubeconfig();
  if (!config) {
    log::error("apiserver", "{}", config.error().message);
    return 1;
  }
  if (kubeconfig == "-") {
    std::fputs(config->c_str(), stdout);
    std::fflush(stdout);
  } else {
    const std::string fresh = kubeconfig + ".new";
    std::ofstream(fresh) << *config;
    std::rename(fresh.c_str(), kubeconfig.c_str());
  }
  log::info("apiserver", "listening on {}", (*server)->address().to_string());
  loop.run();
  return 0;
}

}  // namespace mizzen::local
