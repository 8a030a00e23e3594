#include "control/mesh/ingest.h"

#include <algorithm>

#include "api/names.h"
#include "base/strings.h"
#include "object/meta.h"

namespace mizzen::control {

using object::Json;

namespace {

ServicePort read_port(const Json& port) {
  ServicePort out;
  out.name = object::string_at(port, {"name"});
  out.number = static_cast<std::uint16_t>(object::int_at(port, {"port"}));
  out.node_port = static_cast<std::uint16_t>(object::int_at(port, {"nodePort"}));
  if (const Json* target = object::find(port, {"targetPort"})) {
    out.target = target->is_string() ? target->get<std::string>() : target->dump();
  }
  out.protocol = select_protocol(object::string_at(port, {"appProtocol"}), out.name, out.number,
                                 object::string_at(port, {"protocol"}, "TCP"));
  return out;
}

// A Deployment's pods belong to a ReplicaSet named "<deployment>-<hash>".
void read_owner(const Json& object, Workload* out) {
  const object::Meta meta = object::meta_of(object);
  const object::OwnerReference* owner = meta.controller();
  if (owner == nullptr) {
    out->owner_name = out->name;
    out->owner_kind = "Pod";
    return;
  }
  out->owner_name = owner->name;
  out->owner_kind = owner->kind;
  if (owner->kind != "ReplicaSet") return;
  const auto hash = out->labels.find("pod-template-hash");
  if (hash == out->labels.end()) return;
  const std::string suffix = "-" + hash->second;
  if (!owner->name.ends_with(suffix)) return;
  out->owner_name = owner->name.substr(0, owner->name.size() - suffix.size());
  out->owner_kind = "Deployment";
}

}  // namespace

Labels read_labels(const Json* value) {
  Labels labels;
  if (value == nullptr || !value->is_object()) return labels;
  for (const auto& [key, text] : value->items()) {
    if (text.is_string()) labels[key] = text.get<std::string>();
  }
  return labels;
}

std::int64_t read_created(const Json& object) {
  const auto time =
      object::parse_time(object::string_at(object, {"metadata", "creationTimestamp"}));
  if (!time) return 0;
  return std::chrono::duration_cast<std::chrono::seconds>(time->time_since_epoch()).count();
}

std::string read_key(const Json& object) {
  return object::string_at(object, {"metadata", "namespace"}) + "/" +
         object::string_at(object, {"metadata", "name"});
}

Service read_service(const Json& object, const MeshConfig& mesh) {
  Service out;
  out.name = object::string_at(object, {"metadata", "name"});
  out.name_space = object::string_at(object, {"metadata", "namespace"});
  out.host = out.name + "." + out.name_space + ".svc." + mesh.domain;
  out.created = read_created(object);
  out.selector = read_labels(object::find(object, {"spec", "selector"}));
  if (object::string_at(object, {"spec", "type"}) == "ExternalName") {
    out.external_name = object::string_at(object, {"spec", "externalName"});
    out.resolution = Resolution::kDns;
  } else {
    const std::string address = object::string_at(object, {"spec", "clusterIP"});
    out.headless = address == "None";
    if (out.headless) out.resolution = Resolution::kPassthrough;
    if (const Json* list = object::find(object, {"spec", "clusterIPs"}); list && !out.headless) {
      for (const Json& ip : *list) {
        if (ip.is_string()) out.addresses.push_back(ip.get<std::string>());
      }
    }
    if (out.addresses.empty() && !address.empty() && !out.headless) {
      out.addresses.push_back(address);
    }
  }
  if (const Json* ports = object::find(object, {"spec", "ports"}); ports && ports->is_array()) {
    for (const Json& port : *ports) out.ports.push_back(read_port(port));
  }
  const std::string export_to =
      object::string_at(object, {"metadata", "annotations", "networking.istio.io/exportTo"});
  for (const std::string_view part : split(export_to, ',')) {
    if (const std::string_view name = trim(part); !name.empty()) out.export_to.emplace_back(name);
  }
  return out;
}

Workload read_pod(const Json& object) {
  Workload out;
  out.name = object::string_at(object, {"metadata", "name"});
  out.name_space = object::string_at(object, {"metadata", "namespace"});
  out.uid = object::string_at(object, {"metadata", "uid"});
  out.labels = read_labels(object::find(object, {"metadata", "labels"}));
  out.address = object::string_at(object, {"status", "podIP"});
  out.node = object::string_at(object, {"spec", "nodeName"});
  out.service_account = object::string_at(object, {"spec", "serviceAccountName"}, "default");
  out.host_network = object::bool_at(object, {"spec", "hostNetwork"});
  const auto mode = out.labels.find(api::kTlsModeLabel);
  out.tls = mode != out.labels.end() && mode->second == api::kTlsModeIstio;
  const std::string phase = object::string_at(object, {"status", "phase"});
  out.over = phase == "Succeeded" || phase == "Failed";
  out.ready = !out.over && object::find(object, {"metadata", "deletionTimestamp"}) == nullptr;
  const Json* conditions = object::find(object, {"status", "conditions"});
  for (std::size_t i = 0; conditions && conditions->is_array() && i < conditions->size(); ++i) {
    const Json& condition = (*conditions)[i];
    if (object::string_at(condition, {"type"}) != "Ready") continue;
    out.ready = out.ready && object::string_at(condition, {"status"}) == "True";
  }
  read_owner(object, &out);
  return out;
}

std::string read_locality(const Labels& labels) {
  const auto part = [&](const char* key) {
    const auto found = labels.find(key);
    return found == labels.end() ? std::string() : found->second;
  };
  std::string out = part("topology.kubernetes.io/region");
  const std::string zone = part("topology.kubernetes.io/zone");
  const std::string sub_zone = part("topology.istio.io/subzone");
  if (!zone.empty() || !sub_zone.empty()) out += "/" + zone;
  if (!sub_zone.empty()) out += "/" + sub_zone;
  return out;
}

}  // namespace mizzen::control
