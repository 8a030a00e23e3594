// mizzend put together: store, ADS, authority, webhooks and their ports.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "authority_loader.h"
#include "ca/service.h"
#include "control/mesh/watcher.h"
#include "control/serve/cluster_writer.h"
#include "control/serve/debug.h"
#include "control/serve/discovery.h"
#include "control/serve/scrape.h"
#include "inject/webhook.h"
#include "kube/client.h"
#include "net/grpc.h"
#include "net/http_server.h"

namespace mizzen::mizzend {

struct Options {
  std::string listen_ip = "0.0.0.0";
  std::uint16_t debug_port = 8080;
  std::uint16_t plain_port = 15010;
  std::uint16_t tls_port = 15012;
  std::uint16_t metrics_port = 15014;
  std::uint16_t webhook_port = 15017;
  std::string name_space = "istio-system";
  std::string service = "istiod";
  std::string instance = "mizzend";  // this control plane among several
  std::vector<std::string> extra_dns_names;
  control::MeshConfig mesh;
  inject::Settings inject;
};

// Loop thread only. The client must outlive it.
class Daemon {
 public:
  Daemon(kube::Client& client, Options options);
  // Binds the ports; what needs the cluster begins when the cluster answers.
  Status start();
  // Tells proxies to go elsewhere and stops listening.
  void drain(std::function<void()> done);

 private:
  Status listen(net::HttpServer& server, std::uint16_t port);
  void serve(std::shared_ptr<const ca::Authority> authority);
  void renew_certificate();
  void check_gateways();
  void on_change(control::Change change, const object::Json& object, bool removed);
  void follow_mesh();
  void authenticate(std::shared_ptr<net::GrpcStream> call,
                    std::function<void(Result<ca::Caller>)> done);
  Status ready() const;
  std::string metrics() const;
  void handle(const std::shared_ptr<net::Exchange>& exchange, bool plain);

  kube::Client& client_;
  io::Loop& loop_;
  Options options_;
  control::Store store_;
  control::Authenticator authenticator_;
  control::Registrar registrar_;
  control::Discovery discovery_;
  control::ScrapeTargets scrape_;
  control::Watcher watcher_;
  control::StatusWriter status_writer_;
  control::IngressStatusWriter ingress_writer_;
  bool checking_gateways_ = false;
  inject::Webhooks webhooks_;
  AuthorityLoader loader_;
  control::DebugPages pages_;
  net::GrpcServer plain_grpc_;
  net::GrpcServer tls_grpc_;

  // From serve() on.
  std::shared_ptr<const ca::Authority> authority_;
  std::unique_ptr<ca::Service> ca_service_;
  std::unique_ptr<control::RootPublisher> publisher_;
  std::unique_ptr<control::WebhookPatcher> patcher_;
  WallTime certificate_end_{};

  std::unique_ptr<net::HttpServer> debug_server_;
  std::unique_ptr<net::HttpServer> metrics_server_;
  std::unique_ptr<net::HttpServer> plain_server_;
  std::unique_ptr<net::HttpServer> tls_server_;
  std::unique_ptr<net::HttpServer> webhook_server_;
};

}  // namespace mizzen::mizzend
