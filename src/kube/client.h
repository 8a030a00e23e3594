// A Kubernetes API client: objects as JSON, one connection pool.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "io/loop.h"
#include "kube/config.h"

namespace mizzen::kube {

using Json = nlohmann::json;

// Where a kind lives: ("", "v1", "pods") or ("networking.istio.io", "v1", "virtualservices").
struct Resource {
  std::string group;
  std::string version;
  std::string plural;
  bool namespaced = true;
  // "/api/v1/namespaces/ns/pods/name/sub"; parts may be empty (all namespaces, no name, no
  // subresource).
  std::string path(std::string_view name_space, std::string_view name = {},
                   std::string_view subresource = {}) const;
};

struct ListOptions {
  std::string name_space;  // "": all
  std::string label_selector;
  std::string field_selector;
  int limit = 500;  // page size; the pages are put together
};

struct ObjectList {
  std::vector<Json> items;  // with apiVersion and kind filled in
  std::string resource_version;
};

enum class PatchType : std::uint8_t { kJson, kMerge, kStrategic, kApply };

// What the API server said: Error::code from the HTTP status (404 kNotFound, 409 kConflict or
// kExists, 401 kUnauthenticated, 403 kDenied, 410 kClosed ("gone"), 400 and 422 kInvalid, 429 and
// 5xx kUnavailable), the message from its Status.
class Client {
 public:
  // Errors: a certificate or key that does not load.
  static Result<std::unique_ptr<Client>> make(io::Loop& loop, Config config);
  virtual ~Client() = default;

  // Each `done` is called once, never before the call returns, unless the client is destroyed.
  using Done = std::function<void(Result<Json>)>;
  using ListDone = std::function<void(Result<ObjectList>)>;
  virtual void get(const Resource& resource, std::string_view name_space, std::string_view name,
                   Done done) = 0;
  virtual void list(const Resource& resource, const ListOptions& options, ListDone done) = 0;
  virtual void create(const Resource& resource, std::string_view name_space, const Json& object,
                      Done done, std::string_view name = {}, std::string_view subresource = {}) = 0;
  // By metadata.name and metadata.resourceVersion of `object`. `subresource`: "" or "status",
  // "scale".
  virtual void update(const Resource& resource, const Json& object, Done done,
                      std::string_view subresource = {}) = 0;
  // kApply wants `field_manager`, and forces.
  virtual void patch(const Resource& resource, std::string_view name_space, std::string_view name,
                     PatchType type, const Json& patch, Done done,
                     std::string_view subresource = {}, std::string_view field_manager = {}) = 0;
  virtual void remove(const Resource& resource, std::string_view name_space, std::string_view name,
                      Done done, const Json& delete_options = nullptr) = 0;

  // TokenReview (authentication.k8s.io/v1).
  struct TokenOwner {
    std::string username;  // system:serviceaccount:<namespace>:<name>
    std::string uid;
    std::vector<std::string> groups;
    std::vector<std::string> audiences;
    std::string pod_name;  // of extra, when the server gives it
    std::string pod_uid;
  };
  virtual void review_token(std::string_view token, const std::vector<std::string>& audiences,
                            std::function<void(Result<TokenOwner>)> done) = 0;

  // Any request: what the typed calls do not cover. The body of the answer as it came; non-2xx is
  // an error as above.
  struct Raw {
    int status = 0;
    std::string content_type;
    std::string body;
  };
  virtual void request(std::string_view method, std::string_view target, std::string_view body,
                       std::string_view content_type, std::function<void(Result<Raw>)> done) = 0;

  // One watch connection. Ends by itself (server's time-out, 410, disconnection): `ended` says why,
  // once; ok is an orderly end. Destroying the Watch stops it.
  class Watch {
   public:
    virtual ~Watch() = default;
  };
  struct WatchEvent {
    enum class Type : std::uint8_t { kAdded, kModified, kDeleted, kBookmark } type;
    Json object;
  };
  virtual std::unique_ptr<Watch> watch(const Resource& resource, const ListOptions& options,
                                       std::string_view resource_version,
                                       std::function<void(WatchEvent)> on_event,
                                       std::function<void(Status)> ended) = 0;

  virtual io::Loop& loop() const = 0;
  virtual const Config& config() const = 0;
};

}  // namespace mizzen::kube
