// Which pods stand behind a service: pure functions from objects to objects.
#pragma once

#include <vector>

#include "local/apiserver/store.h"
#include "local/network/rules.h"

namespace mizzen::local {

// The `subsets` of a service's Endpoints: the pods that its selector matches, with ports resolved
// per pod (targetPort names), grouped by equal ports. Ended pods and pods without address are left
// out.
Json endpoint_subsets(const Json& service, const std::vector<Object>& pods);

// EndpointSlice for one subset list; empty ports mean a headless service without ports.
// `name` is the slice's; `subsets` as above, from one service.
Json endpoint_slice(const Json& service, const std::string& name, const Json& subset,
                    const std::vector<Object>& pods);

// The rules' view of a service and its Endpoints; nothing for headless and ExternalName ones.
std::vector<ServicePort> service_ports(const Json& service, const Json* endpoints);

}  // namespace mizzen::local
