#include "agent/identity.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "api/names.h"
#include "base/log.h"
#include "base/strings.h"
#include "istio/ca.pb.h"
#include "pki/certificate.h"
#include "pki/key.h"

namespace mizzen::agent {
namespace {

constexpr Duration kFirstBackOff = std::chrono::milliseconds(200);
constexpr Duration kMaxBackOff = std::chrono::seconds(30);
// Until there is a first certificate: the pod serves nobody without.
constexpr Duration kMaxFirstBackOff = std::chrono::seconds(1);
constexpr Duration kConnectTimeout = std::chrono::seconds(2);
constexpr Duration kTimeout = std::chrono::seconds(10);
// How often the wall clock and the root file are looked at.
constexpr Duration kCheckEvery = std::chrono::seconds(15);

Result<std::string> read_file(const std::string& path, std::string_view what) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Code::kNotFound, std::string(what) + ": cannot read '" + path + "'");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string without_newlines(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

}  // namespace

std::string merge_bundles(std::string_view a, std::string_view b) {
  std::string merged;
  std::set<std::string> seen;
  for (auto bundle : {a, b}) {
    auto certificates = pki::parse_bundle(bundle);
    if (!certificates) continue;
    for (const auto& certificate : *certificates) {
      if (!seen.insert(certificate.sha256()).second) continue;
      merged += certificate.to_pem();
      if (!merged.ends_with('\n')) merged += '\n';
    }
  }
  return merged;
}

IdentitySource::IdentitySource(io::Loop& loop, IdentitySettings settings,
                               std::function<void(const Identity&)> on_identity)
    : loop_(loop),
      settings_(std::move(settings)),
      on_identity_(std::move(on_identity)),
      back_off_(kFirstBackOff),
      random_(std::random_device{}()) {}

IdentitySource::~IdentitySource() { loop_.cancel(timer_); }

void IdentitySource::start() { renew(); }

void IdentitySource::renew() {
  if (asking_) return;
  if (auto status = request(); !status) failed(status.error().message);
}

Status IdentitySource::request() {
  read_roots();
  MIZZEN_TRY(auto token, read_file(settings_.token_file, "service account token"));
  MIZZEN_TRY(auto key, pki::PrivateKey::generate_p256());
  MIZZEN_TRY(auto csr, pki::make_request(key, settings_.uri));
  istio::v1::auth::IstioCertificateRequest message;
  message.set_csr(csr);
  message.set_validity_duration(
      std::chrono::duration_cast<std::chrono::seconds>(settings_.validity).count());

  net::HttpClientOptions options;
  options.base.host = settings_.ca_host;
  options.base.port = settings_.ca_port;
  options.base.tls = settings_.tls;
  options.version = net::HttpVersion::kHttp2;
  options.connect.timeout = kConnectTimeout;
  if (settings_.tls) {
    if (file_root_.empty()) {
      return fail(Code::kNotFound, "root certificate: cannot read '" + settings_.root_file + "'");
    }
    io::TlsClientOptions tls;
    tls.trust_bundle_pem = file_root_;
    tls.alpn = {"h2"};
    MIZZEN_TRY(options.tls, io::make_tls_client_context(tls));
  }
  http_ = std::make_unique<net::HttpClient>(loop_, std::move(options));
  grpc_ = std::make_unique<net::GrpcClient>(*http_);
  pending_key_ = key.to_pem();
  asking_ = true;
  grpc_->unary(api::kCreateCertificateMethod,
               {{"authorization", "Bearer " + without_newlines(std::move(token))}},
               message.SerializeAsString(), kTimeout,
               [this](const http::GrpcStatus& status, const std::string& response) {
                 on_response(status, response);
               });
  return {};
}

void IdentitySource::on_response(const http::GrpcStatus& status, const std::string& response) {
  asking_ = false;
  loop_.dispose(std::move(grpc_));
  loop_.dispose(std::move(http_));
  if (!status.ok()) {
    failed(std::string(http::to_string(status.code)) + ": " + status.message);
    return;
  }
  if (auto taken = take(response); !taken) failed(taken.error().message);
}

Status IdentitySource::take(const std::string& response) {
  istio::v1::auth::IstioCertificateResponse message;
  if (!message.ParseFromString(response) || message.cert_chain_size() == 0) {
    return fail(Code::kProtocol, "the CA's response holds no certificate");
  }
  Identity made;
  for (int i = 0; i < message.cert_chain_size(); ++i) {
    // The last one is the root, unless there is only the leaf.
    if (i > 0 && i + 1 == message.cert_chain_size()) {
      ca_root_ = message.cert_chain(i);
    } else {
      made.chain_pem += message.cert_chain(i);
      if (!made.chain_pem.ends_with('\n')) made.chain_pem += '\n';
    }
  }
  MIZZEN_TRY(auto leaf, pki::Certificate::from_pem(made.chain_pem));
  made.key_pem = std::move(pending_key_);
  made.not_before = leaf.not_before();
  made.not_after = leaf.not_after();
  if (made.not_after <= loop_.wall()) {
    return fail(Code::kInvalid, "the CA's certificate has expired already");
  }
  made.roots_pem = merge_bundles(ca_root_, file_root_);
  identity_ = std::move(made);
  have_ = true;
  ++renewals_;
  last_error_.clear();
  back_off_ = kFirstBackOff;
  // Half of what is left, give or take a tenth: a mesh must not renew in one moment.
  Duration life = identity_.not_after - loop_.wall();
  double share = 0.5 + 0.1 * (static_cast<double>(random_() % 2001) / 1000.0 - 1.0);
  renew_at_ = loop_.wall() + std::chrono::duration_cast<Duration>(life * share);
  log::info("agent", "certificate for {} until {}, to be renewed at {}", settings_.uri,
            rfc3339(identity_.not_after), rfc3339(renew_at_));
  on_identity_(identity_);
  check();
  return {};
}

void IdentitySource::failed(std::string why) {
  if (why != last_error_) log::warning("agent", "no certificate: {}; trying again", why);
  last_error_ = std::move(why);
  auto half = back_off_.count() / 2;
  arm(Duration(half + static_cast<std::int64_t>(random_()) % (half + 1)));
  back_off_ = std::min(back_off_ * 2, have_ ? kMaxBackOff : kMaxFirstBackOff);
}

void IdentitySource::check() {
  WallTime now = loop_.wall();
  if (!have_ || now >= renew_at_) {
    renew();
    return;
  }
  std::string before = file_root_;
  read_roots();
  if (file_root_ != before) {
    identity_.roots_pem = merge_bundles(ca_root_, file_root_);
    log::info("agent", "the root certificates have changed");
    on_identity_(identity_);
  }
  arm(std::min<Duration>(renew_at_ - now, kCheckEvery));
}

void IdentitySource::read_roots() {
  auto roots = read_file(settings_.root_file, "root certificate");
  // A file that is being replaced is read again at the next check.
  if (roots && !roots->empty()) file_root_ = std::move(*roots);
}

void IdentitySource::arm(Duration wait) {
  loop_.cancel(timer_);
  timer_ = loop_.after(std::max<Duration>(wait, std::chrono::milliseconds(1)), [this] {
    timer_ = 0;
    check();
  });
}

}  // namespace mizzen::agent
