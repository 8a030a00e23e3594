#include "cli/minikube.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>

#include "api/version.h"
#include "cli/commands.h"
#include "cli/local_program.h"
#include "object/json.h"

namespace mizzen::cli {
namespace {

// minikube's exit codes.
constexpr int kNotRunning = 7;
constexpr int kNoSuchThing = 89;
constexpr int kUnknownProfile = 85;

struct Minikube {
  std::string profile = "minikube";
  int code = 0;

  std::vector<std::string> words(std::vector<std::string> command) const {
    if (profile != "minikube") command.insert(command.begin(), {"--profile", profile});
    return command;
  }
  // What mizzen-local says of the profile's cluster: `running`, `known`, `doors`, ...
  Json state() const {
    auto text = ask_local(words({"status", "--json"}));
    Json state = text ? Json::parse(*text, nullptr, false) : Json::object();
    return state.is_object() ? state : Json::object();
  }
  bool running(const Json& state) const { return state.value("running", false); }
};

int say_not_running(const Minikube& minikube) {
  fmt::print(
      "* The control plane node \"{0}\" is not running: to start it, run: \"minikube start{1}"
      "{2}\"\n",
      minikube.profile, minikube.profile == "minikube" ? "" : " -p ",
      minikube.profile == "minikube" ? "" : minikube.profile);
  return kNotRunning;
}

// --- start, stop, delete, status -----------------------------------------------------------------

// Flags about a virtual machine that is not there: taken, and said to do nothing.
void add_machine_flags(CLI::App* start, std::vector<std::string>& unused) {
  for (const char* flag : {"--memory", "--cpus", "--driver,--vm-driver", "--kubernetes-version",
                           "--disk-size", "--nodes", "--container-runtime", "--cni"}) {
    start->add_option_function<std::string>(
        flag,
        [&unused, flag](const std::string& value) {
          unused.push_back(fmt::format(
              "{}={}", std::string(flag).substr(0, std::string(flag).find(',')), value));
        },
        "not used: pods are processes of this machine");
  }
}

int start(const Minikube& minikube, const std::vector<std::string>& unused) {
  fmt::print("* {} (mizzen {}) on this machine\n", minikube.profile, api::kVersion);
  for (const std::string& one : unused)
    fmt::print("! {} has no effect: pods are processes of this machine and share all of it\n", one);
  if (const int code = run_local(minikube.words({"up", "--bare"})); code != 0) return code;
  auto written = ask_local(minikube.words({"env", "--names"}));
  if (!written) return complain(written.error());
  fmt::print(
      "* Done! kubectl is now configured to use \"{}\" cluster and \"default\" namespace by "
      "default\n",
      minikube.profile);
  const char* config = std::getenv("KUBECONFIG");
  if (config == nullptr ||
      written->find(fmt::format("KUBECONFIG='{}'", config)) == std::string::npos)
    fmt::print(
        "! KUBECONFIG does not name its configuration; in your shell: eval \"$(mizzenctl env "
        "--names)\"\n");
  return 0;
}

int stop(const Minikube& minikube) {
  if (!minikube.running(minikube.state())) {
    fmt::print("* \"{}\" is not running.\n", minikube.profile);
    return 0;
  }
  fmt::print("* Stopping node \"{}\"  ...\n", minikube.profile);
  auto stopped = ask_local(minikube.words({"down"}));
  if (!stopped) return complain(stopped.error());
  fmt::print("* 1 node stopped.\n");
  return 0;
}

int remove(const Minikube& minikube) {
  const Json state = minikube.state();
  if (minikube.running(state)) {
    fmt::print("* Stopping node \"{}\"  ...\n", minikube.profile);
    if (auto stopped = ask_local(minikube.words({"down"})); !stopped)
      return complain(stopped.error());
  }
  fmt::print("* Deleting \"{}\" ...\n", minikube.profile);
  if (auto gone = ask_local(minikube.words({"forget"})); !gone) return complain(gone.error());
  fmt::print("* Removed all traces of the \"{}\" cluster.\n", minikube.profile);
  return 0;
}

int status(const Minikube& minikube, const std::string& output) {
  const Json state = minikube.state();
  const bool running = minikube.running(state);
  if (!running && !state.value("known", false)) {
    fmt::print(
        "* Profile \"{0}\" not found. Run \"minikube profile list\" to view all profiles.\n"
        "  To start a cluster, run: \"minikube start{1}\"\n",
        minikube.profile, minikube.profile == "minikube" ? "" : " -p " + minikube.profile);
    return kUnknownProfile;
  }
  const char* word = running ? "Running" : "Stopped";
  const char* config = running ? "Configured" : "Stopped";
  if (output == "json") {
    fmt::print("{}\n", Json({{"Name", minikube.profile},
                             {"Host", word},
                             {"Kubelet", word},
                             {"APIServer", word},
                             {"Kubeconfig", config},
                             {"Worker", false}})
                           .dump());
  } else {
    fmt::print("{}\ntype: Control Plane\nhost: {}\nkubelet: {}\napiserver: {}\nkubeconfig: {}\n\n",
               minikube.profile, word, word, word, config);
  }
  return running ? 0 : kNotRunning;
}

// --- ip, service ---------------------------------------------------------------------------------

int ip(const Minikube& minikube) {
  const Json state = minikube.state();
  if (!minikube.running(state)) return say_not_running(minikube);
  fmt::print("{}\n", state.value("ingressHost", "127.0.0.1"));
  return 0;
}

struct ServiceArguments {
  std::string name;
  std::string name_space = "default";
  bool url = false;
  bool all = false;
};

int service(const Minikube& minikube, const ServiceArguments& arguments) {
  const Json state = minikube.state();
  if (!minikube.running(state)) return say_not_running(minikube);
  int found = 0;
  if (!arguments.url)
    fmt::print("{:<14} {:<24} {:<18} {}\n", "NAMESPACE", "NAME", "TARGET PORT", "URL");
  for (const Json& door : state.value("doors", Json::array())) {
    const bool wanted = arguments.all || arguments.name.empty() ||
                        (door.value("service", "") == arguments.name &&
                         door.value("namespace", "") == arguments.name_space);
    if (!wanted) continue;
    ++found;
    const std::string url = "http://" + door.value("address", "");
    if (arguments.url) {
      fmt::print("{}\n", url);
    } else {
      const std::string port = fmt::format("{}/{}", door.value("name", ""), door.value("port", 0));
      fmt::print("{:<14} {:<24} {:<18} {}\n", door.value("namespace", ""),
                 door.value("service", ""), port, url);
    }
  }
  if (found > 0 || arguments.name.empty()) return 0;
  fmt::print(
      stderr,
      "X Exiting due to SVC_NOT_FOUND: Service '{0}' was not found in '{1}' namespace with a "
      "node port.\nYou may select another namespace by using 'minikube service {0} -n "
      "<namespace>'. Or list out all the services using 'minikube service list'\n",
      arguments.name, arguments.name_space);
  return kNoSuchThing;
}

// --- config, profile, addons ---------------------------------------------------------------------

// Values of `minikube config`, beside the kubeconfig of the names.
std::string settings_path(const Minikube& minikube) {
  Minikube base = minikube;
  base.profile = "minikube";
  return base.state().value("state", std::string(".")) + "/names/settings.json";
}

Json read_settings(const std::string& path) {
  std::ifstream in(path);
  Json settings = Json::parse(in, nullptr, false);
  return settings.is_object() ? settings : Json::object();
}

int write_settings(const std::string& path, const Json& settings) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  std::ofstream out(path, std::ios::trunc);
  out << settings.dump(2) << "\n";
  out.close();
  return out ? 0 : complain({.message = "cannot write " + path});
}

void add_config(CLI::App& app, Minikube& minikube) {
  CLI::App* config = app.add_subcommand("config", "values that are kept");
  config->require_subcommand(1);
  static std::string name;
  static std::string value;
  CLI::App* set = config->add_subcommand("set", "NAME VALUE");
  set->add_option("name", name)->required();
  set->add_option("value", value)->required();
  set->callback([&minikube] {
    const std::string path = settings_path(minikube);
    Json settings = read_settings(path);
    settings[name] = value;
    minikube.code = write_settings(path, settings);
    if (name == "driver" || name == "vm-driver" || name == "memory" || name == "cpus")
      fmt::print("! {} is kept and has no effect: pods are processes of this machine\n", name);
  });
  CLI::App* get = config->add_subcommand("get", "NAME");
  get->add_option("name", name)->required();
  get->callback([&minikube] {
    const Json settings = read_settings(settings_path(minikube));
    if (!settings.contains(name)) {
      minikube.code = complain({.message = "no value is kept for " + name}, 1);
      return;
    }
    fmt::print("{}\n", settings.value(name, ""));
  });
  CLI::App* unset = config->add_subcommand("unset", "NAME");
  unset->add_option("name", name)->required();
  unset->callback([&minikube] {
    const std::string path = settings_path(minikube);
    Json settings = read_settings(path);
    settings.erase(name);
    minikube.code = write_settings(path, settings);
  });
  config->add_subcommand("view", "all of them")->callback([&minikube] {
    const Json settings = read_settings(settings_path(minikube));
    for (const auto& [key, kept] : settings.items())
      fmt::print("- {}: {}\n", key, kept.get<std::string>());
  });
}

void add_profiles(CLI::App& app, Minikube& minikube) {
  CLI::App* profile = app.add_subcommand("profile", "which clusters there are");
  profile->add_subcommand("list", "print them")->callback([&minikube] {
    Minikube one = minikube;
    one.profile = "minikube";
    const Json base = one.state();
    std::vector<std::string> names = {"minikube"};
    std::error_code error;
    const std::filesystem::path folder = base.value("state", std::string(".")) + "/profiles";
    for (const auto& entry : std::filesystem::directory_iterator(folder, error))
      names.push_back(entry.path().filename().string());
    fmt::print("{:<16} {:<10} {}\n", "PROFILE", "STATUS", "API SERVER");
    for (const std::string& name : names) {
      one.profile = name;
      const Json state = one.state();
      fmt::print("{:<16} {:<10} {}\n", name, one.running(state) ? "Running" : "Stopped",
                 state.value("api", "-"));
    }
  });
  profile->callback([profile, &minikube] {
    if (profile->get_subcommands().empty()) fmt::print("* {}\n", minikube.profile);
  });
}

// Parts that every cluster here has, and those that there are none of.
struct MinikubeAddon {
  const char* name;
  bool there;
  const char* says;
};
constexpr MinikubeAddon kMinikubeAddons[] = {
    {"dashboard", false, "there is no Kubernetes dashboard; kubectl shows the same"},
    {"default-storageclass", false, "there are no persistent volumes; emptyDir holds data"},
    {"ingress", false, "Ingress of class istio is the ingress gateway's"},
    {"ingress-dns", false, "the cluster's names are its own"},
    {"istio", false, "istioctl install puts the mesh into the cluster"},
    {"metallb", true, "every Service of type LoadBalancer has an address"},
    {"metrics-server", false, "there is no metrics server"},
    {"storage-provisioner", false, "there are no persistent volumes; emptyDir holds data"},
};

int change_addon(const Minikube& minikube, const std::string& name, bool enable) {
  if (!minikube.running(minikube.state())) return say_not_running(minikube);
  for (const MinikubeAddon& addon : kMinikubeAddons) {
    if (addon.name != name) continue;
    if (addon.there == enable) {
      fmt::print("* The '{}' addon is {}: {}\n", name, enable ? "enabled" : "disabled", addon.says);
      return 0;
    }
    fmt::print(stderr, "X '{}' cannot be {}: {}\n", name, enable ? "enabled" : "disabled",
               addon.says);
    return 1;
  }
  fmt::print(stderr,
             "X Exiting due to MK_ADDON_{}: '{}' is not a valid minikube addon; see minikube "
             "addons list\n",
             enable ? "ENABLE" : "DISABLE", name);
  return 10;
}

void add_addons(CLI::App& app, Minikube& minikube) {
  CLI::App* addons = app.add_subcommand("addons", "parts of a cluster");
  addons->require_subcommand(1);
  static std::string name;
  addons->add_subcommand("list", "print them")->callback([] {
    fmt::print("{:<22} {:<10} {}\n", "ADDON NAME", "STATUS", "HERE");
    for (const MinikubeAddon& addon : kMinikubeAddons)
      fmt::print("{:<22} {:<10} {}\n", addon.name, addon.there ? "enabled" : "disabled",
                 addon.says);
  });
  for (const bool enable : {true, false}) {
    CLI::App* change = addons->add_subcommand(enable ? "enable" : "disable", "NAME");
    change->add_option("name", name)->required();
    change->callback([&minikube, enable] { minikube.code = change_addon(minikube, name, enable); });
  }
}

// --- the rest ------------------------------------------------------------------------------------

int dashboard(const Minikube& minikube) {
  if (!minikube.running(minikube.state())) return say_not_running(minikube);
  fmt::print(stderr,
             "X There is no Kubernetes dashboard in this cluster. kubectl get all -A shows what it "
             "would; for the mesh: mizzenctl dashboard.\n");
  return 1;
}

int kubectl(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"kubectl"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  if (words.size() > 1 && words[1] == "--") words.erase(words.begin() + 1);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::fflush(nullptr);
  execvp("kubectl", argv.data());
  return complain(errno_error("cannot run kubectl", errno));
}

int logs(const Minikube& minikube) {
  std::ifstream in(minikube.state().value("state", std::string(".")) + "/log");
  for (std::string line; std::getline(in, line);) fmt::print("{}\n", line);
  return 0;
}

void add_machine(CLI::App& app, Minikube& minikube) {
  static std::vector<std::string> unused;
  CLI::App* starting = app.add_subcommand("start", "start a cluster on this machine");
  add_machine_flags(starting, unused);
  starting->callback([&minikube] { minikube.code = start(minikube, unused); });
  app.add_subcommand("stop", "stop it; what it holds stays")->callback([&minikube] {
    minikube.code = stop(minikube);
  });
  app.add_subcommand("delete", "stop it and remove what it holds")->callback([&minikube] {
    minikube.code = remove(minikube);
  });
  static std::string output = "text";
  CLI::App* state = app.add_subcommand("status", "whether it runs");
  state->add_option("-o,--output", output, "text or json");
  state->callback([&minikube] { minikube.code = status(minikube, output); });
}

void add_addresses(CLI::App& app, Minikube& minikube) {
  app.add_subcommand("ip", "the address where node ports answer")->callback([&minikube] {
    minikube.code = ip(minikube);
  });
  static ServiceArguments arguments;
  CLI::App* one = app.add_subcommand("service", "where a service answers");
  one->add_option("name", arguments.name, "a service with a node port, or list");
  one->add_option("-n,--namespace", arguments.name_space, "its namespace");
  one->add_flag("--url", arguments.url, "print the address alone");
  one->add_flag("--all", arguments.all, "every service");
  one->callback([&minikube] {
    if (arguments.name == "list") arguments.name.clear();
    minikube.code = service(minikube, arguments);
  });
  CLI::App* tunnel = app.add_subcommand("tunnel", "let the ingress answer on ports 80 and 443");
  tunnel->add_flag("-c,--cleanup")->group("");
  tunnel->callback([&minikube] {
    if (!minikube.running(minikube.state())) {
      minikube.code = say_not_running(minikube);
      return;
    }
    minikube.code = become_local(minikube.words({"tunnel"}));
  });
}

}  // namespace

int run_minikube(int argc, char** argv) {
  CLI::App app{
      "A cluster on this machine, by minikube's words. It is Mizzen's: pods are processes."};
  app.name("minikube");
  app.require_subcommand(1);
  app.fallthrough();
  Minikube minikube;
  app.add_option("-p,--profile", minikube.profile, "one of several clusters");
  add_machine(app, minikube);
  add_addresses(app, minikube);
  add_config(app, minikube);
  add_profiles(app, minikube);
  add_addons(app, minikube);
  app.add_subcommand("dashboard", "Kubernetes' dashboard")->callback([&minikube] {
    minikube.code = dashboard(minikube);
  });
  CLI::App* passed = app.add_subcommand("kubectl", "run kubectl");
  passed->prefix_command();
  passed->callback([&minikube, passed] { minikube.code = kubectl(passed->remaining()); });
  app.add_subcommand("logs", "what the cluster wrote")->callback([&minikube] {
    minikube.code = logs(minikube);
  });
  app.add_subcommand("version", "the version")->callback([] {
    fmt::print("minikube version: {}\n", api::kVersion);
  });
  CLI11_PARSE(app, argc, argv);
  return minikube.code;
}

}  // namespace mizzen::cli
