// One delta xDS stream seen from the server: requests in, responses out, no I/O, no clock. One
// object per stream; not thread safe.
//
// It always knows what the client has (by version) and what it should have (the World), and makes
// the next response when asked: a transport that is not ready to send simply does not ask, and
// everything that changes meanwhile is merged into one response. Types go out in the order of
// type_order(). A changed cluster is always followed by its endpoints, unchanged ones too: a stock
// Envoy would warm for ever without them. A name that is subscribed to again is sent again.
//
// Protocol: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol (incremental),
// envoy.service.discovery.v3.DeltaDiscoveryRequest and DeltaDiscoveryResponse.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "xds/resource.h"

namespace mizzen::xds {

// What a request meant.
struct Received {
  enum class Kind : std::uint8_t {
    kSubscription,  // the first request of a type, or one that changes a subscription
    kAck,
    kNack,
    kStale,  // answers an older response than the last: nothing to do
  };
  Kind kind = Kind::kSubscription;
  std::string type_url;
  bool first_on_stream = false;  // node() is known from now on
  std::vector<std::string> subscribed;
  std::vector<std::string> unsubscribed;
  std::string error;  // kNack: the client's words
};

// For syncz and proxy-status.
struct TypeStatus {
  std::string type_url;
  std::string version_sent;  // World::version of the last response; empty: nothing sent
  std::string version_acked;
  std::string nonce_sent;
  std::string nonce_acked;
  std::string last_error;  // of the last NACK; cleared by the next ACK
  bool wildcard = false;
  std::size_t subscribed = 0;  // names
  std::size_t resources = 0;   // that the client has
  bool synced() const { return !nonce_sent.empty() && nonce_sent == nonce_acked; }
};

class DeltaServer {
 public:
  // `stream_id` goes into nonces, to tell streams apart in logs.
  explicit DeltaServer(std::string stream_id);

  // A DeltaDiscoveryRequest's bytes (at most 16 MiB). An error means that the stream should be
  // ended with INVALID_ARGUMENT. kAck and kNack may come with subscription changes too.
  Result<Received> receive(std::string_view message);

  // What the client should have from now on. Before the first call nothing is sent.
  void offer(std::shared_ptr<const World> world);

  // The bytes of the next DeltaDiscoveryResponse, or nothing when the client has been sent
  // everything. Call again until it says nothing.
  std::optional<std::string> next();

  // Empty until the first request.
  const NodeInfo& node() const { return node_; }
  const std::shared_ptr<const World>& world() const { return world_; }

  // Whether the client wants `name` of this type (by name or by wildcard).
  bool wants(std::string_view type_url, std::string_view name) const;
  // The names subscribed to explicitly; sorted.
  std::vector<std::string> names(std::string_view type_url) const;

  // In type_order().
  std::vector<TypeStatus> status() const;

 private:
  struct Type {
    std::string url;
    bool wildcard = false;
    bool answered = false;  // a first response has gone out
    std::unordered_set<std::string> names;
    std::unordered_map<std::string, std::string> has;  // name to version, as sent
    std::unordered_set<std::string>
        again;  // to be sent (or said to be missing) whatever its version
    std::shared_ptr<const ResourceMap> here;  // what the world has of it
    std::shared_ptr<const ResourceMap> seen;  // the map last compared in full
    bool dirty = true;                        // subscriptions changed since then
    std::uint64_t nonce_number = 0;
    TypeStatus status;
  };
  // A push looks at these for every proxy, at the types themselves where there is something to say.
  struct Slot {
    std::string_view url;  // the world's own text of it, where it has one
    bool pending = true;   // next() has to look
    std::unique_ptr<Type> type;
  };

  Slot* find(std::string_view url);
  const Slot* find(std::string_view url) const;
  Slot& slot(const std::string& url);
  void resolve(Slot& slot);
  bool follow(const World& before);
  bool take_ack(std::string_view message, Received* received);
  std::string write_response(Type& type, const std::vector<ResourceRef>& changed,
                             const std::vector<std::string>& removed);
  void apply_subscriptions(Type& type, Received& received, bool first,
                           const std::unordered_map<std::string, std::string>& known);
  std::optional<std::string> respond(Type& type);
  template <class Consider>
  static void compare_all(const Type& type, const ResourceMap& map, Consider consider,
                          std::vector<std::string>* removed);
  void resend_endpoints(const std::vector<ResourceRef>& clusters);

  std::string stream_id_;
  NodeInfo node_;
  bool started_ = false;
  std::shared_ptr<const World> world_;
  std::vector<Slot> slots_;  // in type_order()
};

}  // namespace mizzen::xds
