// Are resources right together? What validate() cannot see in one object alone: references that
// lead nowhere, rules that shadow each other, pods that no sidecar stands beside. Codes, levels and
// words are those of Istio's analysers (https://istio.io/latest/docs/reference/config/analysis/).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "object/json.h"

namespace mizzen::config {

// An object, and where it was written; `file` is empty for one of the cluster.
struct SourcedObject {
  object::Json value;
  std::string file;
  int line = 0;
};

enum class Severity : std::uint8_t { kInfo, kWarning, kError };

struct Diagnosis {
  Severity severity = Severity::kError;
  std::string_view code;  // "IST0101"
  std::string kind;
  std::string name_space;  // of the object; of a Namespace its own name
  std::string name;
  std::string file;
  int line = 0;
  std::string text;

  // "VirtualService default/reviews", "Namespace default".
  std::string subject() const;
};

struct AnalysisScope {
  std::string root_namespace = "istio-system";
  std::string domain = "cluster.local";
};

// Everything that is found, by severity (the worst first), namespace, object and code. Of two
// objects with the same kind, namespace and name the later one counts: files come after what the
// cluster has. Pure; any thread.
std::vector<Diagnosis> analyze(const std::vector<SourcedObject>& objects,
                               const AnalysisScope& scope = {});

std::string_view to_string(Severity severity);
// "Error [IST0101] (VirtualService default/reviews file.yaml:3) Referenced host not found: ...".
std::string to_string(const Diagnosis& diagnosis);

}  // namespace mizzen::config
