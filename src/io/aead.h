// Internal to io: an authenticated cipher by the functions of OpenSSL's provider themselves
// (provider-cipher(7)). The EVP layer above them looks up a parameter by name to learn how long a
// nonce is, at every record; for a small one that costs more than to cipher it.
#pragma once

#include <openssl/core_dispatch.h>

#include <cstddef>
#include <span>

namespace mizzen::io {

inline constexpr std::size_t kRecordTag = 16;  // of every cipher here (RFC 5116 5.1, RFC 8439 2.8)

// One cipher, as the provider has it that OpenSSL's configuration chooses. Any thread.
class Aead {
 public:
  // By OpenSSL's name, as "AES-128-GCM". Where no provider has it every context fails.
  explicit Aead(const char* name);
  Aead(const Aead&) = delete;

 private:
  friend class AeadContext;
  bool whole() const;

  void* provider_context_ = nullptr;
  OSSL_FUNC_cipher_newctx_fn* new_context_ = nullptr;
  OSSL_FUNC_cipher_freectx_fn* free_context_ = nullptr;
  OSSL_FUNC_cipher_encrypt_init_fn* encrypt_init_ = nullptr;
  OSSL_FUNC_cipher_decrypt_init_fn* decrypt_init_ = nullptr;
  OSSL_FUNC_cipher_update_fn* update_ = nullptr;
  OSSL_FUNC_cipher_get_ctx_params_fn* get_params_ = nullptr;
  OSSL_FUNC_cipher_set_ctx_params_fn* set_params_ = nullptr;
  OSSL_FUNC_cipher_final_fn* final_ = nullptr;
};

// A key, and a message on its way. For each message start(), authenticate(), apply(), and then
// tag() or verify(). All return false when the provider refuses. One thread at a time.
class AeadContext {
 public:
  explicit AeadContext(const Aead& cipher);
  AeadContext(const AeadContext&) = delete;
  ~AeadContext();
  const Aead& cipher() const { return cipher_; }

  // `key`: empty keeps the one before.
  bool start(bool seals, std::span<const unsigned char> key, std::span<const unsigned char> nonce);
  bool authenticate(std::span<const unsigned char> data);
  // Ciphers `size` bytes; `to` may be `from`. As often as need be.
  bool apply(unsigned char* to, const unsigned char* from, std::size_t size);
  bool tag(unsigned char* to);  // kRecordTag bytes, of what was sealed
  bool verify(const unsigned char* tag);

 private:
  bool finish();
  const Aead& cipher_;
  void* const context_;
};

}  // namespace mizzen::io
