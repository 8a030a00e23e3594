// `version`: of this program, of the control plane and of the proxies that are connected to it.
#include "api/version.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/dump.h"

namespace mizzen::cli {
namespace {

struct Versions {
  std::string control_plane;
  Json proxies = Json::array();  // of /debug/syncz
};

Result<Versions> ask(Session& session) {
  MIZZEN_TRY(PodName istiod, session.control_plane_pod());
  Versions out;
  MIZZEN_TRY(std::string version, session.control_page(istiod, "/version"));
  out.control_plane = trim(version);
  MIZZEN_TRY(std::string text, session.control_page(istiod, "/debug/syncz"));
  out.proxies = Json::parse(text, nullptr, false);
  if (!out.proxies.is_array())
    return fail(Code::kProtocol, "the control plane's /debug/syncz is not a list");
  return out;
}

Json info(const std::string& version) {
  return {{"version", version},
          {"revision", "unknown"},
          {"golang_version", ""},
          {"status", "unknown"},
          {"tag", version}};
}

Json as_json(const std::optional<Versions>& mesh) {
  Json all = {{"clientVersion", info(std::string(api::kVersion))}};
  if (!mesh) return all;
  all["meshVersion"] = Json::array(
      {{{"Component", "pilot"}, {"Revision", "default"}, {"Info", info(mesh->control_plane)}}});
  all["dataPlaneVersion"] = Json::array();
  for (const Json& proxy : mesh->proxies) {
    all["dataPlaneVersion"].push_back({{"ID", text_at(proxy, {"proxy"})},
                                       {"IstioVersion", text_at(proxy, {"istio_version"})},
                                       {"Type", text_at(proxy, {"proxy_type"})}});
  }
  return all;
}

// "1.32-mizzen (5 proxies), 1.31 (1 proxies)": the last as istioctl writes it.
std::string data_plane(const Json& proxies) {
  std::map<std::string, int> counts;
  for (const Json& proxy : proxies) ++counts[text_at(proxy, {"istio_version"})];
  std::string out;
  for (const auto& [version, count] : counts)
    out += fmt::format("{}{} ({} proxies)", out.empty() ? "" : ", ", version, count);
  return out.empty() ? "none" : out;
}

int version(const Application& application, bool remote, bool brief, const std::string& output) {
  std::optional<Versions> mesh;
  std::string missing;
  if (remote) {
    auto session = Session::open(application.flags);
    auto found = session ? ask(**session) : std::unexpected(session.error());
    if (found) {
      mesh = std::move(*found);
    } else {
      missing = found.error().message;
    }
  }
  if (!output.empty() && output != "text") {
    auto text = format_as(as_json(mesh), output);
    if (!text) return complain(text.error(), kUsage);
    fmt::print("{}", *text);
    return 0;
  }
  if (!missing.empty()) fmt::print("{}\n", missing);
  if (!mesh && brief) {
    fmt::print("{}\n", api::kVersion);
    return 0;
  }
  fmt::print("client version: {}\n", api::kVersion);
  if (mesh) {
    fmt::print("control plane version: {}\ndata plane version: {}\n", mesh->control_plane,
               data_plane(mesh->proxies));
  }
  return 0;
}

}  // namespace

void add_version_command(CLI::App& app, Application& application) {
  CLI::App* command = app.add_subcommand("version", "versions of this program and of the mesh");
  auto output = std::make_shared<std::string>();
  auto remote = std::make_shared<bool>(true);
  auto brief = std::make_shared<bool>(false);
  command->add_option("-o,--output", *output, "json or yaml");
  command->add_option("--remote", *remote, "false: ask no cluster")->expected(0, 1);
  command->add_flag("-s,--short", *brief, "the number alone when there is no mesh");
  command->callback([&application, output, remote, brief] {
    application.code = version(application, *remote, *brief, *output);
  });
}

}  // namespace mizzen::cli
