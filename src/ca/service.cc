#include "ca/service.h"

#include <algorithm>
#include <utility>

#include "api/names.h"
#include "base/log.h"
#include "istio/ca.pb.h"

namespace mizzen::ca {

Service::Service(std::shared_ptr<const Authority> authority, Authenticate authenticate,
                 const Clock& clock)
    : authority_(std::move(authority)), authenticate_(std::move(authenticate)), clock_(clock) {}

void Service::set_authority(std::shared_ptr<const Authority> authority) {
  authority_ = std::move(authority);
}

Result<std::string> Service::create_certificate(const std::string& bytes,
                                                const Caller& caller) const {
  istio::v1::auth::IstioCertificateRequest request;
  if (!request.ParseFromString(bytes)) {
    return fail(Code::kInvalid, "not an IstioCertificateRequest");
  }
  if (request.metadata().fields().contains("ImpersonatedIdentity")) {
    return fail(Code::kDenied, "ImpersonatedIdentity: nobody may ask for another's certificate");
  }
  // Far above what is ever granted, and far below overflow.
  const std::int64_t seconds =
      std::clamp<std::int64_t>(request.validity_duration(), 0, 100LL * 365 * 24 * 3600);
  MIZZEN_TRY(const std::vector<std::string> chain,
             authority_->sign_workload(request.csr(), caller.uri, std::chrono::seconds(seconds),
                                       clock_.wall()));
  istio::v1::auth::IstioCertificateResponse response;
  for (const std::string& pem : chain) response.add_cert_chain(pem);
  return response.SerializeAsString();
}

void Service::mount(net::GrpcServer& server) {
  server.unary(
      std::string(api::kCreateCertificateMethod),
      [this](std::string request, std::shared_ptr<net::GrpcStream> call,
             net::GrpcServer::UnaryDone done) {
        ++counters_.requests;
        authenticate_(call, [this, request = std::move(request),
                             done = std::move(done)](Result<Caller> caller) {
          if (!caller) {
            ++counters_.unauthenticated;
            log::warning("ca", "certificate refused: {}", caller.error().message);
            done({http::grpc_code_of(caller.error().code), caller.error().message}, {});
            return;
          }
          Result<std::string> response = create_certificate(request, *caller);
          if (!response) {
            ++counters_.failed;
            log::warning("ca", "{}: no certificate: {}", caller->uri, response.error().message);
            done({http::grpc_code_of(response.error().code), response.error().message}, {});
            return;
          }
          ++counters_.issued;
          log::info("ca", "{}: certificate issued", caller->uri);
          done({}, std::move(*response));
        });
      });
}

}  // namespace mizzen::ca
