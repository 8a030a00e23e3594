// mizzen-samples: services to try a mesh on, one subcommand each.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "base/log.h"
#include "base/strings.h"
#include "bookinfo.h"
#include "httpbin.h"
#include "io/loop.h"
#include "small.h"

namespace mizzen::samples {
namespace {

struct Arguments {
  std::uint16_t port = 0;
  std::string version;
  std::string tcp_ports = "9000";
  std::string prefix = "hello";
};

int run(io::Loop& loop) {
  io::Signals signals(loop, {SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  loop.run();
  return 0;
}

int fail_with(const Error& error) {
  fmt::print(stderr, "mizzen-samples: {}\n", error.message);
  return 1;
}

int serve(std::uint16_t port, const std::function<Handler(Service&)>& make) {
  io::EpollLoop loop;
  Service service(loop);
  if (Status status = service.serve(port, make(service)); !status) return fail_with(status.error());
  return run(loop);
}

int echo(const Arguments& arguments) {
  io::EpollLoop loop;
  std::vector<std::uint16_t> ports;
  for (std::string_view part : split(arguments.tcp_ports, ',')) {
    std::optional<std::uint16_t> port = parse_int<std::uint16_t>(trim(part));
    if (!port) {
      return fail_with(
          {.message = fmt::format("\"{}\" is not a port; write PORT[,PORT...]", part)});
    }
    ports.push_back(*port);
  }
  auto echo = TcpEcho::listen(loop, ports, arguments.prefix);
  if (!echo) return fail_with(echo.error());
  return run(loop);
}

}  // namespace
}  // namespace mizzen::samples

int main(int argc, char** argv) {
  using namespace mizzen::samples;
  CLI::App app{"Services to try a mesh on."};
  app.require_subcommand(1);
  Arguments arguments;
  int code = 0;
  auto http = [&](const char* name, const char* says, std::uint16_t port,
                  std::function<Handler(Service&)> make) {
    CLI::App* command = app.add_subcommand(name, says);
    // Samples are started with the arguments of the programs that they stand for; those mean
    // nothing here.
    command->allow_extras();
    command->add_option("--port", arguments.port, fmt::format("default {}", port));
    command->add_option("--version", arguments.version, "which version of the service to be");
    command->callback([&arguments, &code, port, make = std::move(make)] {
      code = serve(arguments.port != 0 ? arguments.port : port, make);
    });
  };
  http("productpage", "Bookinfo's page", 9080, [](Service& s) { return productpage(s); });
  http("details", "Bookinfo's facts about the book", 9080, [](Service&) { return details(); });
  http("reviews", "Bookinfo's reviews; --version v1, v2 or v3", 9080, [&](Service& s) {
    return reviews(s,
                   arguments.version.empty() ? env_or("SERVICE_VERSION", "v1") : arguments.version);
  });
  http("ratings", "Bookinfo's stars", 9080, [](Service& s) { return ratings(s); });
  http("httpbin", "says what was asked", 8080, [](Service& s) { return httpbin(s); });
  http("helloworld", "greets and tells its version", 5000, [](Service&) { return helloworld(); });
  CLI::App* tcp = app.add_subcommand("tcp-echo", "answers each line over TCP");
  tcp->add_option("ports", arguments.tcp_ports, "PORT[,PORT...]");
  tcp->add_option("prefix", arguments.prefix, "before each line");
  tcp->callback([&] { code = echo(arguments); });
  CLI11_PARSE(app, argc, argv);
  return code;
}
