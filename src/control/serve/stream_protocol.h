// The two dialects of ADS behind one face: delta, and state of the world for clients that know
// nothing else. Pure protocol; no I/O. Internal to control.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "xds/server.h"

namespace mizzen::control {

class StreamProtocol {
 public:
  virtual ~StreamProtocol() = default;
  virtual Result<xds::Received> receive(std::string_view message) = 0;
  virtual void offer(std::shared_ptr<const xds::World> world) = 0;
  virtual std::optional<std::string> next() = 0;
  virtual const xds::NodeInfo& node() const = 0;
  // The names of a type that are subscribed to, sorted.
  virtual std::vector<std::string> names(std::string_view type_url) const = 0;
  virtual std::vector<xds::TypeStatus> status() const = 0;
};

std::unique_ptr<StreamProtocol> delta_protocol(std::string stream_id);

// envoy.service.discovery.v3.DiscoveryRequest and DiscoveryResponse: a response holds everything of
// its type that the client asked for; it goes out when any of that changed.
std::unique_ptr<StreamProtocol> state_of_the_world_protocol(std::string stream_id);

}  // namespace mizzen::control
