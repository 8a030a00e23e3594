// A workload's identity: a key, a certificate for it from Istio's CA
// (istio.v1.auth.IstioCertificateService/CreateCertificate), renewed at about half its life.
// Renewal looks at the wall clock: a suspended machine's monotonic timers stand still. Loop thread
// only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "io/loop.h"
#include "net/grpc.h"
#include "net/http_client.h"

namespace mizzen::agent {

struct IdentitySettings {
  std::string uri;  // spiffe://cluster.local/ns/default/sa/reviews
  std::string ca_host;
  std::uint16_t ca_port = 0;
  bool tls = true;         // plaintext only in tests
  std::string root_file;   // PEM of the roots that sign the CA server's certificate
  std::string token_file;  // the proof of identity, read for each request
  Duration validity = std::chrono::hours(24);
};

struct Identity {
  std::string chain_pem;  // leaf first, without the root
  std::string key_pem;
  std::string roots_pem;  // the CA's root and those of the root file, each once
  WallTime not_before{};
  WallTime not_after{};
};

class IdentitySource {
 public:
  // `on_identity` is called with the first identity and each later one; also when only the roots
  // have changed.
  IdentitySource(io::Loop& loop, IdentitySettings settings,
                 std::function<void(const Identity&)> on_identity);
  ~IdentitySource();
  IdentitySource(const IdentitySource&) = delete;
  IdentitySource& operator=(const IdentitySource&) = delete;

  void start();
  // Renews now, whatever the age.
  void renew();

  const Identity* identity() const { return have_ ? &identity_ : nullptr; }
  std::uint64_t renewals() const { return renewals_; }
  const std::string& last_error() const { return last_error_; }

 private:
  Status request();
  void on_response(const http::GrpcStatus& status, const std::string& response);
  Status take(const std::string& response);
  void failed(std::string why);
  void check();
  void read_roots();
  void arm(Duration wait);

  io::Loop& loop_;
  IdentitySettings settings_;
  std::function<void(const Identity&)> on_identity_;
  std::unique_ptr<net::HttpClient> http_;
  std::unique_ptr<net::GrpcClient> grpc_;
  Identity identity_;
  bool have_ = false;
  bool asking_ = false;
  std::string pending_key_;
  std::string ca_root_;    // of the last chain
  std::string file_root_;  // of the root file
  WallTime renew_at_{};
  Duration back_off_;
  std::minstd_rand random_;
  io::TimerId timer_ = 0;
  std::uint64_t renewals_ = 0;
  std::string last_error_;
};

// The certificates of both bundles, each once, in order.
std::string merge_bundles(std::string_view a, std::string_view b);

}  // namespace mizzen::agent
