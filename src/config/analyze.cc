#include "config/analyze.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "config/analyze_world.h"
#include "config/validate.h"

namespace mizzen::config {
namespace {

std::string scalar(const Json* value) {
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  return value->is_number_integer() ? std::to_string(value->get<std::int64_t>()) : std::string();
}

std::vector<KnownPort> ports_of(const Json& ports) {
  std::vector<KnownPort> out;
  for (const Json& port : ports) {
    const bool entry = port.contains("number");
    out.push_back({static_cast<int>(object::int_at(port, {entry ? "number" : "port"})),
                   scalar(object::find(port, {"targetPort"})), object::string_at(port, {"name"})});
  }
  return out;
}

}  // namespace

const Json& list_at(const Json& value, std::initializer_list<std::string_view> path) {
  static const Json kEmpty = Json::array();
  const Json* found = object::find(value, path);
  return found != nullptr && found->is_array() ? *found : kEmpty;
}

std::vector<std::string> strings_at(const Json& value,
                                    std::initializer_list<std::string_view> path) {
  std::vector<std::string> out;
  for (const Json& one : list_at(value, path)) {
    if (one.is_string()) out.push_back(one.get<std::string>());
  }
  return out;
}

std::string Diagnosis::subject() const {
  if (name_space.empty() || kind == "Namespace") return fmt::format("{} {}", kind, name);
  return fmt::format("{} {}/{}", kind, name_space, name);
}

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::kInfo:
      return "Info";
    case Severity::kWarning:
      return "Warning";
    case Severity::kError:
      break;
  }
  return "Error";
}

std::string to_string(const Diagnosis& diagnosis) {
  std::string where = diagnosis.subject();
  if (!diagnosis.file.empty()) where += fmt::format(" {}:{}", diagnosis.file, diagnosis.line);
  return fmt::format("{} [{}] ({}) {}", to_string(diagnosis.severity), diagnosis.code, where,
                     diagnosis.text);
}

std::vector<Diagnosis> analyze(const std::vector<SourcedObject>& objects,
                               const AnalysisScope& scope) {
  AnalysisWorld world(objects, scope);
  analyze_schemas(world);
  analyze_virtual_services(world);
  analyze_destination_rules(world);
  analyze_gateways(world);
  analyze_sidecars(world);
  analyze_policies(world);
  analyze_injection(world);
  analyze_services(world);
  std::vector<Diagnosis> found = world.take();
  const auto order = [](const Diagnosis& one) {
    return std::tuple(-static_cast<int>(one.severity), one.name_space, one.kind, one.name, one.code,
                      one.text);
  };
  std::ranges::sort(found, {}, order);
  const auto twice = std::ranges::unique(found, {}, order);
  found.erase(twice.begin(), twice.end());
  return found;
}

AnalysisWorld::AnalysisWorld(const std::vector<SourcedObject>& objects, AnalysisScope scope)
    : scope_(std::move(scope)) {
  std::map<std::tuple<std::string, std::string, std::string>, const SourcedObject*> latest;
  for (const SourcedObject& one : objects) {
    // Its Gateway is another one.
    if (object::string_at(one.value, {"apiVersion"}).starts_with("gateway.networking.k8s.io/"))
      continue;
    latest[{object::string_at(one.value, {"kind"}), object::namespace_of(one.value),
            object::name_of(one.value)}] = &one;
  }
  for (const auto& [key, one] : latest) by_kind_[std::get<0>(key)].push_back(one);
  for (const char* kind : {"Service", "ServiceEntry"}) {
    for (const SourcedObject* one : of_kind(kind)) add_host(*one);
  }
  for (const char* kind : {"Pod", "Deployment", "StatefulSet", "DaemonSet"}) {
    for (const SourcedObject* one : of_kind(kind)) add_pod(*one);
  }
}

void AnalysisWorld::add_host(const SourcedObject& source) {
  const Json& value = source.value;
  KnownHost known{ports_of(list_at(value, {"spec", "ports"})), &source};
  if (object::string_at(value, {"kind"}) == "Service") {
    hosts_[full_host(object::name_of(value), object::namespace_of(value))] = std::move(known);
    return;
  }
  for (const Json& host : list_at(value, {"spec", "hosts"})) {
    if (host.is_string()) hosts_.try_emplace(host.get<std::string>(), known);
  }
}

void AnalysisWorld::add_pod(const SourcedObject& source) {
  const Json& value = source.value;
  const bool is_pod = object::string_at(value, {"kind"}) == "Pod";
  if (is_pod) {
    const std::string phase = object::string_at(value, {"status", "phase"});
    if (phase == "Succeeded" || phase == "Failed") return;
  }
  const Json* labels = is_pod ? object::find(value, {"metadata", "labels"})
                              : object::find(value, {"spec", "template", "metadata", "labels"});
  pods_.push_back({object::name_of(value), object::namespace_of(value), object::string_map(labels),
                   &source, !is_pod});
}

const std::vector<const SourcedObject*>& AnalysisWorld::of_kind(std::string_view kind) const {
  static const std::vector<const SourcedObject*> kNone;
  const auto found = by_kind_.find(kind);
  return found == by_kind_.end() ? kNone : found->second;
}

std::string AnalysisWorld::full_host(std::string_view written, std::string_view name_space) const {
  if (written.find('.') != written.npos || written.starts_with('*')) return std::string(written);
  return fmt::format("{}.{}.svc.{}", written, name_space, scope_.domain);
}

const KnownHost* AnalysisWorld::host(std::string_view written, std::string_view name_space) const {
  const std::string full = full_host(written, name_space);
  if (const auto found = hosts_.find(full); found != hosts_.end()) return &found->second;
  for (const auto& [host, known] : hosts_) {
    if (host.starts_with('*') && hosts_overlap(host, full)) return &known;
  }
  return nullptr;
}

bool AnalysisWorld::has_pod(std::string_view name_space, const StringMap& labels) const {
  return std::ranges::any_of(pods_, [&](const KnownPod& pod) {
    return (name_space.empty() || pod.name_space == name_space) && covers(labels, pod.labels);
  });
}

bool AnalysisWorld::has_namespace(std::string_view name) const {
  return find("Namespace", "", name) != nullptr;
}

const SourcedObject* AnalysisWorld::find(std::string_view kind, std::string_view name_space,
                                         std::string_view name) const {
  for (const SourcedObject* one : of_kind(kind)) {
    if (object::name_of(one->value) == name && object::namespace_of(one->value) == name_space)
      return one;
  }
  return nullptr;
}

bool AnalysisWorld::injects(std::string_view name_space) const {
  const SourcedObject* found = find("Namespace", "", name_space);
  if (found == nullptr) return false;
  const auto label = object::label_of(found->value, "istio-injection");
  return label ? *label == "enabled" : object::label_of(found->value, "istio.io/rev").has_value();
}

void AnalysisWorld::add(const SourcedObject& about, Severity severity, std::string_view code,
                        std::string text) {
  const std::string kind = object::string_at(about.value, {"kind"});
  const std::string name = object::name_of(about.value);
  found_.push_back({severity, code, kind,
                    kind == "Namespace" ? name : object::namespace_of(about.value), name,
                    about.file, about.line, std::move(text)});
}

bool is_system_namespace(std::string_view name) {
  return name == "kube-system" || name == "kube-public" || name == "kube-node-lease" ||
         name == "local-path-storage";
}

std::string selector_text(const StringMap& labels) {
  std::string out;
  for (const auto& [key, value] : labels)
    out += fmt::format("{}{}={}", out.empty() ? "" : ",", key, value);
  return out;
}

bool covers(const StringMap& wanted, const StringMap& have) {
  return std::ranges::all_of(wanted, [&](const auto& pair) {
    const auto found = have.find(pair.first);
    return found != have.end() && found->second == pair.second;
  });
}

bool hosts_overlap(std::string_view a, std::string_view b) {
  if (a == "*" || b == "*" || a == b) return true;
  const auto within = [](std::string_view wild, std::string_view other) {
    if (!wild.starts_with('*')) return false;
    wild.remove_prefix(1);
    return other.starts_with('*') ? other.ends_with(wild)
                                  : other.size() > wild.size() && other.ends_with(wild);
  };
  return within(a, b) || within(b, a);
}

// Each object by itself: what the webhook would say.
void analyze_schemas(AnalysisWorld& world) {
  for (const Kind& kind : kinds()) {
    if (!kind.custom) continue;
    for (const SourcedObject* one : world.of_kind(kind.kind)) {
      if (object::string_at(one->value, {"apiVersion"}).find(kind.group) != 0) continue;
      const Validation checked = validate(kind, one->value);
      for (const FieldError& error : checked.errors)
        world.tell(*one, Severity::kError, "IST0106", "Schema validation error: {}",
                   object::to_string(error));
      for (const FieldError& warning : checked.warnings) {
        // IST0130 says the same of a VirtualService, by the rule's name.
        if (warning.message.starts_with("is never reached")) continue;
        world.tell(*one, Severity::kWarning, "IST0133", "Schema validation warning: {}",
                   object::to_string(warning));
      }
    }
  }
}

}  // namespace mizzen::config
