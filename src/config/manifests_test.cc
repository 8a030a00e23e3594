// Every upstream manifest must parse without an unknown field.
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "config/validate.h"
#include "object/walker.h"
#include "object/yaml.h"

namespace mizzen::config {
namespace {

// Groups that belong to later issues or to other projects.
bool foreign(const std::string& group) {
  return group == "config.istio.io" || group == "gateway.networking.k8s.io" ||
         group == "certmanager.k8s.io" || group == "cert-manager.io";
}

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(Manifests, ParseWithoutUnknownFields) {
  const char* root = std::getenv("MIZZEN_MANIFESTS");
  if (!root) GTEST_SKIP() << "MIZZEN_MANIFESTS is not set";
  int objects = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".yaml" ||
        entry.path().string().find("/mixer/") != std::string::npos) {
      continue;
    }
    SCOPED_TRACE(entry.path().string());
    auto documents = object::parse_manifest(read(entry.path()));
    if (!documents) {
      ADD_FAILURE() << documents.error().message;
      continue;
    }
    for (const auto& document : *documents) {
      auto name = object::kind_of(document.value);
      if (!name) continue;
      if (foreign(name->group)) continue;
      auto kind = kind_for(document.value);
      ASSERT_TRUE(kind) << kind.error().message;
      ASSERT_NE((*kind)->descriptor, nullptr) << name->kind;
      auto errors = validate(**kind, document.value).errors;
      EXPECT_TRUE(errors.empty()) << name->kind << " line " << document.line << "\n"
                                  << object::to_string(errors);
      ++objects;
    }
  }
  EXPECT_GT(objects, 100);
}

}  // namespace
}  // namespace mizzen::config
