// Internal to pki and io: owners for OpenSSL's objects, and its error queue as our Error.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mizzen::pki {

template <auto free_fn>
struct OpensslDelete {
  template <class T>
  void operator()(T* p) const {
    free_fn(p);
  }
};
using BioPtr = std::unique_ptr<BIO, OpensslDelete<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslDelete<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, OpensslDelete<X509_free>>;
using ReqPtr = std::unique_ptr<X509_REQ, OpensslDelete<X509_REQ_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslDelete<GENERAL_NAMES_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, OpensslDelete<X509_EXTENSION_free>>;
using DigestPtr = std::unique_ptr<EVP_MD_CTX, OpensslDelete<EVP_MD_CTX_free>>;

inline BioPtr memory_bio(std::string_view bytes) {
  return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}
inline std::string bio_text(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}
// The newest entry of OpenSSL's error queue, which is emptied.
inline std::unexpected<Error> openssl_fail(Code code, std::string what) {
  char text[256] = "unknown";
  unsigned long last = ERR_peek_last_error();
  if (last != 0) ERR_error_string_n(last, text, sizeof text);
  ERR_clear_error();
  return fail(code, std::move(what) + ": " + text);
}

// OpenSSL's default algorithms for TLS connections, without what makes OpenSSL 3.0 slow to read
// certificates. Null (the default library context) if it cannot be made. Any thread.
OSSL_LIB_CTX* tls_library();

}  // namespace mizzen::pki
