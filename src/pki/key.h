// Private and public keys. Values that share the key underneath; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct evp_pkey_st;

namespace mizzen::pki {

class PublicKey {
 public:
  // SubjectPublicKeyInfo in PEM.
  static Result<PublicKey> from_pem(std::string_view pem);
  std::string to_pem() const;

  explicit PublicKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}
  evp_pkey_st* get() const { return key_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

class PrivateKey {
 public:
  static Result<PrivateKey> generate_p256();
  static Result<PrivateKey> generate_rsa(int bits);  // 2048 and more
  // PKCS#8, SEC1 or PKCS#1 in PEM, without a pass phrase.
  static Result<PrivateKey> from_pem(std::string_view pem);
  std::string to_pem() const;  // PKCS#8
  PublicKey public_key() const { return PublicKey(key_); }
  bool is_ec() const;

  explicit PrivateKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}
  evp_pkey_st* get() const { return key_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace mizzen::pki
