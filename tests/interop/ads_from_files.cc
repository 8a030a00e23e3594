// ads-from-files PORT FILE...: the control plane's ADS on 127.0.0.1, its cluster being the objects
// in the files, and beside it the SDS that an agent would serve (a certificate of a throw-away
// root). For interoperability tests; /debug/syncz says what the clients have accepted.
#include <csignal>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "api/names.h"
#include "base/log.h"
#include "base/strings.h"
#include "ca/authority.h"
#include "control/serve/debug.h"
#include "control/serve/discovery.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "io/loop.h"
#include "object/yaml.h"

namespace mizzen {
namespace {

Status load(const char* path, control::Store* store) {
  const std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  MIZZEN_TRY(const std::vector<object::YamlDocument> documents, object::parse_manifest(text.str()));
  for (const object::YamlDocument& document : documents) {
    object::Json whole = document.value;
    if (!whole["metadata"].contains("namespace")) whole["metadata"]["namespace"] = "default";
    store->apply(whole);
  }
  return {};
}

std::shared_ptr<const xds::World> agent_secrets() {
  namespace tls = envoy::extensions::transport_sockets::tls::v3;
  const WallTime now = system_clock().wall();
  const auto authority = ca::Authority::self_signed("cluster.local", now);
  const auto served = (*authority)->issue_server({"localhost"}, std::chrono::hours(1), now);
  auto secrets = std::make_shared<xds::ResourceMap>();
  const auto add = [&](const tls::Secret& secret) {
    auto resource = std::make_shared<xds::Resource>();
    resource->name = secret.name();
    resource->bytes = secret.SerializeAsString();
    resource->version = xds::content_version(resource->bytes);
    (*secrets)[secret.name()] = resource;
  };
  tls::Secret own;
  own.set_name(std::string(api::kWorkloadSecret));
  own.mutable_tls_certificate()->mutable_certificate_chain()->set_inline_string(served->chain_pem);
  own.mutable_tls_certificate()->mutable_private_key()->set_inline_string(served->key_pem);
  add(own);
  tls::Secret root;
  root.set_name(std::string(api::kRootSecret));
  root.mutable_validation_context()->mutable_trusted_ca()->set_inline_string(
      (*authority)->roots_pem());
  add(root);
  auto world = std::make_shared<xds::World>();
  world->version = "1";
  world->types[std::string(api::kSecretType)] = std::move(secrets);
  return world;
}

void serve_secrets(const std::shared_ptr<const xds::World>& world,
                   const std::shared_ptr<net::GrpcStream>& call) {
  std::shared_ptr<control::StreamProtocol> protocol = control::state_of_the_world_protocol("sds");
  protocol->offer(world);
  call->on_message([weak = std::weak_ptr(call), protocol](std::string_view message) {
    const auto call = weak.lock();
    if (!call || !protocol->receive(message)) return;
    while (const auto response = protocol->next()) call->send(*response);
  });
}

int run(std::uint16_t port, char** files, int count) {
  io::EpollLoop loop;
  control::Store store;
  for (int i = 0; i < count; ++i) {
    if (Status loaded = load(files[i], &store); !loaded) {
      log::error("ads-from-files", "{}: {}", files[i], loaded.error().message);
      return 1;
    }
  }
  auto client = kube::Client::make(loop, {.server = "http://127.0.0.1:1"});
  if (!client) return 1;
  control::Authenticator authenticator(**client, "cluster.local");
  control::Discovery discovery(loop, store, authenticator);
  control::DebugPages pages(
      store, discovery, [] { return Status(); }, [] { return ""; });
  net::GrpcServer grpc;
  discovery.mount(grpc, true);
  grpc.streaming(std::string(api::kSotwSdsMethod),
                 [world = agent_secrets()](std::shared_ptr<net::GrpcStream> call) {
                   serve_secrets(world, call);
                 });
  net::HttpServer server(loop, {.idle_timeout = Duration::zero()},
                         [&](std::shared_ptr<net::Exchange> exchange) {
                           if (grpc.handle(exchange) || pages.handle(exchange)) return;
                           exchange->respond(404, {}, "");
                         });
  const auto bound = server.listen(*io::Address::parse_ip("127.0.0.1", port));
  if (!bound) {
    log::error("ads-from-files", "{}", bound.error().message);
    return 1;
  }
  discovery.start();
  std::printf("%s\n", bound->to_string().c_str());
  std::fflush(stdout);
  const io::Signals signals(loop, {SIGTERM, SIGINT}, [&](int) { loop.stop(); });
  loop.run();
  return 0;
}

}  // namespace
}  // namespace mizzen

int main(int argc, char** argv) {
  const auto port = argc < 3 ? std::nullopt : mizzen::parse_int<std::uint16_t>(argv[1]);
  if (!port) {
    std::fprintf(stderr, "usage: ads-from-files PORT FILE...\n");
    return 2;
  }
  return mizzen::run(*port, argv + 2, argc - 2);
}
