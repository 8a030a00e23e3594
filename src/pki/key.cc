#include "pki/key.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "pki/openssl.h"

namespace mizzen::pki {
namespace {

std::shared_ptr<EVP_PKEY> share(EVP_PKEY* key) { return {key, EVP_PKEY_free}; }

}  // namespace

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  EVP_PKEY* key = PEM_read_bio_PUBKEY(memory_bio(pem).get(), nullptr, nullptr, nullptr);
  if (key == nullptr) return openssl_fail(Code::kInvalid, "not a public key in PEM");
  return PublicKey(share(key));
}

std::string PublicKey::to_pem() const {
  BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(out.get(), key_.get());
  return bio_text(out.get());
}

Result<PrivateKey> PrivateKey::generate_p256() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  if (key == nullptr) return openssl_fail(Code::kInternal, "no P-256 key");
  return PrivateKey(share(key));
}

Result<PrivateKey> PrivateKey::generate_rsa(int bits) {
  if (bits < 2048 || bits > 8192) return fail(Code::kInvalid, "RSA keys have 2048 to 8192 bits");
  EVP_PKEY* key = EVP_RSA_gen(static_cast<unsigned>(bits));
  if (key == nullptr) return openssl_fail(Code::kInternal, "no RSA key");
  return PrivateKey(share(key));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  // An empty pass phrase rather than none: OpenSSL would ask on the terminal otherwise.
  char no_phrase[] = "";
  EVP_PKEY* key = PEM_read_bio_PrivateKey(memory_bio(pem).get(), nullptr, nullptr, no_phrase);
  if (key == nullptr) return openssl_fail(Code::kInvalid, "not a private key in PEM");
  return PrivateKey(share(key));
}

std::string PrivateKey::to_pem() const {
  BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(out.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return bio_text(out.get());
}

bool PrivateKey::is_ec() const { return EVP_PKEY_base_id(key_.get()) == EVP_PKEY_EC; }

}  // namespace mizzen::pki
