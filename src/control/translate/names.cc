#include "control/translate/outbound_plan.h"
#include "control/translate/xds_parts.h"
#include "istio/nds.pb.h"

namespace mizzen::control {

Resources translate_names(const Snapshot& snapshot, const Proxy& proxy) {
  istio::networking::nds::v1::NameTable table;
  for (const auto& [host, service] : snapshot.services) {
    if (!service->entry || !service->visible_to(proxy.name_space)) continue;
    const std::vector<std::string> addresses = call_addresses(*service, proxy);
    if (addresses.empty()) continue;
    auto& info = (*table.mutable_table())[host];
    for (const std::string& address : addresses) info.add_ips(address);
    info.set_registry("External");
    info.set_namespace_(service->name_space);
  }
  auto resources = std::make_shared<xds::ResourceMap>();
  add_resource("names", table, resources.get());
  return resources;
}

}  // namespace mizzen::control
