#include "daemon.h"

#include <fmt/core.h>

#include "api/names.h"
#include "base/log.h"
#include "control/mesh/ingest.h"

namespace mizzen::mizzend {
namespace {

constexpr Duration kCertificateLife = std::chrono::hours(24 * 30);
constexpr Duration kGatewayCheck = std::chrono::milliseconds(500);
constexpr Duration kCertificateCheck = std::chrono::minutes(1);

}  // namespace

Daemon::Daemon(kube::Client& client, Options options)
    : client_(client),
      loop_(client.loop()),
      options_(std::move(options)),
      store_(options_.mesh),
      authenticator_(client, options_.mesh.trust_domain),
      registrar_(client, options_.instance),
      discovery_(loop_, store_, authenticator_),
      watcher_(client, store_,
               {[this](control::Change change, const object::Json& object, bool removed) {
                  on_change(change, object, removed);
                },
                [this] {
                  discovery_.start();
                  registrar_.start();
                }}),
      status_writer_(client),
      ingress_writer_(client),
      webhooks_(options_.inject,
                [this](const std::string& name_space) {
                  return inject::Json(store_.namespace_labels(name_space));
                }),
      loader_(client, options_.name_space, options_.mesh.trust_domain),
      pages_(
          store_, discovery_, [this] { return ready(); }, [this] { return metrics(); }) {}

Status Daemon::listen(net::HttpServer& server, std::uint16_t port) {
  MIZZEN_TRY(const io::Address address, io::Address::parse_ip(options_.listen_ip, port));
  const Result<io::Address> bound = server.listen(address);
  if (!bound) {
    return std::unexpected(bound.error().in(fmt::format("port {}", port)));
  }
  return {};
}

Status Daemon::start() {
  discovery_.register_with(registrar_);
  inject::Settings settings = webhooks_.settings();
  settings.proxy_config = [this](const std::string& name_space, const object::Json& labels,
                                 const object::Json& annotation) {
    return store_.proxy_config(name_space, control::read_labels(&labels), annotation);
  };
  webhooks_.set_settings(std::move(settings));
  const auto pages = [this](std::shared_ptr<net::Exchange> exchange) {
    if (!pages_.handle(exchange) && !scrape_.handle(exchange)) {
      exchange->respond(404, {{"content-type", "text/plain"}}, "see /debug\n");
    }
  };
  debug_server_ = std::make_unique<net::HttpServer>(loop_, net::HttpServerOptions{}, pages);
  metrics_server_ = std::make_unique<net::HttpServer>(loop_, net::HttpServerOptions{}, pages);
  MIZZEN_CHECKED(listen(*debug_server_, options_.debug_port));
  MIZZEN_CHECKED(listen(*metrics_server_, options_.metrics_port));
  watcher_.start();
  loader_.load(
      [this](std::shared_ptr<const ca::Authority> authority) { serve(std::move(authority)); });
  return {};
}

void Daemon::authenticate(std::shared_ptr<net::GrpcStream> call,
                          std::function<void(Result<ca::Caller>)> done) {
  authenticator_.identify(call->exchange(),
                          [call, done = std::move(done)](Result<pki::SpiffeId> identity) {
                            if (!identity) {
                              done(std::unexpected(identity.error()));
                            } else {
                              done(ca::Caller{identity->to_string()});
                            }
                          });
}

void Daemon::handle(const std::shared_ptr<net::Exchange>& exchange, bool plain) {
  if ((plain ? plain_grpc_ : tls_grpc_).handle(exchange)) return;
  exchange->respond(404, {{"content-type", "text/plain"}}, "gRPC only\n");
}

void Daemon::serve(std::shared_ptr<const ca::Authority> authority) {
  authority_ = std::move(authority);
  ca_service_ = std::make_unique<ca::Service>(
      authority_,
      [this](std::shared_ptr<net::GrpcStream> call, std::function<void(Result<ca::Caller>)> done) {
        authenticate(std::move(call), std::move(done));
      });
  ca_service_->mount(tls_grpc_);
  discovery_.mount(tls_grpc_, false);
  discovery_.mount(plain_grpc_, true);
  publisher_ = std::make_unique<control::RootPublisher>(client_, authority_->roots_pem());
  for (const std::string& name : store_.namespaces()) publisher_->add_namespace(name);

  // A proxy has one stream for ever, and a call now and then; anybody may connect.
  net::HttpServerOptions served;
  served.limits.concurrent_streams = 64;
  plain_server_ = std::make_unique<net::HttpServer>(
      loop_, served, [this](std::shared_ptr<net::Exchange> exchange) { handle(exchange, true); });
  tls_server_ = std::make_unique<net::HttpServer>(
      loop_, served, [this](std::shared_ptr<net::Exchange> exchange) { handle(exchange, false); });
  webhook_server_ = std::make_unique<net::HttpServer>(
      loop_, net::HttpServerOptions{}, [this](std::shared_ptr<net::Exchange> exchange) {
        if (webhooks_.handle(exchange)) return;
        exchange->respond(404, {{"content-type", "text/plain"}}, "/inject or /validate\n");
      });
  renew_certificate();
  for (const auto& [server, port] : {std::pair{plain_server_.get(), options_.plain_port},
                                     std::pair{tls_server_.get(), options_.tls_port},
                                     std::pair{webhook_server_.get(), options_.webhook_port}}) {
    if (Status listening = listen(*server, port); !listening) {
      log::error("mizzend", "{}", listening.error().message);
      loop_.stop();
      return;
    }
  }
  patcher_ = std::make_unique<control::WebhookPatcher>(client_, authority_->roots_pem());
  patcher_->start();
  log::info("mizzend", "serving proxies on {} and {}, webhooks on {}", options_.plain_port,
            options_.tls_port, options_.webhook_port);
}

// At two thirds of its life by the wall clock: a machine that slept finds it due when it wakes.
void Daemon::renew_certificate() {
  const WallTime now = system_clock().wall();
  if (certificate_end_ - now < kCertificateLife / 3) {
    const std::string in_namespace = options_.service + "." + options_.name_space;
    std::vector<std::string> names{
        in_namespace + ".svc", in_namespace + ".svc." + options_.mesh.domain, in_namespace,
        options_.service,      "istio-pilot." + options_.name_space + ".svc", "localhost"};
    names.insert(names.end(), options_.extra_dns_names.begin(), options_.extra_dns_names.end());
    auto served = authority_->issue_server(names, kCertificateLife, now);
    if (!served) {
      log::error("mizzend", "no serving certificate: {}", served.error().message);
    } else {
      io::TlsServerOptions tls;
      tls.identity = {served->chain_pem, served->key_pem};
      tls.alpn = {"h2", "http/1.1"};
      auto webhook_context = io::make_tls_server_context(tls);
      tls.client_cert = io::TlsServerOptions::ClientCert::kOptional;
      tls.trust_bundle_pem = authority_->roots_pem();
      auto context = io::make_tls_server_context(tls);
      if (context && webhook_context) {
        tls_server_->set_tls(*context);
        webhook_server_->set_tls(*webhook_context);
        certificate_end_ = served->not_after;
      } else {
        log::error("mizzend", "serving certificate: {}",
                   (context ? webhook_context : context).error().message);
      }
    }
  }
  loop_.after(kCertificateCheck, [this] { renew_certificate(); });
}

void Daemon::on_change(control::Change change, const object::Json& object, bool removed) {
  for (const std::string& error : store_.take_errors()) log::warning("config", "{}", error);
  const std::string kind = object::string_at(object, {"kind"});
  discovery_.changed(change, kind != "EndpointSlice");
  if (removed) {
    registrar_.remove(object);
    scrape_.remove(object);
  } else {
    registrar_.apply(object);
    scrape_.apply(object);
  }
  if (kind == "ConfigMap" && change != control::Change::kNone) follow_mesh();
  if (kind == "Namespace" && publisher_) {
    const std::string name = object::string_at(object, {"metadata", "name"});
    if (removed) {
      publisher_->remove_namespace(name);
    } else {
      publisher_->add_namespace(name);
    }
  }
  if (kind == "Gateway" || kind == "Ingress") {
    if (removed) status_writer_.forget(object);
    check_gateways();
  }
  if (kind == "Service" && !removed) ingress_writer_.set_service(object);
  if (kind == "Ingress") {
    if (removed || !store_.serves(object)) {
      ingress_writer_.remove(object);
    } else {
      ingress_writer_.add(object);
    }
  }
  if (!removed && object.contains("apiVersion") &&
      object::string_at(object, {"apiVersion"}).find("istio.io/") != std::string::npos) {
    status_writer_.report(object);
  }
}

// What the mesh configuration says of pods that are injected and of identities from now on.
void Daemon::follow_mesh() {
  const control::MeshConfig& mesh = store_.mesh();
  inject::Settings settings = webhooks_.settings();
  settings.trust_domain = mesh.trust_domain;
  settings.mesh_id = mesh.mesh_id;
  settings.merge_metrics = mesh.prometheus_merge;
  webhooks_.set_settings(std::move(settings));
  authenticator_.set_trust_domain(mesh.trust_domain);
}

// A little later, once for all that changes together.
void Daemon::check_gateways() {
  if (std::exchange(checking_gateways_, true)) return;
  loop_.after(kGatewayCheck, [this] {
    checking_gateways_ = false;
    status_writer_.set_conflicts(store_.gateway_conflicts());
  });
}

Status Daemon::ready() const {
  if (!watcher_.ready()) {
    std::string waiting;
    for (const std::string& kind : watcher_.missing()) waiting += " " + kind;
    return fail(Code::kUnavailable, "not read yet:" + waiting);
  }
  if (!authority_) return fail(Code::kUnavailable, "no certificate authority yet");
  return {};
}

std::string Daemon::metrics() const {
  std::string out;
  const auto counter = [&](std::string_view name, std::uint64_t value) {
    out += fmt::format("# TYPE {} counter\n{} {}\n", name, name, value);
  };
  const inject::WebhookCounters& hooks = webhooks_.counters();
  counter("sidecar_injection_success_total", hooks.injected);
  counter("sidecar_injection_skip_total", hooks.skipped);
  counter("galley_validation_passed", hooks.accepted);
  counter("galley_validation_failed", hooks.refused);
  if (ca_service_) {
    const ca::Counters& ca = ca_service_->counters();
    counter("citadel_server_csr_count", ca.requests);
    counter("citadel_server_success_cert_issuance_count", ca.issued);
    counter("citadel_server_authentication_failure_count", ca.unauthenticated);
  }
  return out;
}

void Daemon::drain(std::function<void()> done) {
  if (!tls_server_) {
    done();
    return;
  }
  plain_server_->drain([] {});
  webhook_server_->drain([] {});
  tls_server_->drain(std::move(done));
}

}  // namespace mizzen::mizzend
