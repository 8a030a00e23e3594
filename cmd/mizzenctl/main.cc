// mizzenctl: the command line of the mesh.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/minikube.h"
#include "config/crd.h"
#include "deploy/manifests.h"
#include "inject/inject.h"
#include "object/yaml.h"

namespace {

// Documents go in and come out in their order.
mizzen::Result<std::string> inject_manifest(std::string_view manifest) {
  MIZZEN_TRY(auto documents, mizzen::object::parse_yaml(manifest));
  std::string out;
  for (const auto& document : documents) {
    MIZZEN_TRY(auto injected, mizzen::inject::inject_document(document.value, {}));
    if (!out.empty()) out += "---\n";
    out += mizzen::object::to_yaml(injected);
  }
  return out;
}

std::vector<mizzen::kube::Json> installation() {
  std::vector<mizzen::kube::Json> out = mizzen::config::crds();
  for (const auto& manifest : mizzen::deploy::manifests()) {
    auto documents = mizzen::object::parse_manifest(manifest.yaml);
    if (!documents) continue;
    for (auto& document : *documents) out.push_back(std::move(document.value));
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  mizzen::log::set_level(mizzen::log::Level::kWarning);
  const std::string_view name =
      std::string_view(argv[0]).substr(std::string_view(argv[0]).rfind('/') + 1);
  if (name == "minikube") return mizzen::cli::run_minikube(argc, argv);
  CLI::App app{"Looks at the mesh, configures it, and runs it on this machine."};
  app.name(name == "istioctl" ? "istioctl" : "mizzenctl");
  app.require_subcommand(1);
  app.fallthrough();
  mizzen::cli::Application application;
  application.inject = inject_manifest;
  application.installation = installation;
  app.add_option("-c,--kubeconfig", application.flags.kubeconfig, "kubeconfig file");
  app.add_option("--context", application.flags.context, "context of the kubeconfig");
  app.add_option("-n,--namespace", application.flags.name_space, "namespace");
  app.add_option("-i,--istioNamespace", application.flags.istio_namespace,
                 "namespace of the control plane");
  mizzen::cli::add_cluster_commands(app, application);
  mizzen::cli::add_dashboard_commands(app, application);
  mizzen::cli::add_proxy_commands(app, application);
  CLI::App* experimental = app.add_subcommand("experimental", "commands that may still change");
  experimental->alias("x");
  experimental->alias("exp");
  experimental->require_subcommand(1);
  mizzen::cli::add_install_commands(app, *experimental, application);
  mizzen::cli::add_describe_commands(*experimental, application);
  mizzen::cli::add_explain_command(*experimental, application);
  mizzen::cli::add_version_command(app, application);
  mizzen::cli::add_analyze_command(app, application);
  mizzen::cli::add_manifest_commands(app, application);
  CLI11_PARSE(app, argc, argv);
  return application.code;
}
