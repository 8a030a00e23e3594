#include "config/validate.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <map>

#include "config/rules.h"
#include "istio/networking.pb.h"
#include "istio/security.pb.h"
#include "object/walker.h"

namespace mizzen::config {
namespace {

template <class ObjectMessage, class Spec, void (*Check)(Findings&, const Spec&)>
std::vector<FieldError> run(const Json& object, Findings& findings) {
  ObjectMessage message;
  auto errors = object::decode(object, &message);
  Check(findings, message.spec());
  return errors;
}

using Rule = std::vector<FieldError> (*)(const Json&, Findings&);

const std::map<std::string_view, Rule>& rules() {
  using namespace schema;  // NOLINT: a table of their names
  static const std::map<std::string_view, Rule> table = {
      {"VirtualService", run<VirtualServiceObject, VirtualService, check_virtual_service>},
      {"DestinationRule", run<DestinationRuleObject, DestinationRule, check_destination_rule>},
      {"Gateway", run<GatewayObject, Gateway, check_gateway>},
      {"PeerAuthentication",
       run<PeerAuthenticationObject, PeerAuthentication, check_peer_authentication>},
      {"AuthorizationPolicy",
       run<AuthorizationPolicyObject, AuthorizationPolicy, check_authorization_policy>},
      {"RequestAuthentication",
       run<RequestAuthenticationObject, RequestAuthentication, check_request_authentication>},
      {"ServiceEntry", run<ServiceEntryObject, ServiceEntry, check_service_entry>},
      {"Sidecar", run<SidecarObject, Sidecar, check_sidecar>},
      {"WorkloadEntry", run<WorkloadEntryObject, WorkloadEntry, check_workload_entry>},
      {"WorkloadGroup", run<WorkloadGroupObject, WorkloadGroup, check_workload_group>},
  };
  return table;
}

// What to write where a required field is missing, by the field's name.
std::string example_for(std::string_view path) {
  static const std::map<std::string_view, std::string_view> kExamples = {
      {"host", "write the service's name, such as host: reviews"},
      {"destination", "write destination with a host, such as destination: {host: reviews}"},
      {"number", "write the port's number, such as number: 80"},
      {"protocol", "write the protocol, such as protocol: HTTP"},
      {"port", "write port with number, name and protocol"},
      {"hosts", "write a list of host names, or [\"*\"]"},
      {"name", "give it a name"},
      {"sniHosts", "write the host names of the TLS handshake"},
      {"match", "write what it applies to"},
      {"key", "write the condition's key, such as source.namespace"},
      {"status", "write an HTTP status, such as status: 200"},
      {"template",
       "write what its machines have in common, such as template: {serviceAccount: vm}"},
  };
  auto it = kExamples.find(path.substr(path.rfind('.') + 1));
  return it == kExamples.end() ? "write it" : std::string(it->second);
}

// One finding per path: what the schema says goes before what the rules say.
void merge(std::vector<FieldError> structure, Validation* out) {
  for (FieldError& error : structure) {
    if (error.problem == FieldError::Problem::kRequired)
      error.message = "is missing: " + example_for(error.path);
  }
  std::erase_if(out->errors, [&](const FieldError& rule) {
    return std::ranges::any_of(structure, [&](const FieldError& error) {
      return rule.path == error.path || rule.path.starts_with(error.path + ".");
    });
  });
  out->errors.insert(out->errors.begin(), std::make_move_iterator(structure.begin()),
                     std::make_move_iterator(structure.end()));
}

}  // namespace

Validation validate(const Kind& kind, const Json& object) {
  Findings findings;
  std::vector<FieldError> structure;
  auto rule = kind.custom ? rules().find(kind.kind) : rules().end();
  if (rule != rules().end()) {
    if (!object::find(object, {"spec"})) {
      findings.error("spec", "is missing");
    }
    structure = rule->second(object, findings);
  } else if (kind.descriptor) {
    structure = object::check(object, *kind.descriptor);
  }
  Validation out = findings.take();
  merge(std::move(structure), &out);
  return out;
}

Validation validate(const Json& object) {
  auto kind = kind_for(object);
  if (kind) return validate(**kind, object);
  Validation out;
  out.errors.push_back({"kind", kind.error().message, FieldError::Problem::kUnknown});
  return out;
}

}  // namespace mizzen::config
