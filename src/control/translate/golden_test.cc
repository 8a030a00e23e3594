// Golden tests: each testdata/<name>.yaml holds Kubernetes and Istio objects and says in comments
// `# proxy: <pod>.<namespace>` for whom to translate them and `# only: <types>` what to show (of
// listeners, routes, clusters, endpoints, secrets; all without it); `# names: a b` keeps resources
// whose name contains one of the words; `# with: auto-address` for proxies that answer DNS. What
// comes out is testdata/<name>.out. To accept what comes out now: MIZZEN_UPDATE_GOLDEN=1
// out/build/dev/bin/control_test
#include <google/protobuf/any.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "api/names.h"
#include "base/strings.h"
#include "control/mesh/store.h"
#include "control/serve/scope.h"
#include "control/translate/translate.h"
#include "object/yaml.h"

namespace mizzen::control {
namespace {

namespace fs = std::filesystem;

const fs::path kData = "src/control/translate/testdata";

std::string read(const fs::path& path) {
  const std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> words_after(const std::string& text, const std::string& key) {
  std::vector<std::string> words;
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with("# " + key + ": ")) continue;
    for (const std::string_view word : split(line.substr(key.size() + 4), ' ')) {
      if (!word.empty()) words.emplace_back(word);
    }
  }
  return words;
}

bool wanted(const std::string& name, const std::vector<std::string>& names) {
  if (names.empty()) return true;
  return std::ranges::any_of(
      names, [&](const std::string& word) { return name.find(word) != std::string::npos; });
}

std::string show(std::string_view url, const xds::ResourceMap& resources,
                 const std::vector<std::string>& names) {
  std::string out;
  for (const auto& [name, resource] : resources) {
    if (!wanted(name, names)) continue;
    google::protobuf::Any any;
    any.set_type_url(std::string(url));
    any.set_value(resource->bytes);
    std::string json;
    EXPECT_TRUE(google::protobuf::util::MessageToJsonString(any, &json).ok()) << name;
    auto parsed = object::parse_json(json);
    EXPECT_TRUE(parsed) << name;
    parsed->erase("@type");
    out += "---\n" + object::to_yaml(*parsed);
  }
  return out;
}

std::string translate(const std::string& text, Store& store, const std::string& proxy_name) {
  Proxy proxy;
  const std::size_t dot = proxy_name.rfind('.');
  const auto workload = store.workload(proxy_name.substr(dot + 1), proxy_name.substr(0, dot));
  EXPECT_TRUE(workload) << proxy_name;
  if (!workload) return {};
  const auto gateway = workload->labels.find("istio");
  proxy.kind = gateway != workload->labels.end() && gateway->second.ends_with("gressgateway")
                   ? ProxyKind::kGateway
                   : ProxyKind::kSidecar;
  proxy.name = proxy_name;
  proxy.name_space = workload->name_space;
  proxy.address = workload->address;
  proxy.labels = workload->labels;
  const std::vector<std::string> options = words_after(text, "with");
  proxy.auto_address = std::ranges::find(options, "auto-address") != options.end();
  const auto snapshot = scope_for(store.snapshot(), proxy);
  const std::vector<std::string> only = words_after(text, "only");
  const std::vector<std::string> names = words_after(text, "names");
  std::string out;
  const auto add = [&](const char* title, std::string_view url, const Resources& resources) {
    if (!only.empty() && std::ranges::find(only, title) == only.end()) return;
    out += std::string("##### ") + title + " of " + proxy_name + "\n";
    out += show(url, *resources, names);
  };
  add("listeners", api::kListenerType, translate_listeners(*snapshot, proxy));
  add("routes", api::kRouteType, translate_routes(*snapshot, proxy));
  add("clusters", api::kClusterType, translate_clusters(*snapshot, proxy));
  add("endpoints", api::kEndpointType, translate_endpoints(*snapshot, proxy));
  add("secrets", api::kSecretType, translate_secrets(*snapshot, proxy));
  return out;
}

class Golden : public ::testing::TestWithParam<std::string> {};

TEST_P(Golden, Translation) {
  const std::string text = read(kData / (GetParam() + ".yaml"));
  const auto documents = object::parse_manifest(text);
  ASSERT_TRUE(documents) << documents.error().message;
  Store store;
  for (const object::YamlDocument& document : *documents) {
    object::Json whole = document.value;
    if (!whole["metadata"].contains("namespace")) whole["metadata"]["namespace"] = "default";
    store.apply(whole);
  }
  for (const std::string& error : store.take_errors()) ADD_FAILURE() << error;
  std::string out;
  for (const std::string& proxy : words_after(text, "proxy")) out += translate(text, store, proxy);
  const fs::path expected = kData / (GetParam() + ".out");
  if (std::getenv("MIZZEN_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(expected) << out;
    return;
  }
  EXPECT_EQ(out, read(expected)) << "to accept: MIZZEN_UPDATE_GOLDEN=1";
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(kData, error)) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem());
  }
  std::ranges::sort(names);
  return names;
}

std::string case_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Testdata, Golden, ::testing::ValuesIn(cases()), case_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Golden);

}  // namespace
}  // namespace mizzen::control
