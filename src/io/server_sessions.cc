#include <list>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "io/tls_context.h"

namespace mizzen::io {

class ServerSessions {
 public:
  void put(SessionPtr session) {
    const std::string_view id = id_of(session.get());
    std::lock_guard lock(mutex_);
    if (by_id_.contains(id)) return;
    by_age_.push_back(std::move(session));
    by_id_[id] = std::prev(by_age_.end());
    if (by_age_.size() <= kMost) return;
    by_id_.erase(id_of(by_age_.front().get()));
    by_age_.pop_front();
  }
  // A reference of its own for the caller; null: not here.
  SSL_SESSION* find(std::string_view id) {
    std::lock_guard lock(mutex_);
    auto found = by_id_.find(id);
    if (found == by_id_.end()) return nullptr;
    SSL_SESSION* session = found->second->get();
    SSL_SESSION_up_ref(session);
    return session;
  }

 private:
  static constexpr std::size_t kMost = 512;
  static std::string_view id_of(const SSL_SESSION* session) {
    unsigned size = 0;
    const unsigned char* bytes = SSL_SESSION_get_id(session, &size);
    return {reinterpret_cast<const char*>(bytes), size};
  }
  std::mutex mutex_;
  std::list<SessionPtr> by_age_;
  std::unordered_map<std::string_view, std::list<SessionPtr>::iterator> by_id_;
};

std::shared_ptr<ServerSessions> make_server_sessions() {
  return std::make_shared<ServerSessions>();
}

namespace {

ServerSessions* sessions_of(SSL* ssl) {
  auto* handshake = static_cast<TlsHandshake*>(SSL_get_app_data(ssl));
  return handshake == nullptr ? nullptr : handshake->context->server_sessions.get();
}

int new_session(SSL* ssl, SSL_SESSION* session) {
  ServerSessions* sessions = sessions_of(ssl);
  if (sessions == nullptr) return 0;
  sessions->put(SessionPtr(session));
  return 1;  // the reference is ours now
}

SSL_SESSION* find_session(SSL* ssl, const unsigned char* id, int size, int* add_reference) {
  *add_reference = 0;
  ServerSessions* sessions = sessions_of(ssl);
  if (sessions == nullptr) return nullptr;
  return sessions->find({reinterpret_cast<const char*>(id), static_cast<std::size_t>(size)});
}

}  // namespace

void keep_server_sessions(SSL_CTX* ctx) {
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, &new_session);
  SSL_CTX_sess_set_get_cb(ctx, &find_session);
}

}  // namespace mizzen::io
