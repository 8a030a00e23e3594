#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstring>

#include "cli/commands.h"

namespace mizzen::cli {
namespace {

std::string folder_of_this_program() {
  std::array<char, 4096> path{};
  ssize_t size = readlink("/proc/self/exe", path.data(), path.size() - 1);
  std::string whole(path.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  return whole.substr(0, whole.rfind('/') + 1);
}

// Becomes mizzen-local; returns only when that fails.
int become_local(std::string_view command, const std::vector<std::string>& rest) {
  std::string program = folder_of_this_program() + "mizzen-local";
  std::vector<std::string> words = {program, std::string(command)};
  words.insert(words.end(), rest.begin(), rest.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::fflush(nullptr);
  execv(program.c_str(), argv.data());
  return complain(errno_error("cannot run " + program, errno));
}

void add_local(CLI::App& app, Application& application, const char* name, const char* says) {
  CLI::App* command = app.add_subcommand(name, says);
  // Flags are mizzen-local's own to judge.
  command->allow_extras();
  command->fallthrough(false);
  command->callback([command, &application, name] {
    application.code = become_local(name, command->remaining());
  });
}

int dashboard(const std::string& what) {
  if (what != "envoy" && what != "proxy" && what != "controlz") {
    fmt::print(
        stderr,
        "mizzenctl: there is no dashboard \"{}\" yet; \"envoy\" and \"controlz\" print addresses\n",
        what);
    return kUsage;
  }
  if (what == "controlz") {
    fmt::print(
        "kubectl -n istio-system port-forward deploy/istiod 8080\nhttp://localhost:8080/debug\n");
  } else {
    fmt::print("kubectl port-forward POD 15000\nhttp://localhost:15000\n");
  }
  return 0;
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
  CLI::App* board = app.add_subcommand("dashboard", "print the address of a dashboard");
  static std::string what = "envoy";
  board->add_option("what", what, "envoy or controlz");
  board->callback([&application] { application.code = dashboard(what); });
}

}  // namespace mizzen::cli
