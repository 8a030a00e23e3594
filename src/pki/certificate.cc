#include "pki/certificate.h"

#include <arpa/inet.h>
#include <openssl/pem.h>

#include <array>

#include "base/strings.h"
#include "pki/openssl.h"

namespace mizzen::pki {
namespace {

constexpr std::size_t kMaxBundle = 1000;

std::string text_of(const ASN1_STRING* value) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
          static_cast<std::size_t>(ASN1_STRING_length(value))};
}

std::string ip_of(const ASN1_STRING* value) {
  char text[INET6_ADDRSTRLEN] = "";
  int family = ASN1_STRING_length(value) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(value) != 16) return "";
  inet_ntop(family, ASN1_STRING_get0_data(value), text, sizeof text);
  return text;
}

SubjectNames names_of(const GENERAL_NAMES* names) {
  SubjectNames out;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    switch (name->type) {
      case GEN_URI:
        out.uris.push_back(text_of(name->d.uniformResourceIdentifier));
        break;
      case GEN_DNS:
        out.dns.push_back(text_of(name->d.dNSName));
        break;
      case GEN_IPADD:
        out.ips.push_back(ip_of(name->d.iPAddress));
        break;
      default:
        break;
    }
  }
  return out;
}

WallTime wall_of(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return WallTime(std::chrono::seconds(timegm(&parts)));
}

std::time_t seconds_of(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

// The value of a subjectAltName in OpenSSL's own notation.
std::string alt_names(const SubjectNames& names) {
  std::string out;
  auto add = [&out](std::string_view kind, const std::vector<std::string>& values) {
    for (const std::string& value : values) {
      if (!out.empty()) out += ",";
      out.append(kind).append(value);
    }
  };
  add("URI:", names.uris);
  add("DNS:", names.dns);
  add("IP:", names.ips);
  return out;
}

// A name with a comma or a line end could smuggle in another one through that notation.
Status check_names(const SubjectNames& names) {
  for (const auto* list : {&names.uris, &names.dns, &names.ips}) {
    for (const std::string& value : *list) {
      if (value.empty() || value.find_first_of(",\n\r\\\"") != value.npos) {
        return fail(Code::kInvalid, "\"" + value + "\" cannot stand in a certificate");
      }
    }
  }
  return {};
}

ExtensionPtr extension(int nid, const std::string& value, X509V3_CTX* context) {
  return ExtensionPtr(X509V3_EXT_nconf_nid(nullptr, context, nid, value.c_str()));
}

bool add_extension(X509* x509, int nid, const std::string& value, X509V3_CTX* context) {
  ExtensionPtr made = extension(nid, value, context);
  return made && X509_add_ext(x509, made.get(), -1) == 1;
}

bool add_extensions(X509* x509, X509* issuer, const IssueOptions& options) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
  bool good = add_extension(x509, NID_basic_constraints,
                            options.ca ? "critical,CA:TRUE" : "critical,CA:FALSE", &context);
  good = good && add_extension(x509, NID_key_usage,
                               options.ca ? "critical,keyCertSign,cRLSign"
                                          : "critical,digitalSignature,keyEncipherment",
                               &context);
  if (!options.ca) {
    good = good && add_extension(x509, NID_ext_key_usage, "serverAuth,clientAuth", &context);
  } else {
    good = good && add_extension(x509, NID_subject_key_identifier, "hash", &context);
  }
  // A root's own identifier is the one just added; a leaf names its issuer's.
  good = good &&
         (issuer == x509 || add_extension(x509, NID_authority_key_identifier, "keyid", &context));
  std::string names = alt_names(options.names);
  if (names.empty()) return good;
  // RFC 5280 4.2.1.6: critical when the subject is empty.
  return good && add_extension(x509, NID_subject_alt_name,
                               (options.organization.empty() ? "critical," : "") + names, &context);
}

bool set_serial(X509* x509) {
  BIGNUM* number = BN_new();
  bool good = number != nullptr && BN_rand(number, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != nullptr;
  BN_free(number);
  return good;
}

}  // namespace

Result<Certificate> Certificate::from_pem(std::string_view pem) {
  X509* x509 = PEM_read_bio_X509(memory_bio(pem).get(), nullptr, nullptr, nullptr);
  if (x509 == nullptr) return openssl_fail(Code::kInvalid, "not a certificate in PEM");
  return Certificate(std::shared_ptr<X509>(x509, X509_free));
}

std::string Certificate::to_pem() const {
  BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), x509_.get());
  return bio_text(out.get());
}

std::string Certificate::serial() const {
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509_.get()), nullptr);
  char* text = BN_bn2hex(number);
  std::string out = lower(text != nullptr ? text : "");
  OPENSSL_free(text);
  BN_free(number);
  return out;
}

std::string Certificate::subject() const {
  BioPtr out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), X509_get_subject_name(x509_.get()), 0, XN_FLAG_RFC2253);
  return bio_text(out.get());
}

std::string Certificate::sha256() const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  X509_digest(x509_.get(), EVP_sha256(), digest.data(), &size);
  return hex(std::as_bytes(std::span(digest.data(), size)));
}

WallTime Certificate::not_before() const { return wall_of(X509_get0_notBefore(x509_.get())); }
WallTime Certificate::not_after() const { return wall_of(X509_get0_notAfter(x509_.get())); }

SubjectNames Certificate::names() const {
  NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(x509_.get(), NID_subject_alt_name, nullptr, nullptr)));
  return names_of(names.get());
}

bool Certificate::is_ca() const { return X509_check_ca(x509_.get()) == 1; }

PublicKey Certificate::public_key() const {
  return PublicKey(std::shared_ptr<EVP_PKEY>(X509_get_pubkey(x509_.get()), EVP_PKEY_free));
}

bool Certificate::signed_by(const Certificate& ca) const {
  bool good = X509_verify(x509_.get(), ca.public_key().get()) == 1;
  ERR_clear_error();
  return good;
}

Result<std::vector<Certificate>> parse_bundle(std::string_view pem) {
  std::vector<Certificate> out;
  BioPtr in = memory_bio(pem);
  while (X509* x509 = PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)) {
    out.emplace_back(std::shared_ptr<X509>(x509, X509_free));
    if (out.size() > kMaxBundle)
      return fail(Code::kLimit, "a bundle of more than 1000 certificates");
  }
  unsigned long last = ERR_peek_last_error();
  bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  if (out.empty() || !at_end) return openssl_fail(Code::kInvalid, "not a bundle of certificates");
  ERR_clear_error();
  return out;
}

Result<std::string> make_request(const PrivateKey& key, std::string_view uri) {
  SubjectNames names{.uris = {std::string(uri)}};
  MIZZEN_CHECKED(check_names(names));
  ReqPtr request(X509_REQ_new());
  ExtensionPtr alt = extension(NID_subject_alt_name, "critical," + alt_names(names), nullptr);
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  bool good = request && alt && extensions != nullptr &&
              sk_X509_EXTENSION_push(extensions, alt.get()) > 0 &&
              X509_REQ_add_extensions(request.get(), extensions) == 1 &&
              X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
              X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0;
  sk_X509_EXTENSION_free(extensions);
  if (!good) return openssl_fail(Code::kInternal, "no certificate request");
  BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(out.get(), request.get());
  return bio_text(out.get());
}

Result<CertificateRequest> parse_request(std::string_view pem) {
  if (pem.size() > 64 * 1024)
    return fail(Code::kLimit, "a certificate request of more than 64 KiB");
  ReqPtr request(PEM_read_bio_X509_REQ(memory_bio(pem).get(), nullptr, nullptr, nullptr));
  if (!request) return openssl_fail(Code::kInvalid, "not a certificate request in PEM");
  std::shared_ptr<EVP_PKEY> key(X509_REQ_get_pubkey(request.get()), EVP_PKEY_free);
  if (!key || X509_REQ_verify(request.get(), key.get()) != 1) {
    return openssl_fail(Code::kInvalid, "the certificate request is not signed by its own key");
  }
  SubjectNames names;
  STACK_OF(X509_EXTENSION)* extensions = X509_REQ_get_extensions(request.get());
  if (extensions != nullptr) {
    NamesPtr found(static_cast<GENERAL_NAMES*>(
        X509V3_get_d2i(extensions, NID_subject_alt_name, nullptr, nullptr)));
    names = names_of(found.get());
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  }
  return CertificateRequest{PublicKey(std::move(key)), std::move(names)};
}

Result<Certificate> issue(const PublicKey& key, const IssueOptions& options,
                          const PrivateKey& ca_key, const Certificate* ca) {
  MIZZEN_CHECKED(check_names(options.names));
  std::shared_ptr<X509> x509(X509_new(), X509_free);
  X509* issuer = ca != nullptr ? ca->get() : x509.get();
  X509_NAME* subject = X509_get_subject_name(x509.get());
  bool good = X509_set_version(x509.get(), 2) == 1 && set_serial(x509.get()) &&
              ASN1_TIME_set(X509_getm_notBefore(x509.get()), seconds_of(options.not_before)) &&
              ASN1_TIME_set(X509_getm_notAfter(x509.get()), seconds_of(options.not_after)) &&
              X509_set_pubkey(x509.get(), key.get()) == 1;
  if (!options.organization.empty()) {
    good = good && X509_NAME_add_entry_by_txt(
                       subject, "O", MBSTRING_UTF8,
                       reinterpret_cast<const unsigned char*>(options.organization.c_str()), -1, -1,
                       0) == 1;
  }
  good = good && X509_set_issuer_name(x509.get(), X509_get_subject_name(issuer)) == 1 &&
         add_extensions(x509.get(), issuer, options) &&
         X509_sign(x509.get(), ca_key.get(), EVP_sha256()) > 0;
  if (!good) return openssl_fail(Code::kInternal, "no certificate");
  return Certificate(std::move(x509));
}

Result<Authority> make_root(std::string_view organization, WallTime now, Duration ttl) {
  MIZZEN_TRY(PrivateKey key, PrivateKey::generate_p256());
  IssueOptions options{.organization = std::string(organization),
                       .not_before = now - std::chrono::minutes(2),
                       .not_after = now + ttl,
                       .ca = true};
  MIZZEN_TRY(Certificate certificate, issue(key.public_key(), options, key, nullptr));
  return Authority{std::move(key), std::move(certificate)};
}

}  // namespace mizzen::pki
