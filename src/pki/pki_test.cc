#include <gtest/gtest.h>

#include "pki/certificate.h"
#include "pki/jwt.h"
#include "pki/key.h"
#include "pki/spiffe.h"

namespace mizzen::pki {
namespace {

using std::chrono::hours;
const WallTime kNow{std::chrono::seconds(1767225600)};
constexpr const char* kUri = "spiffe://cluster.local/ns/default/sa/reviews";

TEST(Spiffe, ParsesIstiosFormOnly) {
  auto id = parse_spiffe(kUri);
  ASSERT_TRUE(id);
  EXPECT_EQ(id->trust_domain, "cluster.local");
  EXPECT_EQ(id->name_space, "default");
  EXPECT_EQ(id->service_account, "reviews");
  EXPECT_EQ(id->to_string(), kUri);
  for (const char* bad : {"", "spiffe://", "http://cluster.local/ns/a/sa/b", "spiffe://td/ns/a/sa/",
                          "spiffe://td/ns//sa/b", "spiffe://td/ns/a/sa/b/c", "spiffe://td/a/b"}) {
    EXPECT_FALSE(parse_spiffe(bad)) << bad;
  }
}

TEST(Certificate, LeafIsIssuedForTheRequestedKey) {
  Authority root = *make_root("cluster.local", kNow, hours(24 * 3650));
  EXPECT_TRUE(root.certificate.is_ca());
  EXPECT_TRUE(root.certificate.signed_by(root.certificate));
  EXPECT_EQ(root.certificate.subject(), "O=cluster.local");

  PrivateKey key = *PrivateKey::generate_p256();
  auto request = parse_request(*make_request(key, kUri));
  ASSERT_TRUE(request) << request.error().message;
  ASSERT_EQ(request->names.uris, std::vector<std::string>{kUri});

  IssueOptions options{.names = request->names, .not_before = kNow, .not_after = kNow + hours(24)};
  Certificate leaf = *issue(request->key, options, root.key, &root.certificate);
  EXPECT_TRUE(leaf.signed_by(root.certificate));
  EXPECT_FALSE(leaf.is_ca());
  EXPECT_EQ(leaf.subject(), "");
  EXPECT_EQ(leaf.names().uris, std::vector<std::string>{kUri});
  EXPECT_EQ(leaf.not_before(), kNow);
  EXPECT_EQ(leaf.not_after(), kNow + hours(24));
  EXPECT_EQ(leaf.public_key().to_pem(), key.public_key().to_pem());

  Authority stranger = *make_root("elsewhere", kNow, hours(1));
  EXPECT_FALSE(leaf.signed_by(stranger.certificate));
  auto bundle = parse_bundle(root.certificate.to_pem() + stranger.certificate.to_pem());
  ASSERT_TRUE(bundle);
  EXPECT_EQ(bundle->size(), 2U);
}

TEST(Certificate, NamesOfEveryKind) {
  Authority root = *make_root("r", kNow, hours(1));
  IssueOptions options{.names = {.dns = {"istiod.istio-system.svc"}, .ips = {"10.96.0.1"}},
                       .organization = "mizzen",
                       .not_before = kNow,
                       .not_after = kNow + hours(1)};
  PrivateKey key = *PrivateKey::generate_rsa(2048);
  Certificate leaf = *issue(key.public_key(), options, root.key, &root.certificate);
  EXPECT_EQ(leaf.names().dns, options.names.dns);
  EXPECT_EQ(leaf.names().ips, options.names.ips);
  options.names.dns = {"a,DNS:evil"};
  EXPECT_FALSE(issue(key.public_key(), options, root.key, &root.certificate));
}

TEST(Certificate, RequestOfAnotherKeyIsRefused) {
  EXPECT_FALSE(parse_request("nonsense"));
  std::string pem = *make_request(*PrivateKey::generate_p256(), kUri);
  std::size_t middle = pem.size() / 2;
  pem[middle] = pem[middle] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(parse_request(pem));
}

TEST(Certificate, BrokenBundlesAreRefused) {
  EXPECT_FALSE(parse_bundle(""));
  std::string good = make_root("r", kNow, hours(1))->certificate.to_pem();
  EXPECT_FALSE(
      parse_bundle(good + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
}

TEST(Key, RoundTripsAndRefusesNonsense) {
  PrivateKey key = *PrivateKey::generate_p256();
  EXPECT_EQ(PrivateKey::from_pem(key.to_pem())->to_pem(), key.to_pem());
  EXPECT_EQ(PublicKey::from_pem(key.public_key().to_pem())->to_pem(), key.public_key().to_pem());
  EXPECT_FALSE(
      PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"));
}

TEST(Jwt, SignedByTheKeyAndNobodyElse) {
  for (const PrivateKey& key : {*PrivateKey::generate_p256(), *PrivateKey::generate_rsa(2048)}) {
    std::string token = *sign_jwt(R"({"sub":"a"})", "k1", key);
    auto claims = verify_jwt(token, key.public_key());
    ASSERT_TRUE(claims) << claims.error().message;
    EXPECT_EQ(*claims, R"({"sub":"a"})");
    EXPECT_FALSE(verify_jwt(token, PrivateKey::generate_p256()->public_key()));
    token[token.size() / 2] ^= 1;
    EXPECT_FALSE(verify_jwt(token, key.public_key()));
    EXPECT_FALSE(verify_jwt("a.b", key.public_key()));
    EXPECT_FALSE(verify_jwt("..", key.public_key()));
  }
}

}  // namespace
}  // namespace mizzen::pki
