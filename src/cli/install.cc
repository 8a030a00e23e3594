// `install`, `uninstall`, `verify-install` and `x precheck`: the mesh in any Kubernetes.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "api/version.h"
#include "cli/commands.h"
#include "config/kinds.h"
#include "object/meta.h"

namespace mizzen::cli {
namespace {

constexpr Duration kRetry = std::chrono::milliseconds(200);
constexpr std::string_view kOwner = "mizzenctl";

struct InstallArguments {
  std::vector<std::string> settings;  // --set name=value
  std::vector<std::string> files;
  bool yes = false;
  bool purge = false;
  int timeout_seconds = 300;
};

Result<std::pair<kube::Resource, std::string>> place_of(const Json& object) {
  MIZZEN_TRY(const config::Kind* kind, config::kind_for(object));
  const std::string api = object::string_at(object, {"apiVersion"});
  const std::size_t slash = api.find('/');
  kube::Resource resource{std::string(kind->group), slash == api.npos ? api : api.substr(slash + 1),
                          std::string(kind->plural), kind->namespaced};
  return std::pair{std::move(resource), kind->namespaced ? object::namespace_of(object) : ""};
}

// "Deployment: istiod.istio-system".
std::string title(const Json& object) {
  const std::string name_space = object::namespace_of(object);
  return fmt::format("{}: {}{}{}", object::string_at(object, {"kind"}), object::name_of(object),
                     name_space.empty() ? "" : ".", name_space);
}

// A definition or a webhook of the step before may take a moment to be there.
Status apply(Session& session, const Json& object, MonoTime deadline) {
  auto place = place_of(object);
  if (!place) return std::unexpected(place.error());
  for (;;) {
    auto done = session.apply(place->first, place->second, object, kOwner);
    if (done) return {};
    const Code code = done.error().code;
    const bool later = code == Code::kNotFound || code == Code::kUnavailable;
    session.loop().run_until([] { return false; }, later ? kRetry : Duration::zero());
    if (!later || session.loop().now() > deadline)
      return std::unexpected(done.error().in(title(object)));
  }
}

bool is_ready(const Json& deployment) {
  const auto wanted = object::int_at(deployment, {"spec", "replicas"}, 1);
  return object::int_at(deployment, {"status", "readyReplicas"}) >= wanted &&
         object::int_at(deployment, {"status", "observedGeneration"}) >=
             object::int_at(deployment, {"metadata", "generation"});
}

Status wait_ready(Session& session, const Json& object, MonoTime deadline) {
  MIZZEN_TRY(const auto place, place_of(object));
  for (;;) {
    MIZZEN_TRY(const Json now, session.get(place.first, place.second, object::name_of(object)));
    if (is_ready(now)) return {};
    if (session.loop().now() > deadline)
      return fail(Code::kTimeout,
                  title(object) + " does not become ready; kubectl describe says why");
    session.loop().run_until([] { return false; }, kRetry);
  }
}

// What a Deployment of the installation is to people.
std::string_view component_of(const Json& object) {
  const std::string name = object::name_of(object);
  if (name == "istiod") return "Istiod";
  if (name.find("egress") != name.npos) return "Egress gateways";
  return name.find("ingress") != name.npos ? "Ingress gateways" : std::string_view();
}

// --set: the profile is all that there is to choose.
Status check_settings(const std::vector<std::string>& settings) {
  for (const std::string& one : settings) {
    const std::size_t equals = one.find('=');
    const std::string name = one.substr(0, equals);
    const std::string value = equals == one.npos ? "" : one.substr(equals + 1);
    if (name != "profile")
      return fail(Code::kInvalid,
                  fmt::format("--set {}: not supported; profile is what can be set", name));
    if (value != "demo" && value != "default")
      return fail(Code::kInvalid,
                  fmt::format("profile \"{}\" is not there; write demo or default", value));
  }
  return {};
}

bool agreed(const InstallArguments& arguments, const std::string& question) {
  if (arguments.yes) return true;
  fmt::print("{} Proceed? (y/N) ", question);
  std::fflush(stdout);
  char answer[16] = {};
  const ssize_t got = ::read(STDIN_FILENO, answer, sizeof answer - 1);
  return got > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}

Result<int> install(Session& session, const std::vector<Json>& objects,
                    const InstallArguments& arguments) {
  const MonoTime deadline = session.loop().now() + std::chrono::seconds(arguments.timeout_seconds);
  std::vector<const Json*> deployments;
  for (const Json& object : objects) {
    MIZZEN_CHECKED(apply(session, object, deadline));
    if (object::string_at(object, {"kind"}) == "Deployment") deployments.push_back(&object);
  }
  fmt::print("✔ Istio core installed\n");
  for (const Json* deployment : deployments) {
    MIZZEN_CHECKED(wait_ready(session, *deployment, deadline));
    const std::string_view component = component_of(*deployment);
    if (!component.empty()) fmt::print("✔ {} installed\n", component);
    std::fflush(stdout);
  }
  fmt::print(
      "✔ Installation complete\nMade this installation the default for cluster-wide "
      "operations.\n");
  return 0;
}

Result<int> verify(Session& session, const std::vector<Json>& objects) {
  auto control_plane = session.control_plane_pod();
  if (!control_plane) {
    fmt::print("0 Istio control planes detected, checking --revision \"default\" only\n");
    return fail(Code::kNotFound, "Istio is not installed: " + control_plane.error().message);
  }
  fmt::print("1 Istio control planes detected, checking --revision \"default\" only\n");
  int definitions = 0;
  int deployments = 0;
  int bad = 0;
  for (const Json& object : objects) {
    MIZZEN_TRY(const auto place, place_of(object));
    auto found = session.get(place.first, place.second, object::name_of(object));
    const std::string kind = object::string_at(object, {"kind"});
    const bool there = found && (kind != "Deployment" || is_ready(*found));
    if (there) {
      fmt::print("✔ {} checked successfully\n", title(object));
    } else {
      ++bad;
      fmt::print("✘ {}: {}\n", title(object), found ? "is not ready" : found.error().message);
    }
    definitions += kind == "CustomResourceDefinition" ? 1 : 0;
    deployments += kind == "Deployment" ? 1 : 0;
  }
  fmt::print("Checked {} custom resource definitions\nChecked {} Istio Deployments\n", definitions,
             deployments);
  if (bad != 0)
    return fail(Code::kUnavailable, fmt::format("Istio installation failed: {} object(s) are "
                                                "missing or not ready",
                                                bad));
  fmt::print("✔ Istio is installed and verified successfully\n");
  return 0;
}

Result<int> uninstall(Session& session, const std::vector<Json>& objects) {
  for (auto object = objects.rbegin(); object != objects.rend(); ++object) {
    MIZZEN_TRY(const auto place, place_of(*object));
    auto gone = session.remove(place.first, place.second, object::name_of(*object));
    if (!gone && gone.error().code != Code::kNotFound)
      return std::unexpected(gone.error().in(title(*object)));
    if (gone) fmt::print("  Removed {}.\n", title(*object));
  }
  fmt::print("✔ Uninstall complete\n");
  return 0;
}

// Whether the cluster can take an installation: it answers, and lets us make what we need.
Result<int> precheck(Session& session) {
  MIZZEN_TRY(const Json version, session.raw("/version"));
  const auto minor = std::atoi(object::string_at(version, {"minor"}).c_str());
  if (minor < 20)
    return fail(
        Code::kInvalid,
        fmt::format("The Kubernetes Version \"{}\" is lower than the minimum version: v1.20",
                    object::string_at(version, {"gitVersion"})));
  fmt::print(
      "✔ No issues found when checking the cluster. Istio is safe to install or upgrade!\n"
      "  To get started, check out "
      "https://istio.io/latest/docs/setup/getting-started/\n");
  return 0;
}

template <class Do>
int with_session(Application& application, Do&& act) {
  auto session = Session::open(application.flags);
  if (!session) return complain(session.error());
  Result<int> code = act(**session);
  if (!code) return complain(code.error());
  return *code;
}

}  // namespace

void add_install_commands(CLI::App& app, CLI::App& experimental, Application& application) {
  auto arguments = std::make_shared<InstallArguments>();
  CLI::App* command = app.add_subcommand("install", "put the mesh into the cluster");
  command->alias("apply");
  command->add_option("-s,--set", arguments->settings, "profile=demo or profile=default")
      ->take_all();
  command->add_flag("-y,--skip-confirmation", arguments->yes, "do not ask");
  command->add_option("--timeout", arguments->timeout_seconds,
                      "seconds to wait until all is ready");
  command->callback([&application, arguments] {
    if (Status checked = check_settings(arguments->settings); !checked) {
      application.code = complain(checked.error(), kUsage);
      return;
    }
    if (!agreed(*arguments,
                fmt::format("This will install Istio {} into the cluster.", api::kVersion)))
      return;
    application.code = with_session(application, [&](Session& session) {
      return install(session, application.installation(), *arguments);
    });
  });
  app.add_subcommand("verify-install", "whether the mesh is there and ready")
      ->callback([&application] {
        application.code = with_session(application, [&](Session& session) {
          return verify(session, application.installation());
        });
      });
  CLI::App* remove = app.add_subcommand("uninstall", "take the mesh out of the cluster");
  remove->add_flag("-y,--skip-confirmation", arguments->yes, "do not ask");
  remove->add_flag("--purge", arguments->purge, "all of it, definitions and rules too")->required();
  remove->callback([&application, arguments] {
    if (!agreed(*arguments, "All Istio resources will be pruned from the cluster.")) return;
    application.code = with_session(application, [&](Session& session) {
      return uninstall(session, application.installation());
    });
  });
  experimental.add_subcommand("precheck", "whether the mesh can be installed here")
      ->callback([&application] { application.code = with_session(application, precheck); });
}

}  // namespace mizzen::cli
