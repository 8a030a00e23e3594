#include "proxy/http/client_certificate.h"

#include <array>
#include <memory>
#include <string>

namespace mizzen::proxy {
namespace {

void append_quoted(std::string& to, std::string_view text) {
  to += '"';
  for (char c : text) {
    if (c == '"' || c == '\\') to += '\\';
    to += c;
  }
  to += '"';
}

std::string describe(const io::PeerCertificate& peer, const io::PeerCertificate* own,
                     const HttpSettings& settings) {
  std::string value;
  if (own != nullptr) {
    for (const std::string& uri : own->uri_sans) ((value += "By=") += uri) += ';';
  }
  (value += "Hash=") += peer.sha256;
  if (settings.xfcc_cert) ((value += ";Cert=\"") += peer.url_encoded_pem()) += '"';
  if (settings.xfcc_subject) append_quoted(value += ";Subject=", peer.subject);
  if (settings.xfcc_uri) {
    for (const std::string& uri : peer.uri_sans) (value += ";URI=") += uri;
    if (peer.uri_sans.empty()) value += ";URI=";
  }
  if (settings.xfcc_dns) {
    for (const std::string& dns : peer.dns_sans) (value += ";DNS=") += dns;
  }
  return value;
}

// Requests come many to a connection, and from few clients.
class Recent {
 public:
  std::string_view describe(const ConnectionInfo& connection, const HttpSettings& settings) {
    const Wanted wanted = {settings.xfcc_cert, settings.xfcc_subject, settings.xfcc_uri,
                           settings.xfcc_dns};
    if (peer_ != connection.peer || own_ != connection.own || wanted_ != wanted) {
      text_ = proxy::describe(*connection.peer, connection.own.get(), settings);
      peer_ = connection.peer;
      own_ = connection.own;
      wanted_ = wanted;
    }
    return text_;
  }

 private:
  using Wanted = std::array<bool, 4>;
  std::string text_;
  std::shared_ptr<const io::PeerCertificate> peer_;  // of the text, kept: no other takes its place
  std::shared_ptr<const io::PeerCertificate> own_;
  Wanted wanted_{};
};

}  // namespace

void forward_client_certificate(http::Headers& headers, const HttpSettings& settings,
                                const ConnectionInfo& connection) {
  using Mode = HttpSettings::ClientCert;
  constexpr std::string_view kName = "x-forwarded-client-cert";
  const Mode mode = settings.forward_client_cert;
  if (mode == Mode::kAlwaysForwardOnly) return;
  if (mode == Mode::kSanitize || !connection.mutual_tls) {
    headers.remove(kName);
    return;
  }
  if (mode == Mode::kForwardOnly) return;
  thread_local Recent recent;
  const std::string_view own = recent.describe(connection, settings);
  if (mode == Mode::kAppendForward) {
    if (auto before = headers.joined(kName)) {
      headers.set(kName, (*before += ',') += own);
      return;
    }
  }
  headers.set(kName, own);
}

}  // namespace mizzen::proxy
