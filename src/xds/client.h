// The client's side of xDS as pure machines, one for delta (incremental) and one for the state of
// the world (sotw_client.h). No I/O, no clock; not thread safe. The caller owns the stream:
// on_open() for each new one, then feed receive() and drain next().
//
// Protocol: see server.h.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "xds/resource.h"

namespace mizzen::xds {

// A response taken apart. To be answered with Client::answer, in the order received.
struct Update {
  std::string type_url;
  std::string nonce;
  std::string version;  // system_version_info
  std::vector<Resource> resources;
  std::vector<std::string> removed;
};

struct Rejection {
  std::string name;    // of the resource; empty: the whole response
  std::string reason;  // names the field
};

// One client of a control plane, whichever variant of the protocol it speaks: subscriptions that
// survive streams, requests out, responses in.
class Client {
 public:
  virtual ~Client() = default;

  // Subscriptions. They take effect on the open stream, and again on each new one.
  virtual void subscribe_all(std::string_view type_url) = 0;  // wildcard
  // Makes `names` the whole subscription of a named type: the difference goes out.
  virtual void set_names(std::string_view type_url, const std::set<std::string>& names) = 0;

  // A new stream is open: every subscription is said again, with the versions of what is there.
  virtual void on_open() = 0;
  virtual void on_closed() = 0;

  // The bytes of a response (at most 256 MiB). An error means that the peer broke the protocol:
  // close the stream.
  virtual Result<Update> receive(std::string_view message) = 0;

  // ACK, or NACK when something was rejected. Versions of the resources not rejected are
  // remembered.
  virtual void answer(const Update& update, const std::vector<Rejection>& rejections) = 0;

  // The bytes of the next request to send, while the stream is open.
  virtual std::optional<std::string> next() = 0;
};

// The rejections as the text of a NACK.
std::string describe(const std::vector<Rejection>& rejections);

class DeltaClient final : public Client {
 public:
  // `node`: serialized core.v3.Node, sent in the first request of each stream.
  explicit DeltaClient(std::string node);

  void subscribe_all(std::string_view type_url) override;
  void subscribe(std::string_view type_url, const std::vector<std::string>& names);
  void unsubscribe(std::string_view type_url, const std::vector<std::string>& names);
  void set_names(std::string_view type_url, const std::set<std::string>& names) override;
  void on_open() override;
  void on_closed() override;
  bool open() const { return open_; }
  Result<Update> receive(std::string_view message) override;  // a DeltaDiscoveryResponse
  void answer(const Update& update, const std::vector<Rejection>& rejections) override;
  std::optional<std::string> next() override;

  // Name to version of what has been accepted.
  const std::unordered_map<std::string, std::string>& versions(std::string_view type_url) const;
  bool subscribed(std::string_view type_url, std::string_view name) const;

 private:
  struct Type {
    std::string url;
    bool wildcard = false;
    bool started = false;  // on this stream
    std::set<std::string> names;
    std::set<std::string> to_subscribe;
    std::set<std::string> to_unsubscribe;
    std::unordered_map<std::string, std::string> versions;
  };
  struct Answer {
    std::string type_url;
    std::string nonce;
    std::string error;
  };

  const Type* find(std::string_view url) const;
  Type* find(std::string_view url);
  Type& type(std::string_view url);
  std::optional<std::string> next_subscription();
  std::string start_request(Type& type);

  std::string node_;
  bool open_ = false;
  bool node_sent_ = false;
  std::vector<Type> types_;  // in the order in which the server is told of them
  std::deque<Answer> answers_;
};

}  // namespace mizzen::xds
