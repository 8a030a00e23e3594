// mizzen-local: a cluster on this machine.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "home.h"
#include "local/runtime/catalogue.h"
#include "local/runtime/launch.h"
#include "names.h"
#include "report.h"
#include "up.h"

namespace mizzen::local {
namespace {

// A command on the state directory.
template <class Fn>
int with_state(Fn&& fn) {
  auto dir = state_dir();
  if (dir) return fn(*dir);
  fmt::print(stderr, "mizzen-local: {}\n", dir.error().message);
  return 1;
}

int done(const Status& status) {
  if (status) return 0;
  fmt::print(stderr, "mizzen-local: {}\n", status.error().message);
  return 1;
}

int list_images(const std::string& dir) {
  Catalogue catalogue;
  if (auto status = catalogue.load(dir + "/images"); !status) return done(status);
  auto print = [](const CatalogueEntry& entry, const char* whose) {
    std::string command;
    for (const std::string& word : entry.command) command += (command.empty() ? "" : " ") + word;
    fmt::print("{:<40} {:<9} {}\n", entry.pattern, whose, command);
  };
  fmt::print("{:<40} {:<9} {}\n", "IMAGE", "FROM", "COMMAND");
  for (const auto& entry : catalogue.user_entries()) print(entry, "you");
  for (const auto& entry : catalogue.builtin_entries()) print(entry, "built in");
  return 0;
}

void add_images(CLI::App& app, int& code) {
  static std::string pattern;
  static std::vector<std::string> command;
  CLI::App* images = app.add_subcommand("images", "which program stands for which container image");
  images->require_subcommand(0, 1);
  CLI::App* list = images->add_subcommand("list", "print the catalogue");
  list->callback([&code] { code = with_state(list_images); });
  CLI::App* add = images->add_subcommand(
      "add", "PATTERN COMMAND [ARG...]: run COMMAND for images like PATTERN");
  add->add_option("pattern", pattern)->required();
  add->prefix_command();
  add->callback([&code, add] {
    command = add->remaining();
    if (command.empty()) {
      fmt::print(stderr,
                 "mizzen-local: a command is needed: images add PATTERN COMMAND [ARG...]\n");
      code = 64;
      return;
    }
    code = with_state([](const std::string& dir) {
      return done(add_to_catalogue(dir + "/images", pattern, command));
    });
  });
  CLI::App* remove = images->add_subcommand("remove", "PATTERN: forget an entry of yours");
  remove->add_option("pattern", pattern)->required();
  remove->callback([&code] {
    code = with_state([](const std::string& dir) {
      return done(remove_from_catalogue(dir + "/images", pattern));
    });
  });
  images->callback([images, &code] {
    if (images->get_subcommands().empty()) code = with_state(list_images);
  });
}

void add_up_options(CLI::App* command, UpOptions& options) {
  command->add_flag("--demo", options.demo, "with Bookinfo in it");
  command->add_flag("--bare", options.bare, "without the mesh");
  command->add_option("--timeout", options.timeout_seconds, "seconds to wait until all is ready");
}

int run(int argc, char** argv) {
  CLI::App app{"A cluster on this machine, without root."};
  app.require_subcommand(1);
  int code = 0;
  app.add_option_function<std::string>("--profile", use_profile, "one of several clusters")
      ->check([](const std::string& name) {
        const bool plain =
            !name.empty() &&
            name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
        return plain ? std::string() : "a profile's name has small letters, digits and dashes";
      })
      ->trigger_on_parse();
  UpOptions options;
  CLI::App* up_command =
      app.add_subcommand("up", "start the cluster and the mesh, wait until ready");
  add_up_options(up_command, options);
  up_command->callback([&] { code = up(options); });
  app.add_subcommand("down", "stop the cluster; nothing of it stays behind")->callback([&] {
    code = down();
  });
  bool json = false;
  bool names = false;
  CLI::App* status = app.add_subcommand("status", "what runs, and where to look");
  status->add_flag("--json", json, "for programs");
  status->callback([&] { code = with_state(json ? print_status_json : print_status); });
  CLI::App* env = app.add_subcommand("env", "print shell settings");
  env->add_flag("--names", names, "with istioctl and minikube as names of mizzenctl");
  env->callback([&] { code = with_state(names ? print_names_env : print_env); });
  app.add_subcommand("forget", "remove what a cluster that is stopped has kept")->callback([&] {
    code = with_state(forget);
  });
  app.add_subcommand("tunnel", "let the ingress answer on ports 80 and 443")->callback([&] {
    code = with_state(tunnel);
  });
  add_images(app, code);
  std::string ids;
  CLI::App* inside_command = app.add_subcommand("inside", "")->group("");
  inside_command->add_option("ids", ids);
  add_up_options(inside_command, options);
  inside_command->callback([&] { code = inside(options, ids); });
  CLI11_PARSE(app, argc, argv);
  return code;
}

}  // namespace
}  // namespace mizzen::local

int main(int argc, char** argv) {
  using namespace mizzen::local;
  // First steps of a container, without the weight of a command line parser.
  if (argc == 5 && std::string_view(argv[1]) == "container") {
    return container_main(std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]));
  }
  if (argc == 5 && std::string_view(argv[1]) == "enter") {
    return enter_main(std::atoi(argv[2]), std::atoi(argv[3]), std::atoi(argv[4]));
  }
  return run(argc, argv);
}
