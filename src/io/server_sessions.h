// Internal to io: the sessions of a server that its clients may resume.
#pragma once

#include <array>
#include <cstdint>
#include <ctime>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "io/tls.h"
#include "io/tls_context.h"

namespace mizzen::io {

// Wiped when it goes, and so is every copy.
template <std::size_t N>
struct SecretBytes : std::array<unsigned char, N> {
  SecretBytes() = default;
  explicit SecretBytes(const std::array<unsigned char, N>& bytes)
      : std::array<unsigned char, N>(bytes) {}
  SecretBytes(const SecretBytes&) = default;
  SecretBytes& operator=(const SecretBytes&) = default;
  ~SecretBytes() { OPENSSL_cleanse(this->data(), N); }
};

using Secret32 = SecretBytes<32>;

// What resumption needs of a TLS 1.3 session: OpenSSL's own object keeps the peer's certificate
// with it, some 10 KB each. A session of TLS 1.2 stays OpenSSL's.
struct ServerSession {
  std::array<unsigned char, 32> id;  // the ticket
  SecretBytes<48> secret;            // the PSK
  std::uint8_t secret_size = 0;
  std::uint16_t suite = 0;
  std::array<unsigned char, 32> scope;  // TlsContext::scope
  std::time_t ends = 0;                 // counted from the full handshake
  std::shared_ptr<const PeerCertificate> peer;
  std::shared_ptr<SSL_SESSION> openssl;  // TLS 1.2 only
};

// Any thread.
class ServerSessions {
 public:
  ServerSessions() = default;
  ServerSessions(const ServerSessions&) = delete;
  // A session whose id is here already is dropped, as the oldest is when there are too many.
  void put(ServerSession session);
  std::optional<ServerSession> find(std::string_view id);

 private:
  static constexpr std::size_t kMost = 512;
  static std::string_view id_of(const ServerSession& session) {
    return {reinterpret_cast<const char*>(session.id.data()), session.id.size()};
  }
  std::mutex mutex_;
  std::list<ServerSession> by_age_;
  std::unordered_map<std::string_view, std::list<ServerSession>::iterator> by_id_;
};

}  // namespace mizzen::io
