#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/local_program.h"

namespace mizzen::cli {
namespace {

void add_local(CLI::App& app, Application& application, const char* name, const char* says) {
  CLI::App* command = app.add_subcommand(name, says);
  // Flags are mizzen-local's own to judge.
  command->allow_extras();
  command->fallthrough(false);
  command->callback([command, &application, name] {
    std::vector<std::string> words = command->remaining();
    words.insert(words.begin(), name);
    application.code = become_local(words);
  });
}

}  // namespace

int complain(const Error& error, int code) {
  fmt::print(stderr, "mizzenctl: {}\n", error.message);
  return code;
}

void add_cluster_commands(CLI::App& app, Application& application) {
  add_local(app, application, "up", "start a cluster on this machine, with the mesh in it");
  add_local(app, application, "down", "stop the cluster of this machine");
  add_local(app, application, "status", "what runs, and where to look");
  add_local(app, application, "env", "print shell settings for the cluster of this machine");
  add_local(app, application, "tunnel",
            "let the ingress answer on ports 80 and 443 (asks for sudo)");
  add_local(app, application, "images", "which program stands for which container image");
}

}  // namespace mizzen::cli
