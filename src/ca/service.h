// istio.v1.auth.IstioCertificateService over gRPC: a workload sends a request for a certificate
// with its proof of identity, and gets a chain.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "ca/authority.h"
#include "net/grpc.h"

namespace mizzen::ca {

// Who a caller has proven to be.
struct Caller {
  std::string uri;  // spiffe://cluster.local/ns/default/sa/reviews
};

// Judges a call by its token or its client certificate; `done` is called once, now or later, on the
// loop. What counts as proof is decided by whoever passes this in.
using Authenticate = std::function<void(std::shared_ptr<net::GrpcStream> call,
                                        std::function<void(Result<Caller>)> done)>;

struct Counters {
  std::uint64_t requests = 0;
  std::uint64_t issued = 0;
  std::uint64_t unauthenticated = 0;
  std::uint64_t failed = 0;  // bad requests and failures to sign
};

// Loop thread only. Must outlive the server it is mounted on.
class Service {
 public:
  // `clock` is asked for the wall time of each certificate.
  Service(std::shared_ptr<const Authority> authority, Authenticate authenticate,
          const Clock& clock = system_clock());

  // Serves /istio.v1.auth.IstioCertificateService/CreateCertificate.
  void mount(net::GrpcServer& server);
  // For requests from now on.
  void set_authority(std::shared_ptr<const Authority> authority);
  const Counters& counters() const { return counters_; }

  // The whole of an authenticated call: an IstioCertificateRequest's bytes in, an
  // IstioCertificateResponse's out. kInvalid for a request that is wrong.
  Result<std::string> create_certificate(const std::string& request, const Caller& caller) const;

 private:
  std::shared_ptr<const Authority> authority_;
  Authenticate authenticate_;
  const Clock& clock_;
  Counters counters_;
};

}  // namespace mizzen::ca
