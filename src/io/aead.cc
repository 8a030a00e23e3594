#include "io/aead.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include <array>
#include <memory>
#include <string_view>

namespace mizzen::io {
namespace {

// Names stand as "AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6".
bool is_named(const OSSL_ALGORITHM& algorithm, std::string_view name) {
  const std::string_view names = algorithm.algorithm_names;
  return names.starts_with(name) && (names.size() == name.size() || names[name.size()] == ':');
}

const OSSL_DISPATCH* functions(const OSSL_PROVIDER* provider, std::string_view name) {
  int no_store = 0;
  const OSSL_ALGORITHM* all = OSSL_PROVIDER_query_operation(provider, OSSL_OP_CIPHER, &no_store);
  for (; all != nullptr && all->algorithm_names != nullptr; ++all) {
    if (is_named(*all, name)) return all->implementation;
  }
  return nullptr;
}

// The entry of a function, the ending one for a function that is not there: its pointer is null.
const OSSL_DISPATCH* entry(const OSSL_DISPATCH* all, int function) {
  static constexpr OSSL_DISPATCH kEnd{};
  if (all == nullptr) return &kEnd;
  while (all->function_id != 0 && all->function_id != function) ++all;
  return all;
}

}  // namespace

Aead::Aead(const char* name) {
  const std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)> chosen(
      EVP_CIPHER_fetch(nullptr, name, nullptr), &EVP_CIPHER_free);
  if (chosen == nullptr) return;
  const OSSL_PROVIDER* provider = EVP_CIPHER_get0_provider(chosen.get());
  provider_context_ = OSSL_PROVIDER_get0_provider_ctx(provider);
  const OSSL_DISPATCH* all = functions(provider, name);
  new_context_ = OSSL_FUNC_cipher_newctx(entry(all, OSSL_FUNC_CIPHER_NEWCTX));
  free_context_ = OSSL_FUNC_cipher_freectx(entry(all, OSSL_FUNC_CIPHER_FREECTX));
  encrypt_init_ = OSSL_FUNC_cipher_encrypt_init(entry(all, OSSL_FUNC_CIPHER_ENCRYPT_INIT));
  decrypt_init_ = OSSL_FUNC_cipher_decrypt_init(entry(all, OSSL_FUNC_CIPHER_DECRYPT_INIT));
  update_ = OSSL_FUNC_cipher_update(entry(all, OSSL_FUNC_CIPHER_UPDATE));
  final_ = OSSL_FUNC_cipher_final(entry(all, OSSL_FUNC_CIPHER_FINAL));
  get_params_ = OSSL_FUNC_cipher_get_ctx_params(entry(all, OSSL_FUNC_CIPHER_GET_CTX_PARAMS));
  set_params_ = OSSL_FUNC_cipher_set_ctx_params(entry(all, OSSL_FUNC_CIPHER_SET_CTX_PARAMS));
}

bool Aead::whole() const {
  return new_context_ != nullptr && free_context_ != nullptr && encrypt_init_ != nullptr &&
         decrypt_init_ != nullptr && update_ != nullptr && final_ != nullptr &&
         get_params_ != nullptr && set_params_ != nullptr;
}

AeadContext::AeadContext(const Aead& cipher)
    : cipher_(cipher),
      context_(cipher.whole() ? cipher.new_context_(cipher.provider_context_) : nullptr) {}

AeadContext::~AeadContext() {
  if (context_ != nullptr) cipher_.free_context_(context_);
}

bool AeadContext::start(bool seals, std::span<const unsigned char> key,
                        std::span<const unsigned char> nonce) {
  if (context_ == nullptr) return false;
  auto* const init = seals ? cipher_.encrypt_init_ : cipher_.decrypt_init_;
  return init(context_, key.empty() ? nullptr : key.data(), key.size(), nonce.data(), nonce.size(),
              nullptr) == 1;
}

bool AeadContext::authenticate(std::span<const unsigned char> data) {
  std::size_t done = 0;
  return cipher_.update_(context_, nullptr, &done, data.size(), data.data(), data.size()) == 1;
}

bool AeadContext::apply(unsigned char* to, const unsigned char* from, std::size_t size) {
  std::size_t done = 0;
  return cipher_.update_(context_, to, &done, size, from, size) == 1;
}

bool AeadContext::finish() {
  std::array<unsigned char, kRecordTag> none;
  std::size_t done = 0;
  return cipher_.final_(context_, none.data(), &done, none.size()) == 1;
}

bool AeadContext::tag(unsigned char* to) {
  OSSL_PARAM wanted[] = {
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, to, kRecordTag),
      OSSL_PARAM_construct_end()};
  return finish() && cipher_.get_params_(context_, wanted) == 1;
}

bool AeadContext::verify(const unsigned char* tag) {
  const OSSL_PARAM given[] = {
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, const_cast<unsigned char*>(tag),
                                        kRecordTag),
      OSSL_PARAM_construct_end()};
  return cipher_.set_params_(context_, given) == 1 && finish();
}

}  // namespace mizzen::io
