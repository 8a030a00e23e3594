// Who this proxy is, from its node.
#pragma once

#include "proxy/facts.h"
#include "xds/resource.h"

namespace mizzen::proxy {

// Reads WORKLOAD_NAME, NAMESPACE, LABELS, CLUSTER_ID, SERVICE_ACCOUNT, TRUST_DOMAIN and NAME of the
// node's metadata; what is missing stays empty.
SelfFacts self_facts(const xds::NodeInfo& node);

}  // namespace mizzen::proxy
