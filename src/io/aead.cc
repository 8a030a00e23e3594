#include "io/aead.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include <array>
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

template <class Function>
void take(Function*& to, const OSSL_DISPATCH& entry) {
  to = reinterpret_cast<Function*>(entry.function);
}

}  // namespace

Aead::Aead(const char* name) {
  const std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)> chosen(
      EVP_CIPHER_fetch(nullptr, name, nullptr), &EVP_CIPHER_free);
  if (chosen == nullptr) return;
  const OSSL_PROVIDER* provider = EVP_CIPHER_get0_provider(chosen.get());
  provider_context_ = OSSL_PROVIDER_get0_provider_ctx(provider);
  const OSSL_DISPATCH* entry = functions(provider, name);
  for (; entry != nullptr && entry->function_id != 0; ++entry) {
    switch (entry->function_id) {
      case OSSL_FUNC_CIPHER_NEWCTX:
        take(new_context_, *entry);
        break;
      case OSSL_FUNC_CIPHER_FREECTX:
        take(free_context_, *entry);
        break;
      case OSSL_FUNC_CIPHER_ENCRYPT_INIT:
        take(encrypt_init_, *entry);
        break;
      case OSSL_FUNC_CIPHER_DECRYPT_INIT:
        take(decrypt_init_, *entry);
        break;
      case OSSL_FUNC_CIPHER_UPDATE:
        take(update_, *entry);
        break;
      case OSSL_FUNC_CIPHER_FINAL:
        take(final_, *entry);
        break;
      case OSSL_FUNC_CIPHER_GET_CTX_PARAMS:
        take(get_params_, *entry);
        break;
      case OSSL_FUNC_CIPHER_SET_CTX_PARAMS:
        take(set_params_, *entry);
        break;
      default:
        break;
    }
  }
  const bool whole = new_context_ != nullptr && free_context_ != nullptr &&
                     encrypt_init_ != nullptr && decrypt_init_ != nullptr && update_ != nullptr &&
                     get_params_ != nullptr && set_params_ != nullptr;
  if (!whole) final_ = nullptr;
}

AeadContext::AeadContext(const Aead& cipher)
    : cipher_(cipher),
      context_(cipher.valid() ? cipher.new_context_(cipher.provider_context_) : nullptr) {}

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
  std::array<unsigned char, kAeadTag> none;
  std::size_t done = 0;
  return cipher_.final_(context_, none.data(), &done, none.size()) == 1;
}

bool AeadContext::tag(unsigned char* to) {
  OSSL_PARAM wanted[] = {
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, to, kAeadTag),
      OSSL_PARAM_construct_end()};
  return finish() && cipher_.get_params_(context_, wanted) == 1;
}

bool AeadContext::verify(const unsigned char* tag) {
  const OSSL_PARAM given[] = {
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, const_cast<unsigned char*>(tag),
                                        kAeadTag),
      OSSL_PARAM_construct_end()};
  return cipher_.set_params_(context_, given) == 1 && finish();
}

}  // namespace mizzen::io
