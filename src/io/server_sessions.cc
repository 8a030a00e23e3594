#include "io/server_sessions.h"

#include <algorithm>
#include <cstring>

namespace mizzen::io {

void ServerSessions::put(ServerSession session) {
  std::lock_guard lock(mutex_);
  if (by_id_.contains(id_of(session))) return;
  by_age_.push_back(std::move(session));
  by_id_[id_of(by_age_.back())] = std::prev(by_age_.end());
  if (by_age_.size() <= kMost) return;
  ServerSession& oldest = by_age_.front();
  by_id_.erase(id_of(oldest));
  by_age_.pop_front();
}

std::optional<ServerSession> ServerSessions::find(std::string_view id) {
  std::lock_guard lock(mutex_);
  auto found = by_id_.find(id);
  if (found == by_id_.end() || found->second->ends <= std::time(nullptr)) return std::nullopt;
  return *found->second;
}

std::shared_ptr<ServerSessions> make_server_sessions() {
  return std::make_shared<ServerSessions>();
}

namespace {

TlsHandshake* server_handshake(SSL* ssl) {
  auto* handshake = static_cast<TlsHandshake*>(SSL_get_app_data(ssl));
  return handshake == nullptr || !handshake->context->server_sessions ? nullptr : handshake;
}

int new_session(SSL* ssl, SSL_SESSION* session) {
  TlsHandshake* handshake = server_handshake(ssl);
  const SSL_CIPHER* suite = SSL_SESSION_get0_cipher(session);
  ServerSession kept;
  unsigned size = 0;
  const unsigned char* id = SSL_SESSION_get_id(session, &size);
  if (handshake == nullptr || suite == nullptr || size != kept.id.size()) return 0;
  std::memcpy(kept.id.data(), id, size);
  const unsigned char* scope = SSL_SESSION_get0_id_context(session, &size);
  if (size != kept.scope.size()) return 0;
  std::memcpy(kept.scope.data(), scope, size);
  kept.ends = SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session);
  if (SSL_session_reused(ssl) == 1) {
    kept.peer = handshake->resumed_peer;
  } else if (SSL_get0_peer_certificate(ssl) != nullptr) {
    kept.peer = handshake->peer;
  }
  if (SSL_SESSION_get_protocol_version(session) != TLS1_3_VERSION) {
    kept.openssl = std::shared_ptr<SSL_SESSION>(session, SSL_SESSION_free);
    handshake->context->server_sessions->put(std::move(kept));
    return 1;  // the reference is ours now
  }
  kept.suite = SSL_CIPHER_get_protocol_id(suite);
  kept.secret_size = static_cast<std::uint8_t>(
      SSL_SESSION_get_master_key(session, kept.secret.data(), kept.secret.size()));
  handshake->context->server_sessions->put(std::move(kept));
  return 0;
}

// A session of OpenSSL's made of one of ours.
SSL_SESSION* to_openssl(SSL* ssl, const ServerSession& kept) {
  SessionPtr made(SSL_SESSION_new());
  const unsigned char number[] = {static_cast<unsigned char>(kept.suite >> 8),
                                  static_cast<unsigned char>(kept.suite & 0xff)};
  const SSL_CIPHER* suite = SSL_CIPHER_find(ssl, number);
  if (!made || suite == nullptr) return nullptr;
  const std::time_t now = std::time(nullptr);
  SSL_SESSION_set_time(made.get(), now);
  SSL_SESSION_set_timeout(made.get(), kept.ends - now);
  const bool whole =
      SSL_SESSION_set_protocol_version(made.get(), TLS1_3_VERSION) == 1 &&
      SSL_SESSION_set_cipher(made.get(), suite) == 1 &&
      SSL_SESSION_set1_master_key(made.get(), kept.secret.data(), kept.secret_size) == 1 &&
      SSL_SESSION_set1_id(made.get(), kept.id.data(), 32) == 1 &&
      SSL_SESSION_set1_id_context(made.get(), kept.scope.data(), 32) == 1;
  return whole ? made.release() : nullptr;
}

SSL_SESSION* find_session(SSL* ssl, const unsigned char* id, int size, int* add_reference) {
  *add_reference = 0;
  TlsHandshake* handshake = server_handshake(ssl);
  if (handshake == nullptr) return nullptr;
  handshake->resumed_peer = nullptr;
  auto kept = handshake->context->server_sessions->find(
      {reinterpret_cast<const char*>(id), static_cast<std::size_t>(size)});
  if (!kept) return nullptr;
  handshake->resumed_peer = kept->peer;
  if (!kept->openssl) return to_openssl(ssl, *kept);
  SSL_SESSION_up_ref(kept->openssl.get());
  return kept->openssl.get();
}

}  // namespace

void keep_server_sessions(SSL_CTX* ctx) {
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, &new_session);
  SSL_CTX_sess_set_get_cb(ctx, &find_session);
}

}  // namespace mizzen::io
