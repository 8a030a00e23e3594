// What the control plane itself keeps in the cluster: the mesh's root certificate in every
// namespace, the webhooks' authority, and the status of Istio's objects. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kube/client.h"
#include "object/json.h"

namespace mizzen::control {

// Keeps ConfigMap `istio-ca-root-cert` in each namespace it is told of.
class RootPublisher {
 public:
  RootPublisher(kube::Client& client, std::string roots_pem)
      : client_(client), roots_pem_(std::move(roots_pem)) {}
  ~RootPublisher() { *alive_ = false; }
  RootPublisher(const RootPublisher&) = delete;
  RootPublisher& operator=(const RootPublisher&) = delete;

  void set_roots(std::string roots_pem);  // and publishes to all namespaces again
  void add_namespace(const std::string& name);
  void remove_namespace(const std::string& name) { namespaces_.erase(name); }

 private:
  void publish(const std::string& name, int attempt);

  kube::Client& client_;
  std::string roots_pem_;
  std::set<std::string> namespaces_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Writes the authority of mizzend's own certificate into the webhook configurations of the
// installation, and lets validation fail closed. Tries again until it is done.
class WebhookPatcher {
 public:
  WebhookPatcher(kube::Client& client, std::string roots_pem);
  ~WebhookPatcher() { *alive_ = false; }
  WebhookPatcher(const WebhookPatcher&) = delete;
  WebhookPatcher& operator=(const WebhookPatcher&) = delete;
  void start();

 private:
  void patch(const std::string& plural, const std::string& name);
  void again(const std::string& plural, const std::string& name);

  kube::Client& client_;
  std::string bundle_;  // base64
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Says in the status of the mesh's Ingress objects where they are reached: at the addresses of the
// ingress gateway's Service.
class IngressStatusWriter {
 public:
  explicit IngressStatusWriter(kube::Client& client) : client_(client) {}
  ~IngressStatusWriter() { *alive_ = false; }
  IngressStatusWriter(const IngressStatusWriter&) = delete;
  IngressStatusWriter& operator=(const IngressStatusWriter&) = delete;

  void set_service(const object::Json& service);  // any Service; others than the gateway's are
                                                  // ignored
  void add(const object::Json& ingress);          // of this mesh
  void remove(const object::Json& ingress);       // known or not

 private:
  void write(const std::string& key);

  kube::Client& client_;
  object::Json addresses_ = object::Json::array();
  std::map<std::string, object::Json> told_;  // by "namespace/name", what its status says
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Says in the status of Istio's objects what became of them: condition `Reconciled`, false with the
// names of the fields that are read but not acted on yet, and with what of a Gateway another one
// stands in the way of.
class StatusWriter {
 public:
  explicit StatusWriter(kube::Client& client) : client_(client) {}
  ~StatusWriter() { *alive_ = false; }
  StatusWriter(const StatusWriter&) = delete;
  StatusWriter& operator=(const StatusWriter&) = delete;

  // Writes only what differs from the object's own status. Ignores kinds that are not Istio's.
  void report(const object::Json& object);
  void forget(const object::Json& object);
  // By "namespace/name" of Gateways; writes to those whose conflicts have changed.
  void set_conflicts(std::map<std::string, std::string> conflicts);

 private:
  std::map<std::string, object::Json> gateways_;  // by "namespace/name"
  std::map<std::string, std::string> conflicts_;
  kube::Client& client_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mizzen::control
