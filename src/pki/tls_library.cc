// A view of OpenSSL's default provider that offers few decoders. OpenSSL 3.0 asks every decoder of
// a provider, for every kind of key, whether it may read the key of each certificate that comes:
// that is 15 % of a mutual handshake. Here only those stand that read public keys as certificates
// hold them; all other operations are the default provider's own.
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/provider.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "pki/openssl.h"

namespace mizzen::pki {
namespace {

OSSL_PROVIDER* default_provider() {
  static OSSL_PROVIDER* const kDefault = OSSL_PROVIDER_load(nullptr, "default");
  return kDefault;
}

bool reads_certificate_keys(const OSSL_ALGORITHM& decoder) {
  constexpr std::array<std::string_view, 5> kKeys = {"EC", "RSA", "RSA-PSS", "ED25519", "ED448"};
  const std::string_view properties = decoder.property_definition;
  if (properties.find("structure=SubjectPublicKeyInfo") == std::string_view::npos) return false;
  const std::string_view names = decoder.algorithm_names;
  const std::string_view first = names.substr(0, names.find(':'));
  return std::ranges::find(kKeys, first) != kKeys.end();
}

// Ends, as the provider interface wants it, with an empty entry.
std::vector<OSSL_ALGORITHM> chosen_decoders() {
  int no_store = 0;
  std::vector<OSSL_ALGORITHM> chosen;
  const OSSL_ALGORITHM* all =
      OSSL_PROVIDER_query_operation(default_provider(), OSSL_OP_DECODER, &no_store);
  for (; all != nullptr && all->algorithm_names != nullptr; ++all) {
    if (reads_certificate_keys(*all)) chosen.push_back(*all);
  }
  chosen.push_back({});
  return chosen;
}

const OSSL_ALGORITHM* query(void*, int operation, int* no_store) {
  static const std::vector<OSSL_ALGORITHM> kDecoders = chosen_decoders();
  if (operation == OSSL_OP_DECODER) {
    *no_store = 0;
    return kDecoders.data();
  }
  return OSSL_PROVIDER_query_operation(default_provider(), operation, no_store);
}

int capabilities(void*, const char* which, OSSL_CALLBACK* callback, void* argument) {
  return OSSL_PROVIDER_get_capabilities(default_provider(), which, callback, argument);
}

template <class Function>
OSSL_DISPATCH entry(int id, Function* function) {
  return {id, reinterpret_cast<void (*)()>(function)};
}

int init(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** out, void** context) {
  static const OSSL_DISPATCH kFunctions[] = {
      entry(OSSL_FUNC_PROVIDER_QUERY_OPERATION, &query),
      entry(OSSL_FUNC_PROVIDER_GET_CAPABILITIES, &capabilities),
      {0, nullptr},
  };
  *out = kFunctions;
  *context = OSSL_PROVIDER_get0_provider_ctx(default_provider());
  return 1;
}

OSSL_LIB_CTX* make_library() {
  if (default_provider() == nullptr) return nullptr;
  OSSL_LIB_CTX* made = OSSL_LIB_CTX_new();
  if (made == nullptr) return nullptr;
  if (OSSL_PROVIDER_add_builtin(made, "mizzen", &init) == 1 &&
      OSSL_PROVIDER_load(made, "mizzen") != nullptr) {
    return made;
  }
  ERR_clear_error();
  OSSL_LIB_CTX_free(made);
  return nullptr;
}

}  // namespace

OSSL_LIB_CTX* tls_library() {
  static OSSL_LIB_CTX* const kLibrary = make_library();  // lives as long as the process
  return kLibrary;
}

}  // namespace mizzen::pki
