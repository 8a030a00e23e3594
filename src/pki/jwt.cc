#include "pki/jwt.h"

#include <openssl/ecdsa.h>

#include <array>

#include "base/strings.h"
#include "pki/openssl.h"

namespace mizzen::pki {
namespace {

constexpr std::size_t kCoordinate = 32;  // P-256
constexpr std::size_t kMaxToken = 64 * 1024;

bool is_p256(EVP_PKEY* key) {
  return EVP_PKEY_base_id(key) == EVP_PKEY_EC && EVP_PKEY_bits(key) == 256;
}

// RFC 7518 3.4: R and S side by side, where OpenSSL has them in DER.
std::string raw_of_der(std::string_view der) {
  const auto* p = reinterpret_cast<const unsigned char*>(der.data());
  ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &p, static_cast<long>(der.size()));
  if (signature == nullptr) return {};
  std::array<unsigned char, 2 * kCoordinate> raw{};
  BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw.data(), kCoordinate);
  BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw.data() + kCoordinate, kCoordinate);
  ECDSA_SIG_free(signature);
  return {reinterpret_cast<const char*>(raw.data()), raw.size()};
}

std::string der_of_raw(std::string_view raw) {
  if (raw.size() != 2 * kCoordinate) return {};
  const auto* bytes = reinterpret_cast<const unsigned char*>(raw.data());
  ECDSA_SIG* signature = ECDSA_SIG_new();
  ECDSA_SIG_set0(signature, BN_bin2bn(bytes, kCoordinate, nullptr),
                 BN_bin2bn(bytes + kCoordinate, kCoordinate, nullptr));
  unsigned char* der = nullptr;
  int size = i2d_ECDSA_SIG(signature, &der);
  std::string out(reinterpret_cast<char*>(der), size > 0 ? static_cast<std::size_t>(size) : 0);
  OPENSSL_free(der);
  ECDSA_SIG_free(signature);
  return out;
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

Result<std::string> sign_jwt(std::string_view claims, std::string_view key_id,
                             const PrivateKey& key) {
  bool ec = is_p256(key.get());
  if (!ec && EVP_PKEY_base_id(key.get()) != EVP_PKEY_RSA) {
    return fail(Code::kInvalid, "tokens are signed with P-256 or RSA keys");
  }
  std::string header = std::string(R"({"alg":")") + (ec ? "ES256" : "RS256") + R"(","kid":")" +
                       std::string(key_id) + R"(","typ":"JWT"})";
  std::string token = base64url_encode(header) + "." + base64url_encode(claims);
  DigestPtr context(EVP_MD_CTX_new());
  std::size_t size = 0;
  std::string signature;
  bool good = EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
              EVP_DigestSign(context.get(), nullptr, &size, bytes_of(token), token.size()) == 1;
  if (good) {
    signature.resize(size);
    good = EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                          bytes_of(token), token.size()) == 1;
    signature.resize(size);
  }
  if (!good) return openssl_fail(Code::kInternal, "no token");
  return token + "." + base64url_encode(ec ? raw_of_der(signature) : signature);
}

Result<std::string> verify_jwt(std::string_view token, const PublicKey& key) {
  auto refuse = [](const char* why) { return fail(Code::kUnauthenticated, why); };
  if (token.size() > kMaxToken) return refuse("the token is too long");
  auto parts = split(token, '.');
  if (parts.size() != 3) return refuse("the token is not a JWT");
  auto header = base64_decode(parts[0]);
  auto claims = base64_decode(parts[1]);
  auto signature = base64_decode(parts[2]);
  if (!header || !claims || !signature) return refuse("the token is not base64url");
  if (is_p256(key.get())) {
    signature = der_of_raw(*signature);
  } else if (EVP_PKEY_base_id(key.get()) != EVP_PKEY_RSA) {
    return refuse("tokens are verified with P-256 or RSA keys");
  }
  std::string_view input = token.substr(0, parts[0].size() + 1 + parts[1].size());
  DigestPtr context(EVP_MD_CTX_new());
  bool good = EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
              EVP_DigestVerify(context.get(), bytes_of(*signature), signature->size(),
                               bytes_of(input), input.size()) == 1;
  ERR_clear_error();
  if (!good) return refuse("the token's signature does not verify");
  return *claims;
}

}  // namespace mizzen::pki
