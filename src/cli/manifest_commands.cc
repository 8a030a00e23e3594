#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>

#include "cli/commands.h"
#include "config/crd.h"
#include "config/validate.h"
#include "object/kind.h"
#include "object/meta.h"
#include "object/yaml.h"

namespace mizzen::cli {
namespace {

// "VirtualService reviews.default", as far as the object says.
std::string title(const Json& object) {
  std::string name = object::name_of(object);
  std::string name_space = object::namespace_of(object);
  return fmt::format("{} {}{}{}", object.value("kind", "object"), name,
                     name_space.empty() ? "" : ".", name_space);
}

int validate_file(const std::string& path) {
  auto text = read_input(path);
  if (!text) return complain(text.error());
  auto documents = object::parse_manifest(*text);
  if (!documents) return complain(documents.error().in(path), kBadData);
  int errors = 0;
  for (const object::YamlDocument& document : *documents) {
    config::Validation found = config::validate(document.value);
    auto print = [&](const char* level, const std::vector<config::FieldError>& list) {
      for (const config::FieldError& error : list) {
        fmt::print("{} ({} {}:{}) {}\n", level, title(document.value), path, document.line,
                   object::to_string(error));
      }
    };
    print("Error", found.errors);
    print("Warning", found.warnings);
    errors += static_cast<int>(found.errors.size());
  }
  if (errors == 0) fmt::print("\"{}\" is valid\n", path);
  return errors == 0 ? 0 : kBadData;
}

int validate_files(const std::vector<std::string>& paths) {
  int code = 0;
  for (const std::string& path : paths) {
    if (int one = validate_file(path); one != 0) code = one;
  }
  return code;
}

// For a Kubernetes that is not the local cluster.
void print_crds() {
  for (const Json& crd : config::crds()) fmt::print("---\n{}", object::to_yaml(crd));
}

int kube_inject(const Application& application, const std::string& path, const std::string& out) {
  auto text = read_input(path);
  if (!text) return complain(text.error());
  auto injected = application.inject(*text);
  if (!injected) return complain(injected.error().in(path), kBadData);
  if (out.empty()) {
    fmt::print("{}", *injected);
    return 0;
  }
  std::ofstream file(out, std::ios::binary);
  file << *injected;
  return file ? 0 : complain({.message = "cannot write " + out});
}

}  // namespace

Result<std::string> read_input(const std::string& path) {
  std::string text;
  if (path == "-") {
    char buffer[65536];
    for (ssize_t got; (got = ::read(STDIN_FILENO, buffer, sizeof buffer)) > 0;) {
      text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Code::kNotFound, fmt::format("cannot read {}", path));
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void add_manifest_commands(CLI::App& app, Application& application) {
  auto file = std::make_shared<std::string>();
  auto output = std::make_shared<std::string>();

  CLI::App* validate = app.add_subcommand("validate", "check manifests without applying them");
  auto files = std::make_shared<std::vector<std::string>>();
  validate->add_option("-f,--filename,files", *files, "files, or - for standard input")->required();
  validate->callback([&application, files] { application.code = validate_files(*files); });

  CLI::App* manifest = app.add_subcommand("manifest", "manifests to apply with kubectl");
  manifest->require_subcommand(1);
  manifest->add_subcommand("crds", "print the definitions of Istio's kinds")->callback(print_crds);

  CLI::App* inject = app.add_subcommand("kube-inject", "put the sidecar into a manifest");
  inject->add_option("-f,--filename", *file, "a file, or - for standard input")->required();
  inject->add_option("-o,--output", *output, "a file; standard output unless given");
  inject->callback([&application, file, output] {
    application.code = kube_inject(application, *file, *output);
  });
}

}  // namespace mizzen::cli
