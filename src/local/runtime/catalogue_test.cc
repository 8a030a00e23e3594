#include "local/runtime/catalogue.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>

namespace mizzen::local {
namespace {

using Words = std::vector<std::string>;

TEST(Catalogue, KnowsTheSampleImages) {
  Catalogue catalogue;
  auto reviews =
      catalogue.resolve("registry.istio.io/release/examples-bookinfo-reviews-v3:1.20.3", {}, {});
  ASSERT_TRUE(reviews);
  EXPECT_EQ(reviews->argv, (Words{"mizzen-samples", "reviews", "--version", "v3"}));
  auto echo = catalogue.resolve("registry.istio.io/release/tcp-echo-server:1.3", {},
                                {"9000,9001", "hello"});
  ASSERT_TRUE(echo);
  EXPECT_EQ(echo->argv, (Words{"mizzen-samples", "tcp-echo", "9000,9001", "hello"}));
  auto curl = catalogue.resolve("docker.io/curlimages/curl:8.16.0", {"/bin/sleep", "infinity"}, {});
  ASSERT_TRUE(curl);
  EXPECT_EQ(curl->argv, (Words{"/bin/sleep", "infinity"}));
  EXPECT_TRUE(catalogue.resolve("docker.io/mccutchen/go-httpbin:v2.15.0", {}, {}));
  EXPECT_TRUE(catalogue.resolve("mizzen/proxyv2", {}, {}));
}

TEST(Catalogue, KnowsTheSockShop) {
  Catalogue catalogue;
  auto argv = [&](const char* image, const Words& command, const Words& args) {
    auto program = catalogue.resolve(image, command, args);
    return program ? program->argv : Words{program.error().message};
  };
  EXPECT_EQ(argv("weaveworksdemos/front-end:0.3.12", {}, {}),
            (Words{"mizzen-samples", "front-end"}));
  EXPECT_EQ(argv("weaveworksdemos/front-end:red-buttons", {}, {}),
            (Words{"mizzen-samples", "front-end", "--version", "v2"}));
  EXPECT_EQ(argv("weaveworksdemos/catalogue:0.3.5", {"/app"}, {"-port=80"}),
            (Words{"mizzen-samples", "catalogue", "-port=80"}));
  EXPECT_EQ(argv("mongo:4.2.22", {}, {}), (Words{"mizzen-samples", "documents"}));
}

TEST(Catalogue, TheLoadGeneratorAnswersToTheNamesThatKubectlLeaves) {
  auto fortio = Catalogue().resolve("docker.io/fortio/fortio:latest_release", {}, {});
  ASSERT_TRUE(fortio);
  EXPECT_EQ(fortio->argv, (Words{"mizzen-samples", "fortio", "server"}));
  EXPECT_EQ(fortio->here({"/usr/bin/fortio", "load", "-c", "4"}),
            (Words{"mizzen-samples", "fortio", "load", "-c", "4"}));
  EXPECT_EQ(fortio->here({"load", "-c", "4"}),
            (Words{"mizzen-samples", "fortio", "load", "-c", "4"}));
  EXPECT_EQ(fortio->here({"ls"}), (Words{"ls"}));
  EXPECT_TRUE(fortio->here({}).empty());
}

TEST(Catalogue, AMissingProgramNamesItsPackage) {
  auto redis = Catalogue().resolve("redis:alpine", {}, {});
  if (!redis) {
    EXPECT_NE(redis.error().message.find("apt-get install redis-tools"), std::string::npos);
  }
}

TEST(Catalogue, PrometheusTakesTheArgumentsOfItsImage) {
  Catalogue catalogue;
  ASSERT_NE(catalogue.find("docker.io/prom/prometheus:v2.55.1"), nullptr);
  auto prometheus = catalogue.resolve("prom/prometheus:v2.55.1", {}, {"--config.file=/etc/x.yml"});
  if (prometheus) {
    EXPECT_EQ(prometheus->argv, (Words{"prometheus", "--config.file=/etc/x.yml"}));
  } else {
    EXPECT_NE(prometheus.error().message.find("apt-get install prometheus"), std::string::npos);
  }
}

TEST(Catalogue, SaysHowToMapAnUnknownImage) {
  auto missing = Catalogue().resolve("acme/shop:1", {}, {});
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("images add 'acme/shop:1'"), std::string::npos);
}

TEST(Catalogue, UsersEntriesGoFirstAndSurviveQuoting) {
  std::string path = testing::TempDir() + "/catalogue." + std::to_string(getpid());
  ASSERT_TRUE(add_to_catalogue(path, "acme/*", {"sh", "-c", "echo 'a b'"}));
  ASSERT_TRUE(add_to_catalogue(path, "redis", {"my-redis"}));
  ASSERT_TRUE(add_to_catalogue(path, "redis", {"my-redis", "2"}));
  Catalogue catalogue;
  ASSERT_TRUE(catalogue.load(path));
  EXPECT_EQ(catalogue.user_entries().size(), 2U);
  EXPECT_EQ(catalogue.resolve("acme/shop:1", {}, {})->argv, (Words{"sh", "-c", "echo 'a b'"}));
  EXPECT_EQ(catalogue.resolve("redis:alpine", {}, {})->argv, (Words{"my-redis", "2"}));
  ASSERT_TRUE(remove_from_catalogue(path, "redis"));
  EXPECT_FALSE(remove_from_catalogue(path, "redis"));
  std::remove(path.c_str());
}

TEST(Catalogue, Globs) {
  EXPECT_TRUE(glob_matches("*a*b", "xxaxxb"));
  EXPECT_FALSE(glob_matches("*a*b", "xxaxxc"));
  EXPECT_TRUE(glob_matches("", ""));
  EXPECT_EQ(canonical_image("docker.io/library/redis"), "redis:latest");
  EXPECT_EQ(canonical_image("localhost:5000/x@sha256:aa"), "localhost:5000/x:latest");
}

}  // namespace
}  // namespace mizzen::local
