#include "local/apiserver/rbac.h"

#include <gtest/gtest.h>

namespace mizzen::local {
namespace {

class RbacTest : public testing::Test {
 protected:
  void SetUp() override {
    store_ = std::move(*Store::open({}, [](std::function<void()>) {}));
    for (const char* ns : {"default", "other"}) {
      (void)store_->create(
          "namespaces",
          {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", ns}}}});
    }
    create_default_roles(*store_);
  }
  // Binds a role to an account of namespace default, in `ns`, or everywhere when that is "".
  void bind(const std::string& ns, const std::string& kind, const std::string& role,
            const std::string& account) {
    Json binding = {
        {"kind", ns.empty() ? "ClusterRoleBinding" : "RoleBinding"},
        {"metadata", {{"name", role + account}}},
        {"roleRef", {{"kind", kind}, {"name", role}}},
        {"subjects",
         Json::array({{{"kind", "ServiceAccount"}, {"name", account}, {"namespace", "default"}}})}};
    if (!ns.empty()) binding["metadata"]["namespace"] = ns;
    auto made = store_->create(ns.empty() ? "clusterrolebindings.rbac.authorization.k8s.io"
                                          : "rolebindings.rbac.authorization.k8s.io",
                               binding);
    ASSERT_TRUE(made) << made.error().message;
  }
  static Caller account(const std::string& name) {
    return {"system:serviceaccount:default:" + name,
            {"system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"},
            ""};
  }
  bool may(const Caller& caller, const std::string& verb, const std::string& resource,
           const std::string& ns = "default", const std::string& name = "",
           const std::string& group = "") {
    return authorize(*store_, caller, {verb, group, resource, ns, name, ""}).allowed;
  }
  std::unique_ptr<Store> store_;
};

TEST_F(RbacTest, AnAccountMayLookAroundAndNoMore) {
  const Caller nobody = account("nobody");
  EXPECT_TRUE(authorize(*store_, nobody, {"get", "", "", "", "", "/apis/apps/v1"}).allowed);
  EXPECT_TRUE(may(nobody, "create", "selfsubjectaccessreviews", "", "", "authorization.k8s.io"));
  EXPECT_FALSE(may(nobody, "list", "pods"));
  EXPECT_FALSE(may(nobody, "get", "secrets", "default", "token"));
  EXPECT_TRUE(may({"admin", {"system:masters"}, ""}, "delete", "nodes", ""));
}

TEST_F(RbacTest, ABindingInANamespaceCountsThereOnly) {
  bind("default", "ClusterRole", "view", "reader");
  EXPECT_TRUE(may(account("reader"), "list", "pods"));
  EXPECT_TRUE(may(account("reader"), "get", "pods/log"));
  EXPECT_FALSE(may(account("reader"), "list", "pods", "other"));
  EXPECT_FALSE(may(account("reader"), "list", "pods", ""));
  EXPECT_FALSE(may(account("reader"), "get", "secrets"));
  EXPECT_FALSE(may(account("reader"), "create", "pods/exec"));
  bind("", "ClusterRole", "edit", "writer");
  EXPECT_TRUE(may(account("writer"), "create", "pods/exec", "other"));
  EXPECT_FALSE(may(account("writer"), "create", "roles", "other", "", "rbac.authorization.k8s.io"));
}

TEST_F(RbacTest, NamesSubresourcesAndAggregationCount) {
  const Json rule = {{"apiGroups", {""}},
                     {"resources", {"configmaps", "*/scale"}},
                     {"resourceNames", {"one"}},
                     {"verbs", {"get"}}};
  (void)store_->create(
      "clusterroles.rbac.authorization.k8s.io",
      {{"kind", "ClusterRole"},
       {"metadata",
        {{"name", "part"}, {"labels", {{"rbac.authorization.k8s.io/aggregate-to-view", "true"}}}}},
       {"rules", Json::array({rule})}});
  bind("default", "ClusterRole", "part", "few");
  EXPECT_TRUE(may(account("few"), "get", "configmaps", "default", "one"));
  EXPECT_FALSE(may(account("few"), "get", "configmaps", "default", "two"));
  EXPECT_FALSE(may(account("few"), "list", "configmaps"));
  EXPECT_TRUE(may(account("few"), "get", "things/scale", "default", "one"));
  EXPECT_FALSE(may(account("few"), "get", "things", "default", "one"));
  // A role that is marked for it becomes part of `view`.
  bind("other", "ClusterRole", "view", "viewer");
  EXPECT_TRUE(may(account("viewer"), "get", "things/scale", "other", "one"));
}

TEST_F(RbacTest, NobodyGivesWhatHeHasNot) {
  bind("default", "ClusterRole", "admin", "chief");
  const auto type = [] {
    auto made = std::make_shared<Type>();
    made->group = "rbac.authorization.k8s.io";
    made->plural = "rolebindings";
    made->namespaced = true;
    return made;
  }();
  Json binding = {{"metadata", {{"name", "b"}, {"namespace", "default"}}},
                  {"roleRef", {{"kind", "ClusterRole"}, {"name", "view"}}}};
  EXPECT_EQ(escalates(*store_, account("chief"), *type, binding), "");
  binding["roleRef"]["name"] = "cluster-admin";
  EXPECT_NE(escalates(*store_, account("chief"), *type, binding), "");
}

TEST_F(RbacTest, ActingAsAnotherIsARightOfItsOwn) {
  const Caller admin{"kubernetes-admin", {"system:masters"}, ""};
  auto other = impersonate(*store_, admin, "system:serviceaccount:default:nobody", {});
  ASSERT_TRUE(other);
  EXPECT_EQ(other->groups, account("nobody").groups);
  EXPECT_FALSE(impersonate(*store_, account("nobody"), "kubernetes-admin", {"system:masters"}));
  bind("default", "ClusterRole", "edit", "writer");
  EXPECT_TRUE(impersonate(*store_, account("writer"), "system:serviceaccount:default:nobody", {}));
  EXPECT_FALSE(impersonate(*store_, account("writer"), "bob", {}));
}

}  // namespace
}  // namespace mizzen::local
