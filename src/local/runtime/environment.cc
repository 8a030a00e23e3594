#include "local/runtime/environment.h"

#include <fmt/core.h>

#include <thread>

#include "base/strings.h"
#include "local/runtime/quantity.h"

namespace mizzen::local {
namespace {

void set(Environment& environment, std::string name, std::string value) {
  for (auto& [key, old] : environment) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  environment.emplace_back(std::move(name), std::move(value));
}

std::string double_quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}

// One `key="value"` line each, as volumes of the downward API have them.
std::string map_lines(const Json& map) {
  std::string out;
  for (const auto& [key, value] : map.items()) {
    if (!value.is_string()) continue;
    if (!out.empty()) out += '\n';
    out += key + "=" + double_quoted(value.get_ref<const std::string&>());
  }
  return out;
}

std::string variable_name(std::string_view service) {
  std::string out;
  for (char c : service) {
    bool lower_case = c >= 'a' && c <= 'z';
    out += lower_case ? static_cast<char>(c - 'a' + 'A') : c == '-' || c == '.' ? '_' : c;
  }
  return out;
}

void add_service(Environment& out, const Json& service) {
  std::string ip = text_at(service, {"spec", "clusterIP"});
  const Json& ports = at_path(service, {"spec", "ports"});
  if (ip.empty() || ip == "None" || !ports.is_array() || ports.empty()) return;
  std::string name = variable_name(name_of(service));
  set(out, name + "_SERVICE_HOST", ip);
  bool first = true;
  for (const Json& port : ports) {
    std::string number = std::to_string(port.value("port", 0));
    std::string protocol = lower(port.value("protocol", "TCP"));
    std::string url = fmt::format("{}://{}:{}", protocol, ip, number);
    if (first) {
      set(out, name + "_SERVICE_PORT", number);
      set(out, name + "_PORT", url);
    }
    if (std::string port_name = port.value("name", ""); !port_name.empty()) {
      set(out, name + "_SERVICE_PORT_" + variable_name(port_name), number);
    }
    std::string prefix = name + "_PORT_" + number + "_" + variable_name(protocol);
    set(out, prefix, url);
    set(out, prefix + "_PROTO", protocol);
    set(out, prefix + "_PORT", number);
    set(out, prefix + "_ADDR", ip);
    first = false;
  }
}

// The named ConfigMap or Secret; null when it is not there but may be missing.
Result<Object> source_object(const Store& store, const char* resource, const Json& reference,
                             const std::string& ns) {
  std::string name = reference.value("name", "");
  Object object = store.get({resource, ns, name});
  if (object == nullptr && !reference.value("optional", false)) {
    bool secret = std::string_view(resource) == "secrets";
    return fail(Code::kNotFound,
                fmt::format("{} \"{}\" not found", secret ? "secret" : "configmap", name));
  }
  return object;
}

Result<std::optional<std::string>> key_value(const Store& store, const char* resource,
                                             const Json& reference, const std::string& ns) {
  MIZZEN_TRY(Object object, source_object(store, resource, reference, ns));
  std::string key = reference.value("key", "");
  if (object != nullptr) {
    const Json& value = at_path(*object, {"data", key});
    if (value.is_string()) {
      std::string text = value.get<std::string>();
      if (std::string_view(resource) == "secrets") text = base64_decode(text).value_or("");
      return std::optional(text);
    }
  }
  if (reference.value("optional", false)) return std::optional<std::string>();
  return fail(Code::kNotFound, fmt::format("couldn't find key {} in {} {}/{}", key, resource, ns,
                                           reference.value("name", "")));
}

Status add_env_from(Environment& out, const Store& store, const Json& from, const std::string& ns) {
  std::string prefix = from.value("prefix", "");
  for (auto [member, resource] :
       {std::pair{"configMapRef", "configmaps"}, {"secretRef", "secrets"}}) {
    if (!from.contains(member)) continue;
    MIZZEN_TRY(Object object, source_object(store, resource, from[member], ns));
    if (object == nullptr) continue;
    for (const auto& [key, value] : at_path(*object, {"data"}).items()) {
      if (!value.is_string()) continue;
      std::string text = value.get<std::string>();
      if (resource == std::string_view("secrets")) text = base64_decode(text).value_or("");
      set(out, prefix + key, text);
    }
  }
  return {};
}

Status add_env_value_from(Environment& out, const Store& store, const Json& pod,
                          const Json& container, const PodPlace& place, const std::string& name,
                          const Json& from) {
  std::string ns = namespace_of(pod);
  if (from.contains("fieldRef")) {
    MIZZEN_TRY(std::string value, field_value(pod, place, from["fieldRef"].value("fieldPath", "")));
    set(out, name, value);
  } else if (from.contains("resourceFieldRef")) {
    const Json& reference = from["resourceFieldRef"];
    MIZZEN_TRY(std::string value,
               resource_value(container, reference.value("resource", ""),
                              reference.contains("divisor") && reference["divisor"].is_string()
                                  ? reference["divisor"].get<std::string>()
                                  : "1"));
    set(out, name, value);
  } else {
    bool secret = from.contains("secretKeyRef");
    const Json& reference = secret ? from["secretKeyRef"] : at_path(from, {"configMapKeyRef"});
    if (!reference.is_object()) return fail(Code::kInvalid, name + ": valueFrom is empty");
    MIZZEN_TRY(auto value, key_value(store, secret ? "secrets" : "configmaps", reference, ns));
    if (value) set(out, name, *value);
  }
  return {};
}

}  // namespace

std::string expand_variables(std::string_view text, const Environment& environment) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 >= text.size()) {
      out += text[i];
    } else if (text[i + 1] == '$') {
      out += '$';
      ++i;
    } else if (text[i + 1] == '(') {
      std::size_t end = text.find(')', i);
      if (end == std::string_view::npos) return out.append(text.substr(i));
      std::string_view name = text.substr(i + 2, end - i - 2);
      const std::string* value = nullptr;
      for (const auto& [key, one] : environment) {
        if (key == name) value = &one;
      }
      out += value != nullptr ? std::string_view(*value) : text.substr(i, end - i + 1);
      i = end;
    } else {
      out += '$';
    }
  }
  return out;
}

Result<std::string> field_value(const Json& pod, const PodPlace& place, std::string_view path) {
  if (path == "spec.nodeName") return place.node_name;
  if (path == "spec.serviceAccountName") {
    std::string account = text_at(pod, {"spec", "serviceAccountName"});
    return account.empty() ? "default" : account;
  }
  if (path == "status.podIP" || path == "status.podIPs") return place.pod_ip;
  if (path == "status.hostIP" || path == "status.hostIPs") return place.host_ip;
  for (const char* plain : {"name", "namespace", "uid"}) {
    if (path == std::string("metadata.") + plain) return text_at(pod, {"metadata", plain});
  }
  for (const char* map : {"labels", "annotations"}) {
    std::string whole = std::string("metadata.") + map;
    const Json& values = at_path(pod, {"metadata", map});
    if (path == whole) return map_lines(values);
    if (path.starts_with(whole + "['") && path.ends_with("']")) {
      return text_at(values,
                     {std::string(path.substr(whole.size() + 2, path.size() - whole.size() - 4))});
    }
  }
  return fail(Code::kInvalid, fmt::format("field {} is not one of the downward API", path));
}

Result<std::string> resource_value(const Json& container, std::string_view resource,
                                   std::string_view divisor) {
  auto dot = resource.find('.');
  std::string_view kind = resource.substr(0, dot);
  std::string name(dot == std::string_view::npos ? "" : resource.substr(dot + 1));
  if ((kind != "limits" && kind != "requests") || name.empty()) {
    return fail(Code::kInvalid,
                fmt::format("resource {} is neither limits.X nor requests.X", resource));
  }
  const Json* value = &at_path(container, {"resources", kind, name});
  if (!value->is_string() && !value->is_number() && kind == "requests") {
    value = &at_path(container, {"resources", "limits", name});
  }
  std::string text = value->is_string()   ? value->get<std::string>()
                     : value->is_number() ? value->dump()
                     : kind == "requests" ? "0"
                     : name == "cpu"      ? std::to_string(std::thread::hardware_concurrency())
                                          : "8Gi";
  auto amount = quantity_thousandths(text);
  auto unit = quantity_thousandths(divisor);
  if (!amount || !unit) return fail(Code::kInvalid, fmt::format("{}: not a quantity", resource));
  if (*unit == 0) unit = 1000;
  return std::to_string((*amount + *unit - 1) / *unit);
}

Environment service_variables(const Store& store, const std::string& ns) {
  Environment out;
  if (ns != "default") {
    if (Object kubernetes = store.get({"services", "default", "kubernetes"}))
      add_service(out, *kubernetes);
  }
  for (const Object& service : store.list("services", ns)) add_service(out, *service);
  return out;
}

Result<Environment> container_environment(const Store& store, const Json& pod,
                                          const Json& container, const PodPlace& place) {
  std::string ns = namespace_of(pod);
  Environment out;
  bool links = at_path(pod, {"spec", "enableServiceLinks"}) != Json(false);
  if (links) out = service_variables(store, ns);
  if (!links) {
    if (Object kubernetes = store.get({"services", "default", "kubernetes"}))
      add_service(out, *kubernetes);
  }
  for (const Json& from : at_path(container, {"envFrom"})) {
    MIZZEN_CHECKED(add_env_from(out, store, from, ns));
  }
  for (const Json& one : at_path(container, {"env"})) {
    std::string name = one.value("name", "");
    if (one.contains("valueFrom")) {
      MIZZEN_CHECKED(add_env_value_from(out, store, pod, container, place, name, one["valueFrom"]));
    } else {
      set(out, name, expand_variables(text_at(one, {"value"}), out));
    }
  }
  return out;
}

}  // namespace mizzen::local
