// `analyze`: what config::analyze finds in the cluster and in files.
#include "config/analyze.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "cli/commands.h"
#include "config/kinds.h"
#include "object/meta.h"
#include "object/yaml.h"

namespace mizzen::cli {
namespace {

using config::Diagnosis;
using config::Severity;
using config::SourcedObject;

constexpr int kFoundIssues = 79;
constexpr std::string_view kDocument = "https://istio.io/latest/docs/reference/config/analysis";

struct AnalyzeArguments {
  std::vector<std::string> files;
  bool all_namespaces = false;
  bool use_kube = true;
  bool recursive = false;
  bool ignore_unknown = false;
  std::string threshold = "Error";        // exit 79 from this severity on
  std::string output_threshold = "Info";  // print from this severity on
  std::string output = "log";
  std::vector<std::string> suppressed;  // "IST0102=Namespace default"
};

std::optional<Severity> severity_of(std::string_view word) {
  for (Severity one : {Severity::kInfo, Severity::kWarning, Severity::kError}) {
    if (config::to_string(one) == word) return one;
  }
  return std::nullopt;
}

// Kinds of the cluster that analysers look at: Istio's, and these.
bool of_interest(const config::Kind& kind) {
  if (!kind.stored) return false;
  if (kind.custom) return true;
  static constexpr std::string_view kKinds[] = {"Namespace",  "Service",     "Pod",
                                                "Deployment", "StatefulSet", "DaemonSet"};
  return std::ranges::find(kKinds, kind.kind) != std::end(kKinds);
}

Status read_cluster(Session& session, std::vector<SourcedObject>& out) {
  for (const config::Kind& kind : config::kinds()) {
    // Of secrets the name is enough, but there is no way to ask for names alone that all servers
    // know.
    if (!of_interest(kind) && kind.kind != "Secret") continue;
    const kube::Resource resource{std::string(kind.group), std::string(kind.storage_version()),
                                  std::string(kind.plural), kind.namespaced};
    auto objects = session.list(resource, "", "");
    if (!objects && objects.error().code == Code::kNotFound) continue;  // not installed there
    if (!objects) return std::unexpected(objects.error().in(std::string(kind.plural)));
    for (Json& one : *objects) {
      if (kind.kind == "Secret") one.erase("data");
      out.push_back({std::move(one), "", 0});
    }
  }
  return {};
}

bool is_manifest(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

// Files of the arguments; folders give their manifests.
Result<std::vector<std::string>> files_of(const AnalyzeArguments& arguments) {
  std::vector<std::string> out;
  std::error_code error;
  for (const std::string& path : arguments.files) {
    if (path == "-" || !std::filesystem::is_directory(path, error)) {
      out.push_back(path);
      continue;
    }
    const auto add = [&](const std::filesystem::directory_entry& entry) {
      if (entry.is_regular_file() && is_manifest(entry.path()))
        out.push_back(entry.path().string());
    };
    if (arguments.recursive) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) add(entry);
    } else {
      for (const auto& entry : std::filesystem::directory_iterator(path)) add(entry);
    }
  }
  std::ranges::sort(out);
  return out;
}

// Objects of no namespace are those of the chosen one.
void place(Json& value, const std::string& name_space) {
  auto kind = config::kind_for(value);
  if (!kind || !(*kind)->namespaced || !object::namespace_of(value).empty()) return;
  value["metadata"]["namespace"] = name_space;
}

Status read_files(const AnalyzeArguments& arguments, const std::string& name_space,
                  std::vector<SourcedObject>& out) {
  MIZZEN_TRY(const auto files, files_of(arguments));
  for (const std::string& file : files) {
    MIZZEN_TRY(const std::string text, read_input(file));
    auto documents = object::parse_manifest(text);
    if (!documents && arguments.ignore_unknown) continue;
    if (!documents) {
      Error error = documents.error().in(file);
      error.code = Code::kInvalid;
      return std::unexpected(error);
    }
    for (object::YamlDocument& document : *documents) {
      place(document.value, name_space);
      out.push_back({std::move(document.value), file == "-" ? "stdin" : file, document.line});
    }
  }
  return {};
}

bool is_suppressed(const Diagnosis& one, const std::vector<std::string>& patterns) {
  return std::ranges::any_of(patterns, [&](std::string_view pattern) {
    const auto equals = pattern.find('=');
    if (pattern.substr(0, equals) != one.code) return false;
    if (equals == pattern.npos) return true;
    std::string_view wanted = pattern.substr(equals + 1);
    // "Kind name.namespace", as istioctl's flag has it; "*" for any.
    const std::string name =
        fmt::format("{} {}{}{}", one.kind, one.name, one.kind == "Namespace" ? "" : ".",
                    one.kind == "Namespace" ? "" : one.name_space);
    if (wanted.ends_with('*')) return name.starts_with(wanted.substr(0, wanted.size() - 1));
    return wanted == name || wanted == one.subject();
  });
}

Json as_json(const std::vector<Diagnosis>& found) {
  Json out = Json::array();
  for (const Diagnosis& one : found) {
    Json entry = {{"code", one.code},
                  {"documentationUrl", fmt::format("{}/{}/", kDocument, one.code)},
                  {"level", config::to_string(one.severity)},
                  {"message", one.text},
                  {"origin", one.subject()}};
    if (!one.file.empty()) entry["reference"] = fmt::format("{}:{}", one.file, one.line);
    out.push_back(std::move(entry));
  }
  return out;
}

std::string colour(const Diagnosis& one, std::string line) {
  if (!isatty(STDOUT_FILENO)) return line;
  const int code = one.severity == Severity::kError     ? 31
                   : one.severity == Severity::kWarning ? 33
                                                        : 34;
  const auto level = config::to_string(one.severity).size();
  return fmt::format("\033[1;{}m{}\033[0m{}", code, line.substr(0, level), line.substr(level));
}

// "namespace: default", "all namespaces", or the files.
std::string scope_of(const AnalyzeArguments& arguments, const std::string& name_space) {
  if (!arguments.use_kube) return fmt::format("{}", fmt::join(arguments.files, " "));
  return arguments.all_namespaces ? "all namespaces" : "namespace: " + name_space;
}

int print(const AnalyzeArguments& arguments, const std::string& name_space,
          const std::vector<Diagnosis>& found) {
  const Severity threshold = *severity_of(arguments.threshold);
  const bool bad =
      std::ranges::any_of(found, [&](const Diagnosis& one) { return one.severity >= threshold; });
  if (arguments.output != "log") {
    auto text = format_as(as_json(found), arguments.output);
    if (!text) return complain(text.error(), kUsage);
    fmt::print("{}", *text);
    return bad ? kFoundIssues : 0;
  }
  const Severity shown = *severity_of(arguments.output_threshold);
  for (const Diagnosis& one : found) {
    if (one.severity >= shown) fmt::print("{}\n", colour(one, config::to_string(one)));
  }
  const std::string scope = scope_of(arguments, name_space);
  if (found.empty()) fmt::print("✔ No validation issues found when analyzing {}.\n", scope);
  std::fflush(stdout);
  if (!bad) return 0;
  fmt::print(stderr,
             "Error: Analyzers found issues when analyzing {}.\nSee {} for more information about "
             "causes and resolutions.\n",
             scope, kDocument);
  return kFoundIssues;
}

int run(const Application& application, const AnalyzeArguments& arguments) {
  if (!severity_of(arguments.threshold) || !severity_of(arguments.output_threshold))
    return complain({.message = "a threshold is one of Info, Warning and Error"}, kUsage);
  if (!arguments.use_kube && arguments.files.empty())
    return complain({.message = "--use-kube=false needs files"}, kUsage);
  std::vector<SourcedObject> objects;
  std::string name_space =
      application.flags.name_space.empty() ? "default" : application.flags.name_space;
  if (arguments.use_kube) {
    auto session = Session::open(application.flags);
    if (!session) return complain(session.error());
    name_space = (*session)->name_space();
    if (Status read = read_cluster(**session, objects); !read) return complain(read.error());
  }
  if (Status read = read_files(arguments, name_space, objects); !read)
    return complain(read.error(), read.error().code == Code::kInvalid ? kBadData : 1);
  auto found = config::analyze(objects, {.root_namespace = application.flags.istio_namespace});
  std::erase_if(found, [&](const Diagnosis& one) {
    if (is_suppressed(one, arguments.suppressed)) return true;
    // What a file brings is always of interest.
    const bool elsewhere = !arguments.all_namespaces && arguments.use_kube && one.file.empty() &&
                           one.name_space != name_space;
    return elsewhere;
  });
  return print(arguments, name_space, found);
}

}  // namespace

void add_analyze_command(CLI::App& app, Application& application) {
  auto arguments = std::make_shared<AnalyzeArguments>();
  CLI::App* command = app.add_subcommand(
      "analyze", "look for mistakes in the cluster's configuration and in files");
  command->add_option("files", arguments->files, "manifests, folders of them, or -");
  command->add_flag("-A,--all-namespaces", arguments->all_namespaces, "of all namespaces");
  command->add_option("-k,--use-kube", arguments->use_kube, "false: files alone")->expected(0, 1);
  command->add_flag("-R,--recursive", arguments->recursive, "folders with all below them");
  command->add_flag("--ignore-unknown", arguments->ignore_unknown, "pass over what is no manifest");
  command->add_option("--failure-threshold", arguments->threshold,
                      "exit with 79 from here: Info, Warning or Error");
  command->add_option("--output-threshold", arguments->output_threshold,
                      "print from here: Info, Warning or Error");
  command->add_option("-o,--output", arguments->output, "log, json or yaml");
  command
      ->add_option("-S,--suppress", arguments->suppressed,
                   "CODE, or \"CODE=Kind name.namespace\"; more than once")
      ->expected(1)
      ->take_all();
  command->callback([&application, arguments] { application.code = run(application, *arguments); });
}

}  // namespace mizzen::cli
