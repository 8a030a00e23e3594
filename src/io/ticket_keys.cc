#include <openssl/core_names.h>
#include <openssl/rand.h>

#include <array>
#include <cstring>
#include <mutex>

#include "base/clock.h"
#include "io/tls_context.h"

namespace mizzen::io {
namespace {

constexpr Duration kLife = std::chrono::hours(6);

struct Key {
  std::array<unsigned char, 16> name{};
  std::array<unsigned char, 32> cipher{};
  std::array<unsigned char, 32> mac{};
  MonoTime made{};
  bool set = false;
};

Key fresh(MonoTime now) {
  Key key;
  key.made = now;
  key.set = RAND_bytes(key.name.data(), static_cast<int>(key.name.size())) == 1 &&
            RAND_bytes(key.cipher.data(), static_cast<int>(key.cipher.size())) == 1 &&
            RAND_bytes(key.mac.data(), static_cast<int>(key.mac.size())) == 1;
  return key;
}

}  // namespace

class TicketKeys {
 public:
  Key current() {
    std::lock_guard lock(mutex_);
    rotate();
    return current_;
  }
  // `old`: the ticket should be replaced.
  Key find(const unsigned char* name, bool* old) {
    std::lock_guard lock(mutex_);
    rotate();
    *old = false;
    if (std::memcmp(current_.name.data(), name, current_.name.size()) == 0) return current_;
    *old = true;
    if (previous_.set && std::memcmp(previous_.name.data(), name, previous_.name.size()) == 0) {
      return previous_;
    }
    return {};
  }

 private:
  void rotate() {
    MonoTime now = system_clock().mono();
    if (current_.set && now - current_.made < kLife) return;
    if (previous_.set && now - previous_.made >= 2 * kLife) previous_ = {};
    if (current_.set) previous_ = current_;
    current_ = fresh(now);
  }

  std::mutex mutex_;
  Key current_;
  Key previous_;
};

std::shared_ptr<TicketKeys> make_ticket_keys() { return std::make_shared<TicketKeys>(); }

namespace {

bool start_mac(EVP_MAC_CTX* mac, Key& key) {
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

// SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 go on, 2 go on and renew, 0 no such key, -1 failure.
int ticket_callback(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                    EVP_MAC_CTX* mac, int encrypt) {
  auto* handshake = static_cast<TlsHandshake*>(SSL_get_app_data(ssl));
  if (handshake == nullptr || !handshake->context->tickets) return -1;
  TicketKeys& keys = *handshake->context->tickets;
  if (encrypt == 1) {
    Key key = keys.current();
    if (!key.set || RAND_bytes(iv, 16) != 1) return -1;
    std::memcpy(name, key.name.data(), key.name.size());
    return EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.cipher.data(), iv) == 1 &&
                   start_mac(mac, key)
               ? 1
               : -1;
  }
  bool old = false;
  Key key = keys.find(name, &old);
  if (!key.set) return 0;
  if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.cipher.data(), iv) != 1 ||
      !start_mac(mac, key)) {
    return -1;
  }
  // A TLS 1.3 client uses a ticket once: every connection brings it a new one.
  return old || SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
}

}  // namespace

void install_ticket_keys(SSL_CTX* ctx) {
  SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, &ticket_callback);
}

}  // namespace mizzen::io
