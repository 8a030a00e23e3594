#include "local/apiserver/store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace mizzen::local {
namespace {

// A store whose deferred work runs when the test says so.
class StoreTest : public testing::Test {
 protected:
  void SetUp() override { open(""); }
  void open(const std::string& path, std::size_t history = 8192) {
    store_.reset();
    StoreOptions options;
    options.path = path;
    options.history = history;
    auto store =
        Store::open(options, [this](std::function<void()> fn) { work_.push_back(std::move(fn)); });
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
  }
  void settle() {
    while (!work_.empty()) {
      auto now = std::move(work_);
      work_.clear();
      for (auto& fn : now) fn();
    }
  }
  Object make(const std::string& resource, const std::string& name, Json extra = Json::object()) {
    Json object = {{"metadata", {{"name", name}}}};
    object.update(extra, true);
    auto made = store_->create(resource, object);
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : nullptr;
  }
  static Json owned_by(const Object& owner) {
    return {{"metadata",
             {{"ownerReferences", Json::array({{{"uid", uid_of(*owner)},
                                                {"name", name_of(*owner)},
                                                {"blockOwnerDeletion", true}}})}}}};
  }

  std::vector<std::function<void()>> work_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, UpdatesCheckVersionsAndCountGenerations) {
  Object first = make("things", "a", {{"spec", {{"x", 1}}}});
  Json next = *first;
  next["spec"]["x"] = 2;
  auto second = store_->update("things", next);
  ASSERT_TRUE(second);
  EXPECT_EQ((**second)["metadata"]["generation"], 2);
  EXPECT_EQ(store_->update("things", next).error().code, Code::kConflict);
  Json status = **second;
  status["status"] = {{"ready", true}};
  status["spec"]["x"] = 9;
  auto third = store_->update_status("things", status);
  ASSERT_TRUE(third);
  EXPECT_EQ((**third)["spec"]["x"], 2);
  EXPECT_EQ((**third)["metadata"]["generation"], 2);
  // Nothing changed: nothing is written.
  EXPECT_EQ(store_->replace("things", **third)->get(), third->get());
}

TEST_F(StoreTest, GenerateNameAndNamespaces) {
  auto made = store_->create("things", {{"metadata", {{"generateName", "web-"}}}});
  ASSERT_TRUE(made);
  EXPECT_EQ(name_of(**made).size(), 9u);
  EXPECT_EQ(
      store_->create("things", {{"metadata", {{"name", "a"}, {"namespace", "no"}}}}).error().code,
      Code::kNotFound);
  EXPECT_EQ(store_->create("things", {{"metadata", {{"name", name_of(**made)}}}}).error().code,
            Code::kExists);
}

TEST_F(StoreTest, WatchesSeeFilteredChangesInOrder) {
  make("things", "a", {{"metadata", {{"labels", {{"on", "yes"}}}}}});
  std::vector<std::string> seen;
  WatchOptions options;
  options.filter = [](const Json& object) {
    return text_at(object, {"metadata", "labels", "on"}) == "yes";
  };
  auto watch = store_->watch("things", options, [&](const Event& event) {
    seen.push_back(std::string(to_string(event.type)) + " " + name_of(*event.object));
  });
  ASSERT_TRUE(watch);
  make("things", "b");
  auto set = [&](const std::string& name, const std::string& value) {
    (void)store_->modify({"things", "", name}, [&](Json& object) {
      object["metadata"]["labels"]["on"] = value;
      return true;
    });
  };
  set("b", "yes");
  set("a", "no");
  (void)store_->remove({"things", "", "b"});
  settle();
  EXPECT_EQ(seen, (std::vector<std::string>{"ADDED a", "ADDED b", "DELETED a", "DELETED b"}));
}

TEST_F(StoreTest, OldVersionsAreGone) {
  open("", 2);
  make("things", "a");
  const auto old = store_->version();
  make("things", "b");
  make("things", "c");
  make("things", "d");
  settle();
  WatchOptions options;
  options.since = old;
  EXPECT_EQ(store_->watch("things", options, [](const Event&) {}).error().code, Code::kLimit);
}

TEST_F(StoreTest, DependentsFollowTheirOwner) {
  Object owner = make("owners", "o");
  make("things", "a", owned_by(owner));
  ASSERT_TRUE(store_->remove({"owners", "", "o"}));
  settle();
  EXPECT_EQ(store_->get({"things", "", "a"}), nullptr);
  // Made after its owner went.
  make("things", "late", owned_by(owner));
  settle();
  EXPECT_EQ(store_->get({"things", "", "late"}), nullptr);
}

TEST_F(StoreTest, ForegroundWaitsAndOrphansStay) {
  Object owner = make("owners", "o");
  make("things", "a", owned_by(owner));
  (void)store_->modify({"things", "", "a"}, [](Json& object) {
    object["metadata"]["finalizers"] = {"hold"};
    return true;
  });
  RemoveOptions options;
  options.propagation = Propagation::kForeground;
  ASSERT_TRUE(store_->remove({"owners", "", "o"}, options));
  settle();
  EXPECT_NE(store_->get({"owners", "", "o"}), nullptr);
  (void)store_->modify({"things", "", "a"}, [](Json& object) {
    object["metadata"].erase("finalizers");
    return true;
  });
  settle();
  EXPECT_EQ(store_->get({"owners", "", "o"}), nullptr);

  Object other = make("owners", "p");
  make("things", "b", owned_by(other));
  options.propagation = Propagation::kOrphan;
  ASSERT_TRUE(store_->remove({"owners", "", "p"}, options));
  settle();
  Object kept = store_->get({"things", "", "b"});
  ASSERT_NE(kept, nullptr);
  EXPECT_FALSE((*kept)["metadata"].contains("ownerReferences"));
}

TEST_F(StoreTest, PodsOnANodeWaitForIt) {
  make("pods", "p", {{"spec", {{"nodeName", "n"}, {"terminationGracePeriodSeconds", 5}}}});
  ASSERT_TRUE(store_->remove({"pods", "", "p"}));
  Object going = store_->get({"pods", "", "p"});
  ASSERT_NE(going, nullptr);
  EXPECT_EQ((*going)["metadata"]["deletionGracePeriodSeconds"], 5);
  RemoveOptions now;
  now.grace_seconds = 0;
  ASSERT_TRUE(store_->remove({"pods", "", "p"}, now));
  EXPECT_EQ(store_->get({"pods", "", "p"}), nullptr);
}

TEST_F(StoreTest, ComesBackFromItsFile) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("mizzen-store-" + std::to_string(::getpid()) + ".db");
  open(path);
  make("things", "a", {{"spec", {{"x", "ä"}}}});
  make("things", "b");
  settle();
  (void)store_->remove({"things", "", "b"});
  settle();
  const auto version = store_->version();
  open(path);
  EXPECT_EQ(store_->version(), version);
  EXPECT_EQ(store_->count("things"), 1u);
  EXPECT_EQ((*store_->get({"things", "", "a"}))["spec"]["x"], "ä");
  store_.reset();
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(path.string() + end);
}

}  // namespace
}  // namespace mizzen::local
