#include "local/runtime/volumes.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace mizzen::local {
namespace {

namespace fs = std::filesystem;

class VolumesTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/volumes-XXXXXX";
    dir_ = mkdtemp(name);
    store_ = std::move(*Store::open({}, [](std::function<void()>) {}));
    (void)store_->create("namespaces", {{"metadata", {{"name", "default"}}}});
  }
  void TearDown() override { fs::remove_all(dir_); }
  Status fill(const Json& volume, bool first = true) {
    pod_ = {{"metadata", {{"name", "p"}, {"namespace", "default"}}},
            {"spec", {{"volumes", Json::array({volume})}}}};
    VolumeContext context{store_.get(), &pod_, {}, dir_ + "/volumes", [this](const auto&, auto) {
                            return Result<std::string>("token " + std::to_string(++tokens_));
                          }};
    return fill_volumes(context, first);
  }
  std::string read(const std::string& path) const {
    std::ifstream file(dir_ + "/volumes/" + path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string dir_;
  std::unique_ptr<Store> store_;
  Json pod_;
  int tokens_ = 0;
};

TEST_F(VolumesTest, ATokenIsReplacedByAFreshOne) {
  const Json token = {{"serviceAccountToken", {{"path", "token"}, {"audience", "istio-ca"}}}};
  const Json volume = {{"name", "v"}, {"projected", {{"sources", Json::array({token})}}}};
  ASSERT_TRUE(fill(volume));
  EXPECT_EQ(read("v/token"), "token 1");
  ASSERT_TRUE(fill(volume, false));
  EXPECT_EQ(read("v/token"), "token 2");
}

TEST_F(VolumesTest, AConfigMapIsFollowed) {
  (void)store_->create("configmaps", {{"metadata", {{"name", "c"}, {"namespace", "default"}}},
                                      {"data", {{"a", "1"}, {"b", "2"}}}});
  const Json volume = {{"name", "v"}, {"configMap", {{"name", "c"}}}};
  ASSERT_TRUE(fill(volume));
  EXPECT_EQ(read("v/a") + read("v/b"), "12");
  (void)store_->modify({"configmaps", "default", "c"}, [](Json& object) {
    object["data"] = {{"a", "3"}};
    return true;
  });
  ASSERT_TRUE(fill(volume, false));
  EXPECT_EQ(read("v/a"), "3");
  EXPECT_FALSE(fs::exists(dir_ + "/volumes/v/b"));
}

TEST_F(VolumesTest, AHostPathIsWhatItSays) {
  const std::string path = dir_ + "/machine";
  Json volume = {{"name", "v"}, {"hostPath", {{"path", path}, {"type", "Directory"}}}};
  auto missing = fill(volume);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_NE(missing.error().message.find("hostPath " + path), std::string::npos);
  volume["hostPath"]["type"] = "DirectoryOrCreate";
  ASSERT_TRUE(fill(volume));
  std::ofstream(path + "/f") << "there";
  EXPECT_EQ(read("v/f"), "there");
  remove_volumes(dir_ + "/volumes");
  EXPECT_TRUE(fs::exists(path + "/f"));
}

TEST_F(VolumesTest, OthersAreRefusedByName) {
  auto status = fill({{"name", "v"}, {"nfs", {{"server", "s"}}}});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kUnsupported);
  EXPECT_NE(status.error().message.find("nfs"), std::string::npos);
}

}  // namespace
}  // namespace mizzen::local
