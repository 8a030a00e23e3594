#include "agent/sds_server.h"

#include <algorithm>

#include "api/names.h"
#include "base/log.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace mizzen::agent {

namespace tls = envoy::extensions::transport_sockets::tls::v3;
using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;

struct SdsServer::Client {
  std::shared_ptr<net::GrpcStream> stream;
  std::set<std::string> names;
  std::uint64_t sent_version = 0;
  std::uint64_t nonce = 0;
};

SdsServer::SdsServer(net::GrpcServer& grpc) {
  grpc.streaming(std::string(api::kSotwSdsMethod),
                 [this](std::shared_ptr<net::GrpcStream> stream) { accept(std::move(stream)); });
}

SdsServer::~SdsServer() = default;

void SdsServer::accept(std::shared_ptr<net::GrpcStream> stream) {
  auto client = std::make_shared<Client>();
  client->stream = std::move(stream);
  clients_.insert(client);
  std::weak_ptr<Client> weak = client;
  client->stream->on_message([this, weak](std::string_view message) {
    if (auto client = weak.lock()) on_request(client, message);
  });
  client->stream->on_half_close([weak] {
    if (auto client = weak.lock()) client->stream->finish({});
  });
  client->stream->on_closed([this, weak] {
    if (auto client = weak.lock()) clients_.erase(client);
  });
}

void SdsServer::on_request(const std::shared_ptr<Client>& client, std::string_view message) {
  DiscoveryRequest request;
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    client->stream->finish({http::GrpcCode::kInvalidArgument, "not a DiscoveryRequest"});
    return;
  }
  if (request.has_error_detail()) {
    log::warning("agent", "a secret was rejected: {}", request.error_detail().message());
    return;
  }
  std::set<std::string> names(request.resource_names().begin(), request.resource_names().end());
  // The same names again are an ACK.
  if (names == client->names && client->sent_version == version_) return;
  client->names = std::move(names);
  client->sent_version = 0;
  push(*client);
}

void SdsServer::push(Client& client) {
  if (version_ == 0 || client.names.empty() || client.sent_version == version_) return;
  DiscoveryResponse response;
  response.set_type_url(std::string(api::kSecretType));
  response.set_version_info(std::to_string(version_));
  response.set_nonce(std::to_string(++client.nonce));
  for (const auto& name : client.names) {
    auto found = secrets_.find(name);
    if (found == secrets_.end()) continue;
    auto* any = response.add_resources();
    any->set_type_url(std::string(api::kSecretType));
    any->set_value(found->second);
  }
  client.sent_version = version_;
  client.stream->send(response.SerializeAsString());
}

void SdsServer::set_identity(const Identity& identity) {
  tls::Secret own;
  own.set_name(std::string(api::kWorkloadSecret));
  auto* certificate = own.mutable_tls_certificate();
  certificate->mutable_certificate_chain()->set_inline_bytes(identity.chain_pem);
  certificate->mutable_private_key()->set_inline_bytes(identity.key_pem);
  tls::Secret roots;
  roots.set_name(std::string(api::kRootSecret));
  roots.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(identity.roots_pem);
  secrets_[own.name()] = own.SerializeAsString();
  secrets_[roots.name()] = roots.SerializeAsString();
  ++version_;
  for (const auto& client : clients_) push(*client);
}

}  // namespace mizzen::agent
