#include <gtest/gtest.h>

#include "ca/authority.h"
#include "ca/service.h"
#include "istio/ca.pb.h"
#include "pki/key.h"

namespace mizzen::ca {
namespace {

constexpr std::string_view kUri = "spiffe://cluster.local/ns/default/sa/bookinfo-reviews";

std::string request_for(std::string_view uri) {
  const auto key = pki::PrivateKey::generate_p256();
  return *pki::make_request(*key, uri);
}

TEST(Authority, SignsForTheProvenIdentityAlone) {
  const FakeClock clock;
  const auto authority = *Authority::self_signed("cluster.local", clock.wall());
  const std::string csr = request_for("spiffe://cluster.local/ns/other/sa/admin");
  const auto chain = authority->sign_workload(csr, kUri, std::chrono::hours(24), clock.wall());
  ASSERT_TRUE(chain);
  ASSERT_EQ(chain->size(), 2u);
  const auto leaf = pki::Certificate::from_pem(chain->front());
  ASSERT_TRUE(leaf);
  EXPECT_EQ(leaf->names().uris, std::vector<std::string>{std::string(kUri)});
  EXPECT_EQ(leaf->not_after(), clock.wall() + std::chrono::hours(24));
  EXPECT_LT(leaf->not_before(), clock.wall());
  EXPECT_FALSE(leaf->is_ca());
  const auto root = pki::Certificate::from_pem(chain->back());
  EXPECT_TRUE(leaf->signed_by(*root));
}

TEST(Authority, SurvivesBeingStored) {
  const FakeClock clock;
  const auto authority = *Authority::self_signed("cluster.local", clock.wall());
  const auto again = Authority::from_pems(authority->pems(), clock.wall());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ((*again)->roots_pem(), authority->roots_pem());
}

TEST(Authority, PluggedInChainEndsInItsRoot) {
  const FakeClock clock;
  const auto root = *pki::make_root("root", clock.wall(), std::chrono::hours(1000));
  const auto key = *pki::PrivateKey::generate_p256();
  pki::IssueOptions options;
  options.organization = "intermediate";
  options.not_before = clock.wall();
  options.not_after = clock.wall() + std::chrono::hours(48);
  options.ca = true;
  const auto middle = *pki::issue(key.public_key(), options, root.key, &root.certificate);
  const auto authority =
      Authority::from_pems({middle.to_pem(), key.to_pem(),
                            middle.to_pem() + root.certificate.to_pem(), root.certificate.to_pem()},
                           clock.wall());
  ASSERT_TRUE(authority) << authority.error().message;
  const auto chain =
      (*authority)->sign_workload(request_for(kUri), kUri, std::chrono::hours(90), clock.wall());
  ASSERT_TRUE(chain);
  EXPECT_EQ(chain->at(1), middle.to_pem());
  EXPECT_EQ(chain->back(), root.certificate.to_pem());
  // Never longer than what signs it.
  EXPECT_EQ(pki::Certificate::from_pem(chain->front())->not_after(), middle.not_after());
}

TEST(Authority, RefusesAForeignKey) {
  const FakeClock clock;
  const auto one = (*Authority::self_signed("a", clock.wall()))->pems();
  const auto two = (*Authority::self_signed("b", clock.wall()))->pems();
  const auto mixed = Authority::from_pems({one.certificate, two.key, {}, {}}, clock.wall());
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().message, "ca-key.pem is not the key of ca-cert.pem");
}

TEST(Authority, IssuesForServers) {
  const FakeClock clock;
  const auto authority = *Authority::self_signed("cluster.local", clock.wall());
  const auto served =
      authority->issue_server({"istiod.istio-system.svc"}, std::chrono::hours(24), clock.wall());
  ASSERT_TRUE(served);
  EXPECT_EQ(pki::Certificate::from_pem(served->chain_pem)->names().dns,
            std::vector<std::string>{"istiod.istio-system.svc"});
}

TEST(Service, AnswersAsIstioDoes) {
  const FakeClock clock;
  const Service service(*Authority::self_signed("cluster.local", clock.wall()), nullptr, clock);
  istio::v1::auth::IstioCertificateRequest request;
  request.set_csr(request_for(kUri));
  request.set_validity_duration(86400);
  const auto bytes = service.create_certificate(request.SerializeAsString(), {std::string(kUri)});
  ASSERT_TRUE(bytes) << bytes.error().message;
  istio::v1::auth::IstioCertificateResponse response;
  ASSERT_TRUE(response.ParseFromString(*bytes));
  EXPECT_EQ(response.cert_chain_size(), 2);
}

TEST(Service, RefusesToImpersonate) {
  const FakeClock clock;
  const Service service(*Authority::self_signed("cluster.local", clock.wall()), nullptr, clock);
  istio::v1::auth::IstioCertificateRequest request;
  request.set_csr(request_for(kUri));
  (*request.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value("x");
  const auto refused = service.create_certificate(request.SerializeAsString(), {std::string(kUri)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDenied);
}

TEST(Service, SurvivesRubbish) {
  const FakeClock clock;
  const Service service(*Authority::self_signed("cluster.local", clock.wall()), nullptr, clock);
  EXPECT_FALSE(service.create_certificate("\xff\xff rubbish", {std::string(kUri)}));
  EXPECT_FALSE(service.create_certificate("", {std::string(kUri)}));
}

}  // namespace
}  // namespace mizzen::ca
