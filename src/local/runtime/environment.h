// What a container's environment holds, as Kubernetes computes it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "local/apiserver/store.h"

namespace mizzen::local {

using Environment = std::vector<std::pair<std::string, std::string>>;

// What a pod gets to know of the place it runs in; not yet in its status when it starts.
struct PodPlace {
  std::string pod_ip;
  std::string host_ip;
  std::string node_name = "mizzen";
};

// Replaces $(NAME) by the value in `environment`; $$( is a literal $(; unknown names stay as they
// are.
std::string expand_variables(std::string_view text, const Environment& environment);

// A downward API field: metadata.name, .namespace, .uid, .labels, .annotations, .labels['k'],
// .annotations['k'], spec.nodeName, spec.serviceAccountName, status.podIP, .podIPs, .hostIP,
// .hostIPs.
Result<std::string> field_value(const Json& pod, const PodPlace& place, std::string_view path);

// limits.* and requests.* of a container, divided and rounded up. What has no limit reads as the
// node's.
Result<std::string> resource_value(const Json& container, std::string_view resource,
                                   std::string_view divisor);

// The variables that say where the services of `ns` are (NAME_SERVICE_HOST and so on), and
// kubernetes'.
Environment service_variables(const Store& store, const std::string& ns);

// service variables (unless enableServiceLinks is false), envFrom, env; in this order, later ones
// win. Errors: kNotFound (ConfigMap, Secret or key that is not optional), kInvalid.
Result<Environment> container_environment(const Store& store, const Json& pod,
                                          const Json& container, const PodPlace& place);

}  // namespace mizzen::local
