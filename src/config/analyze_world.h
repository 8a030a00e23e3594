// What the analysers look at and write to. Internal to config.
#pragma once

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/analyze.h"
#include "object/meta.h"

namespace mizzen::config {

using object::Json;
using object::StringMap;

// A port of a Service or a ServiceEntry.
struct KnownPort {
  int number = 0;
  std::string target;  // number or name; "" is the same number
  std::string name;
};

// A host that can be a destination.
struct KnownHost {
  std::vector<KnownPort> ports;
  const SourcedObject* source = nullptr;  // Service or ServiceEntry
};

// A pod, or the template of one when only its maker is known.
struct KnownPod {
  std::string name;
  std::string name_space;
  StringMap labels;
  const SourcedObject* source = nullptr;
  bool is_template = false;
};

class AnalysisWorld {
 public:
  AnalysisWorld(const std::vector<SourcedObject>& objects, AnalysisScope scope);

  const std::vector<const SourcedObject*>& of_kind(std::string_view kind) const;
  // By the name that a rule of `name_space` writes: short names are of that namespace. Wildcard
  // hosts of ServiceEntries count. Null when there is none.
  const KnownHost* host(std::string_view written, std::string_view name_space) const;
  std::string full_host(std::string_view written, std::string_view name_space) const;
  const std::vector<KnownPod>& pods() const { return pods_; }
  bool has_pod(std::string_view name_space, const StringMap& labels) const;
  // "": any namespace.
  bool has_namespace(std::string_view name) const;
  const SourcedObject* find(std::string_view kind, std::string_view name_space,
                            std::string_view name) const;
  // Whether pods of a namespace get a sidecar, by its labels.
  bool injects(std::string_view name_space) const;
  const AnalysisScope& scope() const { return scope_; }

  template <class... Args>
  void tell(const SourcedObject& about, Severity severity, std::string_view code,
            fmt::format_string<Args...> format, Args&&... args) {
    add(about, severity, code, fmt::format(format, std::forward<Args>(args)...));
  }
  std::vector<Diagnosis> take() { return std::move(found_); }

 private:
  void add(const SourcedObject& about, Severity severity, std::string_view code, std::string text);
  void add_host(const SourcedObject& source);
  void add_pod(const SourcedObject& source);

  AnalysisScope scope_;
  std::map<std::string, std::vector<const SourcedObject*>, std::less<>> by_kind_;
  std::map<std::string, KnownHost, std::less<>> hosts_;
  std::vector<KnownPod> pods_;
  std::vector<Diagnosis> found_;
};

// The list at a path, an empty one when there is none; and the strings of one.
const Json& list_at(const Json& value, std::initializer_list<std::string_view> path);
std::vector<std::string> strings_at(const Json& value,
                                    std::initializer_list<std::string_view> path);
// The namespaces of Kubernetes itself, which are nobody's mesh.
bool is_system_namespace(std::string_view name);
// "a=1,b=2".
std::string selector_text(const StringMap& labels);
bool covers(const StringMap& wanted, const StringMap& have);
// Whether two hosts, perhaps with a wildcard in front, have a name in common.
bool hosts_overlap(std::string_view a, std::string_view b);

// --- the analysers -------------------------------------------------------------------------------
void analyze_schemas(AnalysisWorld& world);
void analyze_virtual_services(AnalysisWorld& world);
void analyze_destination_rules(AnalysisWorld& world);
void analyze_gateways(AnalysisWorld& world);
void analyze_sidecars(AnalysisWorld& world);
void analyze_policies(AnalysisWorld& world);
void analyze_injection(AnalysisWorld& world);
void analyze_services(AnalysisWorld& world);

}  // namespace mizzen::config
