// The state-of-the-world client: DiscoveryRequest and DiscoveryResponse
// (envoy.service.discovery.v3), on an aggregated stream or one for a single type. What comes whole
// is turned into differences, so that who takes updates need not know which variant it was:
// resources whose bytes did not change are left out, and of clusters and listeners those that are
// missing are named as removed.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "xds/client.h"

namespace mizzen::xds {

class SotwClient final : public Client {
 public:
  // `node`: serialized core.v3.Node, sent in the first request of each stream.
  explicit SotwClient(std::string node);

  void subscribe_all(std::string_view type_url) override;
  void set_names(std::string_view type_url, const std::set<std::string>& names) override;
  void on_open() override;
  void on_closed() override;
  Result<Update> receive(std::string_view message) override;  // a DiscoveryResponse
  void answer(const Update& update, const std::vector<Rejection>& rejections) override;
  std::optional<std::string> next() override;

 private:
  struct Type {
    bool wildcard = false;
    bool due = false;      // a request is to be sent
    bool started = false;  // on this stream
    std::set<std::string> names;
    std::string version;  // version_info of the last response that was taken whole
    std::string nonce;    // of the last response on this stream
    std::string error;    // to go out with the next request
    std::unordered_map<std::string, std::string> versions;  // of resources: of their bytes
  };
  struct Order {
    bool operator()(const std::string& a, const std::string& b) const;
  };
  Type& type(std::string_view url);

  std::string node_;
  bool open_ = false;
  bool node_sent_ = false;
  std::map<std::string, Type, Order> types_;
};

// The name of a resource of the five types (their field 1), or nothing when the bytes do not parse.
std::optional<std::string> resource_name(std::string_view bytes);

}  // namespace mizzen::xds
