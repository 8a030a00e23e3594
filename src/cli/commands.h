// The commands of mizzenctl. Each function adds one group to the application; a command's exit code
// goes to `Application::code`.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/session.h"

namespace CLI {
class App;
}

namespace mizzen::cli {

struct Application {
  ClusterFlags flags;
  int code = 0;
  // What `kube-inject` does to a manifest: comes from the injector, which this folder does not
  // know.
  std::function<Result<std::string>(std::string_view manifest)> inject;
  // The objects of an installation, in the order in which they are applied.
  std::function<std::vector<Json>()> installation;
};

// istioctl's exit codes.
inline constexpr int kUsage = 64;
inline constexpr int kBadData = 65;

// up, down, status, env, tunnel, images: run by mizzen-local, which stands beside this
// program.
void add_cluster_commands(CLI::App& app, Application& application);
// dashboard.
void add_dashboard_commands(CLI::App& app, Application& application);
// proxy-status (ps), proxy-config (pc).
void add_proxy_commands(CLI::App& app, Application& application);
// log and rootca-compare of proxy-config, which `config` is.
void add_proxy_state_commands(CLI::App& config, Application& application);
// version.
void add_version_command(CLI::App& app, Application& application);
// install, uninstall, verify-install; and precheck, which is one of `experimental`.
void add_install_commands(CLI::App& app, CLI::App& experimental, Application& application);
// describe and explain, of `experimental`.
void add_describe_commands(CLI::App& experimental, Application& application);
void add_explain_command(CLI::App& experimental, Application& application);
// analyze.
void add_analyze_command(CLI::App& app, Application& application);
// validate, manifest, kube-inject.
void add_manifest_commands(CLI::App& app, Application& application);

// Prints "mizzenctl: message" on standard error and returns `code`.
int complain(const Error& error, int code = 1);
// A file's text; "-" is standard input.
Result<std::string> read_input(const std::string& path);
// "json", "yaml" or anything else as it is: `json` in the form asked for.
Result<std::string> format_as(const Json& json, std::string_view output);

}  // namespace mizzen::cli
