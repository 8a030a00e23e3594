#include "control/serve/registrar.h"

#include <gtest/gtest.h>

#include <deque>

#include "io/sim_loop.h"
#include "kube/test/partial_client.h"

namespace mizzen::control {
namespace {

using object::Json;

// Keeps WorkloadEntries, and tells of each change as a watch would.
class EntriesApi final : public kube::PartialClient {
 public:
  using PartialClient::PartialClient;
  std::map<std::string, Json> held;
  Registrar* told = nullptr;
  bool down = false;

  void create(const kube::Resource&, std::string_view, const Json& object, Done done,
              std::string_view, std::string_view) override {
    loop().defer([this, object, done] {
      const std::string name = object["metadata"]["name"];
      if (down) return done(fail(Code::kUnavailable, "down"));
      if (held.contains(name)) return done(fail(Code::kExists, "there"));
      set(name, object);
      done(object);
    });
  }
  void patch(const kube::Resource&, std::string_view, std::string_view name, kube::PatchType,
             const Json& patch, Done done, std::string_view, std::string_view) override {
    loop().defer([this, name = std::string(name), patch, done] {
      if (!held.contains(name)) return done(fail(Code::kNotFound, "gone"));
      Json now = held[name];
      now.merge_patch(patch);
      set(name, now);
      done(now);
    });
  }
  void remove(const kube::Resource&, std::string_view, std::string_view name, Done done,
              const Json&) override {
    loop().defer([this, name = std::string(name), done] {
      const Json last = held[name];
      held.erase(name);
      told->remove(last);
      done(last);
    });
  }

 private:
  void set(const std::string& name, const Json& object) {
    held[name] = object;
    told->apply(object);
  }
};

class RegistrarTest : public ::testing::Test {
 protected:
  RegistrarTest() {
    api_.told = &registrar_;
    registrar_.apply({{"kind", "WorkloadGroup"},
                      {"metadata", {{"name", "vm"}, {"namespace", "default"}, {"uid", "u"}}},
                      {"spec",
                       {{"metadata", {{"labels", {{"app", "vm"}, {"tier", "group"}}}}},
                        {"template",
                         {{"serviceAccount", "machines"},
                          {"ports", {{"http", 8080}}},
                          {"labels", {{"tier", "template"}, {"site", "east"}}}}}}}});
  }
  void pass(Duration time) { loop_.advance(time); }

  io::SimLoop loop_;
  EntriesApi api_{loop_};
  Registrar registrar_{api_, "mizzend-1"};
  Registration one_{"vm", "default",           "10.9.0.1",
                    "",   {{"version", "v1"}}, {"cluster.local", "default", "machines"}};
};

TEST_F(RegistrarTest, AProxyBecomesAnEntryOfItsGroup) {
  const Result<Labels> labels = registrar_.connect(one_);
  ASSERT_TRUE(labels);
  EXPECT_EQ(labels->at("tier"), "group");
  pass(std::chrono::seconds(1));
  ASSERT_TRUE(api_.held.contains("vm-10.9.0.1"));
  const Json& entry = api_.held["vm-10.9.0.1"];
  EXPECT_EQ(entry["spec"]["address"], "10.9.0.1");
  EXPECT_EQ(entry["spec"]["serviceAccount"], "machines");
  EXPECT_EQ(entry["spec"]["ports"]["http"], 8080);
  EXPECT_EQ(entry["spec"]["labels"],
            Json({{"app", "vm"}, {"tier", "group"}, {"site", "east"}, {"version", "v1"}}));
  EXPECT_EQ(entry["metadata"]["annotations"]["istio.io/autoRegistrationGroup"], "vm");
  EXPECT_EQ(entry["metadata"]["annotations"]["istio.io/workloadController"], "mizzend-1");
  EXPECT_EQ(entry["metadata"]["ownerReferences"][0]["uid"], "u");
}

TEST_F(RegistrarTest, ItGoesSomeSecondsAfterItsLastStream) {
  ASSERT_TRUE(registrar_.connect(one_));
  ASSERT_TRUE(registrar_.connect(one_));  // the new stream before the old one has ended
  pass(std::chrono::seconds(1));
  registrar_.disconnect(one_);
  pass(std::chrono::minutes(1));
  EXPECT_TRUE(api_.held.contains("vm-10.9.0.1"));
  registrar_.disconnect(one_);
  pass(std::chrono::seconds(9));
  EXPECT_TRUE(
      api_.held["vm-10.9.0.1"]["metadata"]["annotations"].contains("istio.io/disconnectedAt"));
  ASSERT_TRUE(registrar_.connect(one_));  // back in time
  pass(std::chrono::seconds(30));
  ASSERT_TRUE(api_.held.contains("vm-10.9.0.1"));
  EXPECT_FALSE(
      api_.held["vm-10.9.0.1"]["metadata"]["annotations"].contains("istio.io/disconnectedAt"));
  registrar_.disconnect(one_);
  pass(std::chrono::seconds(11));
  EXPECT_FALSE(api_.held.contains("vm-10.9.0.1"));
}

TEST_F(RegistrarTest, WhoDoesNotComeBackAfterOurStartGoesToo) {
  ASSERT_TRUE(registrar_.connect(one_));
  pass(std::chrono::seconds(1));
  Registrar next(api_, "mizzend-1");
  api_.told = &next;
  next.apply(api_.held["vm-10.9.0.1"]);
  next.start();
  pass(std::chrono::seconds(45));
  EXPECT_FALSE(api_.held.contains("vm-10.9.0.1"));
}

TEST_F(RegistrarTest, WritesAreTriedAgain) {
  api_.down = true;
  ASSERT_TRUE(registrar_.connect(one_));
  pass(std::chrono::seconds(3));
  EXPECT_TRUE(api_.held.empty());
  api_.down = false;
  pass(std::chrono::seconds(2));
  EXPECT_TRUE(api_.held.contains("vm-10.9.0.1"));
}

TEST_F(RegistrarTest, OnlyForTheGroupsAccountAndWhereThereIsAGroup) {
  Registration other = one_;
  other.identity.service_account = "default";
  ASSERT_FALSE(registrar_.connect(other));
  EXPECT_EQ(registrar_.connect(other).error().code, Code::kUnauthenticated);
  other = one_;
  other.group = "none";
  EXPECT_EQ(registrar_.connect(other).error().code, Code::kNotFound);
  other = one_;
  other.network = "n1";
  other.address = "fd00::1";
  EXPECT_EQ(Registrar::entry_name(other), "vm-fd00--1-n1");
}

}  // namespace
}  // namespace mizzen::control
