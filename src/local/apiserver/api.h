// The Kubernetes API as a function from request to response, above the store and without sockets:
// decoding, defaults, admission, validation, writes, tables, discovery.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "local/apiserver/store.h"

namespace mizzen::local {

struct Caller {
  std::string user;  // "system:anonymous" when nothing was shown
  std::vector<std::string> groups;
  std::string uid;
};

struct ApiRequest {
  std::string method = "GET";
  std::string path;   // decoded by the API itself
  std::string query;  // without '?'
  std::string accept;
  std::string content_type;
  std::string user_agent;
  std::string body;
  Caller caller;
};

struct ApiResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::string> warnings;  // for `Warning: 299 - "..."` headers
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// A webhook call, or an aggregated answer, that leaves the process. `done` exactly once.
struct WebhookCall {
  std::string url;           // https://host:port/path; for Services the host is NAME.NS.svc
  std::string service_name;  // "" when the webhook has a url
  std::string service_ns;
  std::uint16_t service_port = 443;
  std::string ca_bundle_pem;
  std::string body;  // AdmissionReview
  Duration timeout{};
};
using WebhookCaller = std::function<void(WebhookCall, std::function<void(Result<std::string>)>)>;

struct ApiOptions {
  std::string service_cidr = "10.96.0.0/16";
  int node_port_first = 30000;
  int node_port_last = 32767;
  std::string token_issuer = "https://kubernetes.default.svc.cluster.local";
  std::string token_key_pem;   // PKCS#8; signs service account tokens
  std::string root_ca_pem;     // goes to ConfigMap kube-root-ca.crt of each namespace
  WebhookCaller webhooks;      // null: a matching webhook fails as unreachable
  std::string server_address;  // "127.0.0.1:6443": what legacy /api tells
};

// A watch that stands. Events are lines of JSON, with tables in them when the client asked for
// those.
struct ApiWatch {
  std::unique_ptr<Watch> watch;
  Duration timeout{};                     // asked for by the client; 0: none
  std::function<std::string()> bookmark;  // an event that tells of progress; null: not wanted
};

class Types;
struct Target;

class Api {
 public:
  Api(Store& store, ApiOptions options);
  ~Api();

  // Answers every request but watches and the streaming subresources (log, exec, attach,
  // portforward, proxy). `done` is called exactly once, perhaps before this returns.
  void handle(ApiRequest request, std::function<void(ApiResponse)> done);

  // Whether the request's caller may make it, by the roles in the store; the answer when not. To be
  // asked by whoever takes requests from outside, before anything else here.
  std::optional<ApiResponse> refuse(const ApiRequest& request) const;
  // The caller that a request's impersonation headers make of `caller`. Errors: kDenied.
  Result<Caller> act_as(const Caller& caller, const std::string& user,
                        const std::vector<std::string>& groups) const;

  // Whether `request` is a watch; then start_watch() serves it: `send` gets one encoded event
  // after another, the first ones before this returns. An error is the response to give instead.
  bool is_watch(const ApiRequest& request) const;
  std::expected<ApiWatch, ApiResponse> start_watch(const ApiRequest& request,
                                                   std::function<void(std::string)> send);

  // For controllers: create or update with defaults, admission webhooks and validation, as the
  // system's own user. `object` has apiVersion and kind. The object as stored, or the error.
  using ObjectDone = std::function<void(Result<Object>)>;
  void create_object(Json object, ObjectDone done);
  void update_object(Json object, ObjectDone done);

  // A signed service account token (TokenRequest), bound to a pod when `pod` is not empty.
  // Errors: kNotFound (service account).
  Result<std::string> issue_token(const std::string& ns, const std::string& service_account,
                                  std::vector<std::string> audiences, Duration ttl,
                                  const std::string& pod, const std::string& pod_uid);
  // Who a bearer token speaks for; kUnauthenticated otherwise. Empty `audience`: the API server's
  // own.
  Result<Caller> authenticate(std::string_view token, std::string_view audience = {}) const;

  // Fills what every cluster has: namespaces, service accounts, kubernetes Service, root CA
  // ConfigMaps. Safe to call again.
  void bootstrap();
  // Drops what has had its time (events after an hour). To be called every few minutes.
  void housekeep();

  // What a request is about; nothing when its path names no resource. Not for outside this folder.
  std::optional<Target> find_target(const ApiRequest& request) const;

  Store& store() { return store_; }
  const Types& types() const { return *types_; }

 private:
  struct Parts;
  void submit(Json object, bool create, ObjectDone done);
  Store& store_;
  ApiOptions options_;
  std::unique_ptr<Types> types_;
  std::unique_ptr<Parts> parts_;
};

}  // namespace mizzen::local
