// mizzen-samples: services to try a mesh on, one subcommand each.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>

#include "base/log.h"
#include "base/strings.h"
#include "io/loop.h"
#include "samples/bookinfo.h"
#include "samples/httpbin.h"
#include "samples/load/fortio.h"
#include "samples/shop/services.h"
#include "samples/small.h"
#include "samples/stores/documents.h"
#include "samples/stores/mysql_server.h"
#include "samples/stores/queue.h"

namespace mizzen::samples {
namespace {

struct Arguments {
  std::uint16_t port = 0;
  std::string version;
  std::string tcp_ports = "9000";
  std::string prefix = "hello";
  std::string seed;
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
  auto echo = tcp_echo(loop, ports, arguments.prefix);
  if (!echo) return fail_with(echo.error());
  return run(loop);
}

int documents(const Arguments& arguments) {
  io::EpollLoop loop;
  Documents store;
  if (arguments.seed == "users") shop::seed_users(store);
  if (arguments.seed == "ratings") seed_ratings(store);
  auto server = serve_documents(loop, arguments.port != 0 ? arguments.port : 27017, store);
  if (!server) return fail_with(server.error());
  return run(loop);
}

int mysql(const Arguments& arguments) {
  io::EpollLoop loop;
  std::string seed = arguments.seed == "catalogue" ? shop::catalogue_sql()
                     : arguments.seed == "ratings" ? ratings_sql()
                                                   : "";
  auto database = MysqlServer::make(seed, {{"root", env_or("MYSQL_ROOT_PASSWORD", "")},
                                           {env_or("MYSQL_USER", "catalogue_user"),
                                            env_or("MYSQL_PASSWORD", "default_password")}});
  if (!database) return fail_with(database.error());
  auto server = (*database)->serve(loop, arguments.port != 0 ? arguments.port : 3306);
  if (!server) return fail_with(server.error());
  return run(loop);
}

// The queue, and its state as a page on 15672.
int queue(const Arguments& arguments) {
  io::EpollLoop loop;
  QueueServer store;
  auto server = store.serve(loop, arguments.port != 0 ? arguments.port : 5672);
  if (!server) return fail_with(server.error());
  Service service(loop);
  Status status = service.serve(15672, [&store](const Call&, const Answer& answer) {
    answer(json(200, store.state().dump()));
  });
  if (!status) return fail_with(status.error());
  return run(loop);
}

class Commands {
 public:
  explicit Commands(CLI::App& app) : app_(app) {}

  void add_all() {
    http("productpage", "Bookinfo's page", 9080, [](Service& s) { return productpage(s); });
    http("details", "Bookinfo's facts about the book", 9080, [](Service&) { return details(); });
    http("reviews", "Bookinfo's reviews; --version v1, v2 or v3", 9080,
         [this](Service& s) { return reviews(s, version_or(env_or("SERVICE_VERSION", "v1"))); });
    http("ratings", "Bookinfo's stars; --version v2 asks a database", 9080, [this](Service& s) {
      return version_or("v1") == "v2" ? ratings_of_database(s) : ratings(s);
    });
    http("httpbin", "says what was asked", 8080, [](Service& s) { return httpbin(s); });
    http("helloworld", "greets and tells its version", 5000, [](Service&) { return helloworld(); });
    shop_commands();
    store("tcp-echo", "answers each line over TCP", echo);
    CLI::App* tcp = app_.get_subcommand("tcp-echo");
    tcp->add_option("ports", arguments_.tcp_ports, "PORT[,PORT...]");
    tcp->add_option("prefix", arguments_.prefix, "before each line");
    store("documents", "a document store; --seed users or ratings", documents)->allow_extras();
    store("mysql", "SQLite that speaks MySQL; --seed catalogue or ratings", mysql)->allow_extras();
    store("queue", "a work queue, with a page on 15672", queue)->allow_extras();
    http("queue-exporter", "metrics of the queue beside it", 9090,
         [](Service& s) { return queue_exporter(s); });
    http("fortio-server", "echo, /debug, and a page to start a load from", 8080,
         [](Service& s) { return load::fortio_server(s); });
  }
  int code() const { return code_; }

 private:
  void http(const char* name, const char* says, std::uint16_t port,
            std::function<Handler(Service&)> make) {
    CLI::App* command = app_.add_subcommand(name, says);
    // Samples are started with the arguments of the programs that they stand for; those mean
    // nothing here.
    command->allow_extras();
    command->add_option("--port", arguments_.port, fmt::format("default {}", port));
    command->add_option("--version", arguments_.version, "which version of the service to be");
    command->callback([this, port, make = std::move(make)] {
      code_ = serve(arguments_.port != 0 ? arguments_.port : port, make);
    });
  }

  void shop_commands() {
    http("front-end", "the sock shop's pages; --version v1 (blue) or v2 (red)", 8079,
         [this](Service& s) { return shop::front_end(s, version_or("v1")); });
    http("catalogue", "the sock shop's socks", 80, [](Service& s) { return shop::catalogue(s); });
    http("carts", "the sock shop's carts", 80, [](Service& s) { return shop::carts(s); });
    http("orders", "the sock shop's orders", 80, [](Service& s) { return shop::orders(s); });
    http("payment", "takes small amounts", 80, [](Service&) { return shop::payment(); });
    http("shipping", "puts parcels into the queue", 80,
         [](Service& s) { return shop::shipping(s); });
    http("user", "the sock shop's customers", 80, [](Service& s) { return shop::user(s); });
    http("queue-master", "takes parcels out of the queue", 80,
         [](Service& s) { return shop::queue_master(s); });
  }

  CLI::App* store(const char* name, const char* says, int (*serve_it)(const Arguments&)) {
    CLI::App* command = app_.add_subcommand(name, says);
    command->add_option("--port", arguments_.port, "instead of the usual one");
    command->add_option("--seed", arguments_.seed, "what is in it at the start");
    command->callback([this, serve_it] { code_ = serve_it(arguments_); });
    return command;
  }

  std::string version_or(const std::string& otherwise) const {
    return arguments_.version.empty() ? otherwise : arguments_.version;
  }

  CLI::App& app_;
  Arguments arguments_;
  int code_ = 0;
};

}  // namespace
}  // namespace mizzen::samples

int main(int argc, char** argv) {
  // fortio has a command line of its own, in the style of Go's programs.
  std::vector<std::string> words(argv + 1, argv + argc);
  bool fortio = words.size() >= 1 && words[0] == "fortio";
  if (fortio && (words.size() < 2 || words[1] != "server")) {
    return mizzen::samples::load::fortio({words.begin() + 1, words.end()});
  }
  CLI::App app{"Services to try a mesh on, and `fortio`, a load generator."};
  app.require_subcommand(1);
  mizzen::samples::Commands commands(app);
  commands.add_all();
  if (fortio) {
    words.erase(words.begin(), words.begin() + 2);
    words.insert(words.begin(), "fortio-server");
  }
  std::reverse(words.begin(), words.end());
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return commands.code();
}
