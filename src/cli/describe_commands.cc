// `x describe pod|service`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/describe.h"
#include "object/meta.h"

namespace mizzen::cli {
namespace {

// All objects of a kind; none when the cluster does not know it.
Status read_all(Session& session, const kube::Resource& resource, std::vector<Json>& out) {
  auto found = session.list(resource, "", "");
  if (!found && found.error().code == Code::kNotFound) return {};
  if (!found) return std::unexpected(found.error().in(resource.plural));
  out = std::move(*found);
  return {};
}

Result<MeshObjects> read_mesh(Session& session) {
  MeshObjects mesh;
  mesh.root_namespace = session.istio_namespace();
  MIZZEN_CHECKED(read_all(session, {"", "v1", "pods"}, mesh.pods));
  MIZZEN_CHECKED(read_all(session, {"", "v1", "services"}, mesh.services));
  const auto istio = [&](const char* group, const char* plural, std::vector<Json>& out) {
    return read_all(session, {group, "v1", plural}, out);
  };
  MIZZEN_CHECKED(istio("networking.istio.io", "virtualservices", mesh.virtual_services));
  MIZZEN_CHECKED(istio("networking.istio.io", "destinationrules", mesh.destination_rules));
  MIZZEN_CHECKED(istio("networking.istio.io", "gateways", mesh.gateways));
  MIZZEN_CHECKED(istio("security.istio.io", "peerauthentications", mesh.peer_authentications));
  return mesh;
}

Result<std::string> describe_one(Session& session, bool of_pod, const std::string& name) {
  const std::size_t dot = name.find('.');
  const std::string plain = name.substr(0, dot);
  const std::string name_space = dot == name.npos ? session.name_space() : name.substr(dot + 1);
  MIZZEN_TRY(const MeshObjects mesh, read_mesh(session));
  if (of_pod) {
    MIZZEN_TRY(const PodName found, session.find_pod(name));
    MIZZEN_TRY(const Json pod, session.get({"", "v1", "pods"}, found.name_space, found.name));
    return describe_pod(mesh, pod);
  }
  MIZZEN_TRY(const Json service, session.get({"", "v1", "services"}, name_space, plain));
  return describe_service(mesh, service);
}

}  // namespace

void add_describe_commands(CLI::App& experimental, Application& application) {
  CLI::App* describe = experimental.add_subcommand("describe", "what the mesh does to one thing");
  describe->alias("des");
  describe->require_subcommand(1);
  for (const bool of_pod : {true, false}) {
    auto name = std::make_shared<std::string>();
    CLI::App* command = of_pod ? describe->add_subcommand("pod", "a pod")
                               : describe->add_subcommand("service", "a service");
    command->alias(of_pod ? "po" : "svc");
    command->add_option("name", *name, "NAME[.NAMESPACE]")->required();
    command->callback([&application, of_pod, name] {
      auto session = Session::open(application.flags);
      auto text =
          session ? describe_one(**session, of_pod, *name) : std::unexpected(session.error());
      if (text) {
        fmt::print("{}", *text);
      } else {
        application.code = complain(text.error());
      }
    });
  }
}

}  // namespace mizzen::cli
