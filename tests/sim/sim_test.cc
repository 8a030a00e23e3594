// Whatever the control plane makes of its golden inputs, the proxy must accept, and understand
// whole: a field that the proxy would not act on is an error here.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "api/names.h"
#include "base/strings.h"
#include "control/mesh/store.h"
#include "control/serve/scope.h"
#include "control/translate/translate.h"
#include "object/yaml.h"
#include "proxy/config/compile.h"

namespace mizzen {
namespace {

namespace fs = std::filesystem;

const fs::path kData = "src/control/translate/testdata";

std::string read(const fs::path& path) {
  const std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

template <class Compile>
void check(const control::Resources& resources, Compile compile) {
  for (const auto& [name, resource] : *resources) {
    proxy::Warnings warnings;
    const auto compiled = compile(resource->bytes, &warnings);
    EXPECT_TRUE(compiled) << name << ": " << compiled.error().message;
    for (const std::string& warning : warnings) ADD_FAILURE() << name << ": " << warning;
  }
}

void check_proxy(control::Store& store, const std::string& name) {
  const std::size_t dot = name.rfind('.');
  const auto workload = store.workload(name.substr(dot + 1), name.substr(0, dot));
  ASSERT_TRUE(workload) << name;
  control::Proxy proxy;
  proxy.name = name;
  proxy.name_space = workload->name_space;
  proxy.address = workload->address;
  proxy.labels = workload->labels;
  if (proxy.labels.contains("istio")) proxy.kind = control::ProxyKind::kGateway;
  const auto snapshot = control::scope_for(store.snapshot(), proxy);
  check(control::translate_listeners(*snapshot, proxy), proxy::compile_listener);
  check(control::translate_routes(*snapshot, proxy), proxy::compile_routes);
  check(control::translate_clusters(*snapshot, proxy), proxy::compile_cluster);
  check(control::translate_endpoints(*snapshot, proxy), proxy::compile_endpoints);
  check(control::translate_secrets(*snapshot, proxy), proxy::compile_secret);
}

TEST(Sim, ProxyUnderstandsEveryGoldenInput) {
  for (const auto& entry : fs::directory_iterator(kData)) {
    if (entry.path().extension() != ".yaml") continue;
    SCOPED_TRACE(entry.path().filename().string());
    const std::string text = read(entry.path());
    const auto documents = object::parse_manifest(text);
    ASSERT_TRUE(documents) << documents.error().message;
    control::Store store;
    for (const object::YamlDocument& document : *documents) store.apply(document.value);
    for (const std::string_view line : split(text, '\n')) {
      if (!line.starts_with("# proxy: ")) continue;
      for (const std::string_view name : split(line.substr(9), ' ')) {
        if (!name.empty()) check_proxy(store, std::string(name));
      }
    }
  }
}

}  // namespace
}  // namespace mizzen
