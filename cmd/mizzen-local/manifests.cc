#include "manifests.h"

#include "base/log.h"
#include "config/crd.h"
#include "demo.h"
#include "deploy/manifests.h"
#include "object/yaml.h"

namespace mizzen::local {
namespace {

void add_documents(std::string_view yaml, const std::string& step, std::vector<Manifest>& out) {
  auto documents = object::parse_manifest(yaml);
  if (!documents) {
    log::error("up", "{}: {}", step, documents.error().message);
    return;
  }
  for (auto& document : *documents) out.push_back({step, std::move(document.value)});
}

}  // namespace

std::vector<Manifest> installation_manifests() {
  std::vector<Manifest> out;
  for (auto& crd : config::crds())
    out.push_back({"Installing Istio's resource definitions", std::move(crd)});
  for (const deploy::Manifest& manifest : deploy::manifests()) {
    add_documents(manifest.yaml, "Installing the control plane and the gateways", out);
  }
  return out;
}

std::vector<Manifest> demo_manifests() {
  std::vector<Manifest> out;
  for (std::string_view yaml : kDemoManifests) add_documents(yaml, "Deploying Bookinfo", out);
  return out;
}

}  // namespace mizzen::local
