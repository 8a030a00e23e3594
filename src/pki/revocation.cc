#include <openssl/pem.h>

#include "pki/certificate.h"
#include "pki/openssl.h"

namespace mizzen::pki {
namespace {

using ListPtr = std::unique_ptr<X509_CRL, OpensslDelete<X509_CRL_free>>;
using RevokedPtr = std::unique_ptr<X509_REVOKED, OpensslDelete<X509_REVOKED_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, OpensslDelete<ASN1_TIME_free>>;

TimePtr time_of(WallTime time) {
  return TimePtr(
      ASN1_TIME_set(nullptr, std::chrono::system_clock::to_time_t(
                                 std::chrono::time_point_cast<std::chrono::seconds>(time))));
}

bool add(X509_CRL* list, const Certificate& certificate, const ASN1_TIME* when) {
  RevokedPtr entry(X509_REVOKED_new());
  if (!entry) return false;
  X509_REVOKED_set_serialNumber(entry.get(), X509_get_serialNumber(certificate.get()));
  X509_REVOKED_set_revocationDate(entry.get(), const_cast<ASN1_TIME*>(when));
  if (X509_CRL_add0_revoked(list, entry.get()) != 1) return false;
  (void)entry.release();
  return true;
}

}  // namespace

Result<std::string> make_revocation_list(const Authority& ca, std::span<const Certificate> revoked,
                                         WallTime now, Duration ttl) {
  const ListPtr list(X509_CRL_new());
  const TimePtr from = time_of(now);
  const TimePtr until = time_of(now + std::chrono::duration_cast<WallTime::duration>(ttl));
  if (!list || !from || !until) return openssl_fail(Code::kInternal, "revocation list");
  X509_CRL_set_version(list.get(), X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(ca.certificate.get()));
  X509_CRL_set1_lastUpdate(list.get(), from.get());
  X509_CRL_set1_nextUpdate(list.get(), until.get());
  for (const Certificate& certificate : revoked) {
    if (!add(list.get(), certificate, from.get())) {
      return openssl_fail(Code::kInternal, "revocation list");
    }
  }
  X509_CRL_sort(list.get());
  if (X509_CRL_sign(list.get(), ca.key.get(), EVP_sha256()) == 0) {
    return openssl_fail(Code::kInternal, "revocation list: signing");
  }
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509_CRL(bio.get(), list.get()) != 1) {
    return openssl_fail(Code::kInternal, "revocation list");
  }
  return bio_text(bio.get());
}

}  // namespace mizzen::pki
