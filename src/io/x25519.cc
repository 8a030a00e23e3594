// A key agreement of one use, by OpenSSL's X25519.
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <memory>

#include "io/tls_resumption.h"
#include "pki/openssl.h"

namespace mizzen::io {
namespace {

using AgreeContextPtr = std::unique_ptr<EVP_PKEY_CTX, pki::OpensslDelete<EVP_PKEY_CTX_free>>;

pki::KeyPtr public_x25519(std::span<const unsigned char> bytes) {
  return pki::KeyPtr(EVP_PKEY_new_raw_public_key_ex(pki::tls_library(), "X25519", nullptr,
                                                    bytes.data(), bytes.size()));
}

// With a public half that is not its own: OpenSSL 3.0 would work it out by portable code, at twice
// the price of the multiplication that stands below, and agreeing does not look at it.
pki::KeyPtr private_x25519(Bytes32& scalar) {
  thread_local const AgreeContextPtr kMaker = [] {
    AgreeContextPtr made(EVP_PKEY_CTX_new_from_name(pki::tls_library(), "X25519", nullptr));
    return made && EVP_PKEY_fromdata_init(made.get()) == 1 ? std::move(made) : nullptr;
  }();
  if (!kMaker) return nullptr;
  Bytes32 placeholder{9};
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, placeholder.data(),
                                        placeholder.size()),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, scalar.data(), scalar.size()),
      OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata(kMaker.get(), &key, EVP_PKEY_KEYPAIR, parameters) != 1) return nullptr;
  return pki::KeyPtr(key);
}

bool multiply(EVP_PKEY_CTX* context, EVP_PKEY* point, Bytes32& product) {
  std::size_t size = product.size();
  return EVP_PKEY_derive_set_peer_ex(context, point, 0) == 1 &&
         EVP_PKEY_derive(context, product.data(), &size) == 1 && size == product.size();
}

}  // namespace

std::optional<X25519Agreed> agree_x25519(std::span<const unsigned char> theirs) {
  thread_local const pki::KeyPtr kBase = public_x25519(Bytes32{9});
  Bytes32 scalar;
  if (theirs.size() != scalar.size() || !kBase) return std::nullopt;
  if (RAND_priv_bytes_ex(pki::tls_library(), scalar.data(), scalar.size(), 0) != 1) {
    return std::nullopt;
  }
  const pki::KeyPtr own = private_x25519(scalar);
  OPENSSL_cleanse(scalar.data(), scalar.size());
  const pki::KeyPtr peer = public_x25519(theirs);
  if (!own || !peer) return std::nullopt;
  const AgreeContextPtr context(EVP_PKEY_CTX_new_from_pkey(pki::tls_library(), own.get(), nullptr));
  X25519Agreed agreed;
  const bool done = context && EVP_PKEY_derive_init(context.get()) == 1 &&
                    multiply(context.get(), kBase.get(), agreed.share) &&
                    multiply(context.get(), peer.get(), agreed.secret);
  if (done) return agreed;
  ERR_clear_error();
  return std::nullopt;
}

}  // namespace mizzen::io
